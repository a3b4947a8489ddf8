import type { XenCall } from '../call.ts'
import { Layout, type Values } from '../layout.ts'

/** The command is in bits 5:0 of memory_op's first argument; how much of it is done, in those above. */
const COMMAND_BITS = 6n
const COMMAND_MASK = (1n << COMMAND_BITS) - 1n
const MOST = 0xffff_ffffn

/** `XENMEM_*`. */
export function memoryCommand(call: XenCall): number {
  return Number(call.argument(0) & COMMAND_MASK)
}

/** How much of the command is done: extents, pages. */
export function memoryStart(call: XenCall): number {
  const start = call.argument(0) >> COMMAND_BITS
  return Number(start > MOST ? MOST : start)
}

/** Goes on with a command later. @param start - how much of it will be done then */
export function preemptAt(call: XenCall, start: number): number {
  return call.preempt(0, BigInt(memoryCommand(call)) | (BigInt(start) << COMMAND_BITS))
}

const RESERVATION_FIELDS = {
  extents: 'pointer',
  count: 'ulong',
  order: 'u32',
  flags: 'u32',
  domid: 'u16',
} as const
/** `xen_memory_reservation`. */
export const RESERVATION: Layout<typeof RESERVATION_FIELDS> = new Layout(RESERVATION_FIELDS)
/** One. */
export type Reservation = Values<typeof RESERVATION_FIELDS>

/** The largest extent that a guest may ask for: 2 MiB. */
export const MAX_ORDER = 9
/** More extents than this and the rest could not be told in a command. */
const MAX_EXTENTS = 0x3ff_ffffn

const ADDRESS_BITS = 0xff
const PAGE_BITS = 12
const POPULATE_ON_DEMAND = 1 << 16
const EXACT_NODE = 1 << 17
const VIRTUAL_NODE = 1 << 18

/** Handles one extent; false ends the command there. */
type Extent = (call: XenCall, reservation: Reservation, index: number) => boolean

/**
 * Works through a list of extents. Whatever is wrong, the answer is the number of extents that have been dealt with: such
 * a command has no errors.
 */
function reserve(call: XenCall, start: number, allocates: boolean, extent: Extent): number {
  const reservation = call.read(RESERVATION, call.argument(1))
  if (reservation === null || reservation.count > MAX_EXTENTS) return start
  const count = Number(reservation.count)
  if (start >= count || call.xen.ownDomain(reservation.domid) !== 0) return start
  if (reservation.order > MAX_ORDER || !mayAllocate(call, reservation.flags, allocates)) return start
  for (let index = start; index < count; index++) {
    if (index !== start && call.shouldPreempt(2 ** reservation.order)) return preemptAt(call, index)
    if (!extent(call, reservation, index)) return index
  }
  return count
}

/** Whether frames can be had in the way that the flags ask for. */
function mayAllocate(call: XenCall, flags: number, allocates: boolean): boolean {
  const bits = flags & ADDRESS_BITS
  const machineBits = Math.ceil(Math.log2(call.domain.memory.byteLength))
  if (bits !== 0 && bits < machineBits) {
    if (bits <= PAGE_BITS) return false
    // Frames are not chosen by address.
    if (allocates) return false
  }
  // Which node of the host's is for the toolstack to say; a virtual one is none of the host's.
  return (flags & VIRTUAL_NODE) !== 0 || (flags & EXACT_NODE) === 0
}

/** A guest frame of the list; −1 for a bad pointer. */
export function frameAt(call: XenCall, list: bigint, index: number): number {
  const frame = call.readElement('ulong', list, index)
  return frame === null ? -1 : Number(frame)
}

/** `XENMEM_increase_reservation`: frames that are mapped nowhere, as for every guest whose map is the hypervisor's. */
export function increaseReservation(call: XenCall, start: number): number {
  return reserve(call, start, true, (_, { order }) => call.xen.memory.hoard(order))
}

/** `XENMEM_decrease_reservation`. */
export function decreaseReservation(call: XenCall, start: number): number {
  return reserve(call, start, false, (_, { extents, order }, index) => {
    const gfn = frameAt(call, extents, index)
    return gfn >= 0 && call.xen.memory.remove(gfn, 2 ** order) === 2 ** order
  })
}

/** `XENMEM_populate_physmap`. */
export function populatePhysmap(call: XenCall, start: number): number {
  return reserve(call, start, true, (_, { extents, order, flags }, index) => {
    // A guest cannot ask for memory on demand for itself.
    if ((flags & POPULATE_ON_DEMAND) !== 0) return false
    const gfn = frameAt(call, extents, index)
    return gfn >= 0 && call.xen.memory.populate(gfn, 2 ** order)
  })
}
