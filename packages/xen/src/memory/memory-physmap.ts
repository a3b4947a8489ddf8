import { INVALID_MFN } from '@retrap/p2m'
import { ofStructure, type XenCall, type XenHypercall } from '../call.ts'
import type { GrantTable } from './grant-table.ts'
import { Layout } from '../layout.ts'
import { preemptAt } from './memory-reservation.ts'
import { XenErrno } from '../numbers.ts'
import { GUEST_FRAMES } from '../guest-frames.ts'

const ADD_TO_PHYSMAP = new Layout({ domid: 'u16', size: 'u16', space: 'u32', index: 'ulong', gfn: 'ulong' })
const ADD_BATCH = new Layout({
  domid: 'u16',
  space: 'u16',
  size: 'u16',
  foreignDomid: 'u16',
  indexes: 'pointer',
  gfns: 'pointer',
  errors: 'pointer',
})
const REMOVE = new Layout({ domid: 'u16', gfn: 'ulong' })

/** `XENMAPSPACE_*`. */
const SPACE_SHARED_INFO = 0
const SPACE_GRANT_TABLE = 1
const SPACE_GFN = 2
const SPACE_GFN_RANGE = 3
const SPACE_FOREIGN = 4
const SPACE_DEVICE = 5

/** `XENMAPIDX_grant_table_status`: an index among the status frames of version 2. */
const GRANT_STATUS_INDEX = 0x8000_0000

const MOST_PAGES = 0xffff

/** `XENMEM_add_to_physmap`: a page of Xen's, or RAM from elsewhere in the map, appears at a guest frame. */
export function addToPhysmap(call: XenCall, start: number): number {
  if (start > MOST_PAGES) return XenErrno.DOM
  const request = call.read(ADD_TO_PHYSMAP, call.argument(1))
  if (request === null) return XenErrno.FAULT
  const { space, size, index, gfn } = request
  if (space === SPACE_FOREIGN) return XenErrno.NOSYS
  const denied = call.xen.ownDomain(request.domid) || (space === SPACE_DEVICE ? XenErrno.ACCES : 0)
  if (denied !== 0) return denied
  if (space !== SPACE_GFN_RANGE) return addOne(call, space, indexOf(space, index), frame(gfn))
  if (size < start) return XenErrno.ILSEQ
  const mask = call.compat ? 0xffff_ffffn : 0xffff_ffff_ffff_ffffn
  if (index + BigInt(size) > mask || gfn + BigInt(size) > mask) return XenErrno.OVERFLOW
  for (let i = start; i < size; i++) {
    if (i !== start && call.shouldPreempt(1)) return preemptAt(call, i)
    const result = addOne(call, SPACE_GFN, frame(index + BigInt(i)), frame(gfn + BigInt(i)))
    if (result < 0) return result
  }
  return 0
}

/** `XENMEM_add_to_physmap_batch`: adds a list of frames, each with its own error. */
export function addToPhysmapBatch(call: XenCall, start: number): number {
  if (start > MOST_PAGES) return XenErrno.DOM
  const request = call.read(ADD_BATCH, call.argument(1))
  if (request === null) return XenErrno.FAULT
  const { space, size } = request
  if (space === SPACE_GFN_RANGE) return XenErrno.OPNOTSUPP
  const denied = call.xen.ownDomain(request.domid) || (space === SPACE_DEVICE ? XenErrno.ACCES : 0)
  if (denied !== 0) return denied
  if (size < start) return XenErrno.ILSEQ
  for (let i = start; i < size; i++) {
    if (i !== start && call.shouldPreempt(1)) return preemptAt(call, i)
    const index = call.readElement('ulong', request.indexes, i)
    const gfn = call.readElement('ulong', request.gfns, i)
    if (index === null || gfn === null) return XenErrno.FAULT
    const result =
      space === SPACE_FOREIGN
        ? call.xen.foreignDomain(request.foreignDomid)
        : addOne(call, space, indexOf(space, BigInt(index)), frame(BigInt(gfn)))
    if (!call.writeElement('i32', request.errors, i, result)) return XenErrno.FAULT
  }
  return 0
}

/** `XENMEM_remove_from_physmap`. RAM that is removed goes back to the machine. */
export const removeFromPhysmap: XenHypercall = ofStructure(
  REMOVE,
  ({ xen }, { domid, gfn }) => xen.ownDomain(domid) || (xen.memory.remove(frame(gfn), 1) === 1 ? 0 : XenErrno.NOENT),
)

/** A frame number, or one that no guest can have. */
function frame(value: bigint): number {
  return value < GUEST_FRAMES ? Number(value) : GUEST_FRAMES
}

/** An index: a guest frame, or a page of Xen's own. */
function indexOf(space: number, value: bigint): number {
  return space === SPACE_GRANT_TABLE ? Number(value) : frame(value)
}

function grantPage(grants: GrantTable, index: number): number {
  return index < GRANT_STATUS_INDEX ? grants.page(index) : grants.statusPage(index - GRANT_STATUS_INDEX)
}

function addOne(call: XenCall, space: number, index: number, gfn: number): number {
  const { memory } = call.xen
  const { p2m } = call.xen.domain
  if (gfn >= GUEST_FRAMES) return XenErrno.INVAL
  let mfn = INVALID_MFN
  if (space === SPACE_GFN) mfn = memory.ramAt(index)
  else if (space === SPACE_SHARED_INFO) mfn = index === 0 ? call.xen.sharedInfoFrame : INVALID_MFN
  else if (space === SPACE_GRANT_TABLE) mfn = grantPage(call.xen.grants, index)
  if (mfn === INVALID_MFN) return XenErrno.INVAL
  if (space === SPACE_GFN && index === gfn) return 0
  // The frame at that place makes room: RAM goes back to the machine, a page of Xen's is taken out of the map.
  const type = memory.typeAt(gfn)
  if (p2m.isForeign(type)) return XenErrno.NXIO
  if (p2m.isRam(type) && !(space !== SPACE_GFN && memory.placeOf(mfn) === gfn) && memory.remove(gfn, 1) !== 1) {
    return XenErrno.NOMEM
  }
  // When drivers map the page, the guest's mode determines the page's layout.
  if (space === SPACE_SHARED_INFO) call.xen.events.info.latch(!call.compat)
  const done = space === SPACE_GFN ? memory.move(index, gfn) : memory.place(mfn, gfn)
  return done ? 0 : XenErrno.NOMEM
}
