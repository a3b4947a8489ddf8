import { ofStructure, type XenCall, type XenHypercall } from '../call.ts'
import { exchange } from './memory-exchange.ts'
import { addToPhysmap, addToPhysmapBatch, removeFromPhysmap } from './memory-physmap.ts'
import {
  decreaseReservation,
  increaseReservation,
  populatePhysmap,
  memoryCommand,
  memoryStart,
} from './memory-reservation.ts'
import { Layout } from '../layout.ts'
import { XenErrno } from '../numbers.ts'
import { RANGE_BYTES } from './xen-memory.ts'

const TOPOLOGY = new Layout({
  domid: 'u16',
  pad: 'u16',
  vnodes: 'u32',
  vcpus: 'u32',
  ranges: 'u32',
  distances: 'u64',
  vcpuNodes: 'u64',
  memoryRanges: 'u64',
})
const RESERVED_MAP = new Layout({
  flags: 'u32',
  entries: 'u32',
  buffer: 'pointer',
  segment: 'u16',
  bus: 'u8',
  devfn: 'u8',
})
const POD_TARGET = new Layout({ target: 'u64', total: 'u64', cache: 'u64', entries: 'u64', domid: 'u16' })
const CLAIM = new Layout({ extents: 'pointer', count: 'ulong', order: 'u32', flags: 'u32', domid: 'u16' })

/** Executes a command; `start` is the number of extents already done. */
type MemoryOperation = (call: XenCall, start: number) => number

/** Wraps a command that is never continued. */
const whole =
  (answer: XenHypercall): MemoryOperation =>
  (call, start) =>
    start === 0 ? answer(call) : XenErrno.INVAL

/** A question about a domain, answered of the caller's own. */
const ofDomain = (answer: XenHypercall): MemoryOperation =>
  whole((call) => {
    const domid = call.readElement('u16', call.argument(1), 0)
    if (domid === null) return XenErrno.FAULT
    return call.xen.ownDomain(Number(domid)) || answer(call)
  })

/** The toolstack's to ask: the guest is told whether its argument can be read, and then that it may not. */
const privileged = (
  argument: Layout<Readonly<Record<string, 'u16' | 'u32' | 'u64' | 'pointer' | 'ulong'>>>,
): MemoryOperation => whole(ofStructure(argument, () => XenErrno.PERM))

type MemoryOperations = Readonly<Partial<Record<number, MemoryOperation>>>

/** `XENMEM_*` by number (public header memory.h). Other numbers are -ENOSYS: there is no table of machine frames. */
const COMMON: MemoryOperations = {
  0: increaseReservation,
  1: decreaseReservation,
  // maximum_ram_page
  2: whole((call) => call.domain.memory.frameCount),
  // current_reservation
  3: ofDomain((call) => call.xen.memory.current),
  // maximum_reservation
  4: ofDomain((call) => call.xen.memory.maximum),
  6: populatePhysmap,
  7: addToPhysmap,
  11: whole(exchange),
  // maximum_gpfn
  14: ofDomain((call) => call.xen.memory.highest),
  15: whole(removeFromPhysmap),
  // get_sharing_freed_pages, get_sharing_shared_pages
  18: whole(() => 0),
  19: whole(() => 0),
  23: addToPhysmapBatch,
  // claim_pages
  24: privileged(CLAIM),
  // get_vnumainfo
  26: whole(
    ofStructure(TOPOLOGY, ({ xen }, { pad, domid }) =>
      pad === 0 ? xen.ownDomain(domid) || XenErrno.OPNOTSUPP : XenErrno.INVAL,
    ),
  ),
}

/** Operations of x86 guests, beside the common ones: the firmware's memory map, populate-on-demand, reserved memory. */
const X86: MemoryOperations = {
  ...COMMON,
  9: whole(memoryMap),
  // machine_memory_map
  10: whole(() => XenErrno.PERM),
  13: whole(setMemoryMap),
  // set_pod_target, get_pod_target
  16: privileged(POD_TARGET),
  17: privileged(POD_TARGET),
  // reserved_device_memory_map: no device has any
  27: whole(ofStructure(RESERVED_MAP, (_call, { flags }) => ((flags & ~1) === 0 ? { entries: 0 } : XenErrno.INVAL))),
}

/** `memory_op`: command, pointer. */
function operate(call: XenCall, operations: MemoryOperations): number {
  const operation = operations[memoryCommand(call)]
  if (operation === undefined) return XenErrno.NOSYS
  const result = operation(call, memoryStart(call))
  call.xen.memory.tidy()
  return result
}

/** `memory_op` of guests of every architecture. */
export const memoryOp: XenHypercall = (call) => operate(call, COMMON)

/** `memory_op` of x86 guests. */
export const x86MemoryOp: XenHypercall = (call) => operate(call, X86)

const MEMORY_MAP = new Layout({ entries: 'u32', buffer: 'pointer' })
/** Behind a domain's number. */
const FOREIGN_DOMID = new Layout({ domid: 'u16', map: 'pointer' })
/** Ranges that a map can have. */
const MOST_RANGES = 1024

/** `XENMEM_memory_map`: the map that the guest was started with, as far as its buffer has room. */
function memoryMap(call: XenCall): number {
  const { memoryMap: ranges } = call.xen
  if (ranges.length === 0) return XenErrno.NOSYS

  const pointer = call.argument(1)
  const request = call.read(MEMORY_MAP, pointer)
  if (request === null) return XenErrno.FAULT
  const count = Math.min(request.entries, ranges.length / RANGE_BYTES)
  if (!call.copyOut(request.buffer, ranges, count * RANGE_BYTES)) return XenErrno.FAULT
  return call.write(MEMORY_MAP, pointer, { entries: count }) ? 0 : XenErrno.FAULT
}

/** `XENMEM_set_memory_map`: a guest may say what it is to be told. */
function setMemoryMap(call: XenCall): number {
  const pointer = call.argument(1)
  const owner = call.read(FOREIGN_DOMID, pointer)
  const request = call.read(MEMORY_MAP, pointer + BigInt(FOREIGN_DOMID.offset('map', call.compat)))
  if (owner === null || request === null) return XenErrno.FAULT
  if (request.entries > MOST_RANGES) return XenErrno.INVAL
  const denied = call.xen.ownDomain(owner.domid)
  if (denied !== 0) return denied
  const bytes = new Uint8Array(request.entries * RANGE_BYTES)
  if (!call.copyIn(request.buffer, bytes)) return XenErrno.FAULT
  call.xen.memoryMap = bytes
  return 0
}
