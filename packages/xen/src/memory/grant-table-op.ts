import { PAGE_BYTES } from '@retrap/memory'
import { ofStructure, type XenCall } from '../call.ts'
import { GrantStatus, MAX_GRANT_FRAMES } from './grant-table.ts'
import { Layout } from '../layout.ts'
import { Domid, XenErrno } from '../numbers.ts'

const MAP = new Layout({
  address: 'u64',
  flags: 'u32',
  ref: 'u32',
  domid: 'u16',
  status: 'i16',
  handle: 'u32',
  busAddress: 'u64',
})
const UNMAP = new Layout({ address: 'u64', busAddress: 'u64', handle: 'u32', status: 'i16' })
const SETUP = new Layout({ domid: 'u16', count: 'u32', status: 'i16', list: 'pointer' })
/** `gnttab_copy` consists of two ends and further fields. */
const COPY_END = new Layout({ frame: 'ulong', domid: 'u16', offset: 'u16' })
const COPY_REST = new Layout({ length: 'u16', flags: 'u16', status: 'i16' })
const copyBytes = (compat: boolean): number => {
  const end = COPY_END.size(compat)
  const align = compat ? 4 : 8
  return 2 * end + Math.ceil(COPY_REST.size(compat) / align) * align
}
const QUERY = new Layout({ domid: 'u16', frames: 'u32', maxFrames: 'u32', status: 'i16' })
const SET_VERSION = new Layout({ version: 'u32' })
const STATUS_FRAMES = new Layout({ count: 'u32', domid: 'u16', status: 'i16', list: 'pointer' })
const GET_VERSION = new Layout({ domid: 'u16', pad: 'u16', version: 'u32' })
const SWAP = new Layout({ a: 'u32', b: 'u32', status: 'i16' })

/** `GNTMAP_*`. */
const DEVICE_MAP = 1 << 0
const HOST_MAP = 1 << 1
const READ_ONLY = 1 << 2
const APPLICATION_MAP = 1 << 3
const CONTAINS_PTE = 1 << 4
/** Cache attributes, and bits for the guest's own use. */
const IGNORED = 0xffff_0000

/** `GNTCOPY_*`. */
const SOURCE_GREF = 1 << 0
const TARGET_GREF = 1 << 1

/** One element of a command's array: 0, or an error that ends the command. */
type Element = (call: XenCall, pointer: bigint) => number

interface Operation {
  readonly bytes: (compat: boolean) => number
  readonly element: Element
  /** Whether the count must be one. */
  readonly single?: boolean
}

/** Returns the status for another domain's number: only the toolstack exists, which has granted nothing. */
function foreignStatus(domid: number): number {
  return domid === Domid.TOOLSTACK ? GrantStatus.PERMISSION_DENIED : GrantStatus.BAD_DOMAIN
}

const map = ofStructure(MAP, (call, { flags, address, ref, domid }) => {
  const handle = mapOne(call, flags, address, ref, domid)
  if (handle < 0) return { status: handle }
  // Devices of this guest take guest-physical addresses.
  return { status: GrantStatus.OKAY, handle, busAddress: BigInt(call.xen.grants.usedFrame(ref)) * 0x1000n }
})

function mapOne(call: XenCall, flags: number, address: bigint, ref: number, domid: number): number {
  if ((flags & (DEVICE_MAP | HOST_MAP)) === 0) return GrantStatus.BAD_GNTREF
  if ((flags & (DEVICE_MAP | APPLICATION_MAP | CONTAINS_PTE)) !== 0) return GrantStatus.GENERAL_ERROR
  if ((flags & ~(IGNORED | HOST_MAP | READ_ONLY)) !== 0) return GrantStatus.GENERAL_ERROR
  const { xen } = call
  if (domid !== xen.domainId) return domid === Domid.TOOLSTACK ? GrantStatus.BAD_GNTREF : GrantStatus.BAD_DOMAIN
  return xen.grants.map(ref, domid, Number(address >> 12n), (flags & READ_ONLY) === 0)
}

const unmap = ofStructure(UNMAP, ({ xen }, { address, handle }) => ({
  status: xen.grants.unmap(handle, address === 0n ? -1 : Number(address >> 12n)),
}))

const setup = ofStructure(SETUP, (call, request) => {
  const { grants } = call.xen
  let status: number = GrantStatus.OKAY
  if (call.xen.ownDomain(request.domid) !== 0) status = foreignStatus(request.domid)
  else if (!grants.grow(request.count)) status = GrantStatus.GENERAL_ERROR
  else {
    for (let i = 0; i < request.count && status === GrantStatus.OKAY; i++) {
      // Guest frame chosen by the guest; all ones if none yet.
      if (!call.writeElement('ulong', request.list, i, BigInt.asUintN(64, BigInt(grants.gfnOf(i))))) {
        status = GrantStatus.BAD_VIRT_ADDR
      }
    }
  }
  return { status }
})

const query = ofStructure(QUERY, ({ xen }, { domid }) =>
  xen.ownDomain(domid) === 0
    ? { frames: xen.grants.frames, maxFrames: MAX_GRANT_FRAMES, status: GrantStatus.OKAY }
    : { status: foreignStatus(domid) },
)

function setVersion(call: XenCall, pointer: bigint): number {
  const request = call.read(SET_VERSION, pointer)
  if (request === null) return XenErrno.FAULT
  const { grants } = call.xen
  const result = grants.setVersion(request.version)
  return call.write(SET_VERSION, pointer, { version: grants.version }) ? result : XenErrno.FAULT
}

const getVersion = ofStructure(
  GET_VERSION,
  ({ xen }, { domid }) => xen.ownDomain(domid) || { version: xen.grants.version },
)

const statusFrames = ofStructure(STATUS_FRAMES, (call, request) => {
  const { grants } = call.xen
  let status: number = GrantStatus.OKAY
  if (call.xen.ownDomain(request.domid) !== 0) status = foreignStatus(request.domid)
  else if (grants.version === 1 || request.count > grants.statusFrames) status = GrantStatus.GENERAL_ERROR
  else {
    for (let i = 0; i < request.count && status === GrantStatus.OKAY; i++) {
      const gfn = BigInt.asUintN(64, BigInt(grants.statusGfnOf(i)))
      if (!call.writeElement('u64', request.list, i, gfn)) status = GrantStatus.BAD_VIRT_ADDR
    }
  }
  return { status }
})

const swap = ofStructure(SWAP, ({ xen }, { a, b }) => ({ status: xen.grants.swap(a, b) }))

/** One end of a copy: its frame, and a function that releases it. */
interface End {
  readonly gfn: number
  readonly mfn: number
  readonly done: () => void
  readonly covers: (offset: number, length: number) => boolean
}

function copy(call: XenCall, pointer: bigint): number {
  const source = call.read(COPY_END, pointer)
  const target = call.read(COPY_END, pointer, 1)
  const rest = pointer + BigInt(2 * COPY_END.size(call.compat))
  const request = call.read(COPY_REST, rest)
  if (source === null || target === null || request === null) return XenErrno.FAULT
  const { flags, length } = request
  let status: number = GrantStatus.BAD_COPY_ARG
  if (source.offset + length <= PAGE_BYTES && target.offset + length <= PAGE_BYTES) {
    const from = endOf(call, (flags & SOURCE_GREF) !== 0, source.frame, source.domid, false)
    const to =
      typeof from === 'number' ? from : endOf(call, (flags & TARGET_GREF) !== 0, target.frame, target.domid, true)
    status = typeof to === 'number' ? to : GrantStatus.OKAY
    if (typeof from !== 'number' && typeof to !== 'number') {
      if (!from.covers(source.offset, length) || !to.covers(target.offset, length)) status = GrantStatus.GENERAL_ERROR
    }
    if (typeof from !== 'number' && typeof to !== 'number' && status === GrantStatus.OKAY) {
      const { memory, guestMemory } = call.domain
      const bytes = memory.read(from.mfn * PAGE_BYTES + source.offset, length)
      // Log the write if the frame is still at its owner's guest frame.
      if (call.xen.memory.ramAt(to.gfn) === to.mfn) guestMemory.write(to.gfn * PAGE_BYTES + target.offset, bytes)
      else memory.write(to.mfn * PAGE_BYTES + target.offset, bytes)
    }
    for (const end of [from, to]) if (typeof end !== 'number') end.done()
  }
  return call.write(COPY_REST, rest, { status }) ? 0 : XenErrno.FAULT
}

function endOf(call: XenCall, byRef: boolean, value: bigint, domid: number, write: boolean): End | number {
  const { xen } = call
  const own = domid === Domid.SELF || domid === xen.domainId
  if (byRef) {
    if (!own) return domid === Domid.TOOLSTACK ? GrantStatus.BAD_GNTREF : GrantStatus.BAD_DOMAIN
    const ref = Number(value & 0xffff_ffffn)
    const mfn = xen.grants.acquire(ref, xen.domainId, write, false)
    if (mfn < 0) return mfn
    return {
      gfn: xen.grants.usedFrame(ref),
      mfn,
      done: () => xen.grants.release(ref, write),
      covers: (offset, length) => xen.grants.covers(ref, offset, length),
    }
  }
  // Others' frames are used by reference only.
  if (!own) return domid === Domid.TOOLSTACK ? GrantStatus.PERMISSION_DENIED : GrantStatus.BAD_DOMAIN
  const gfn = Number(value)
  const mfn = xen.memory.ramAt(gfn)
  if (mfn < 0 || (write && xen.memory.isRom(gfn))) return GrantStatus.BAD_PAGE
  return { gfn, mfn, done: () => undefined, covers: () => true }
}

const OPERATIONS: Readonly<Partial<Record<number, Operation>>> = {
  0: { bytes: (compat) => MAP.size(compat), element: map },
  1: { bytes: (compat) => UNMAP.size(compat), element: unmap },
  2: { bytes: (compat) => SETUP.size(compat), element: setup, single: true },
  5: { bytes: copyBytes, element: copy },
  6: { bytes: (compat) => QUERY.size(compat), element: query, single: true },
  8: { bytes: (compat) => SET_VERSION.size(compat), element: setVersion, single: true },
  9: { bytes: (compat) => STATUS_FRAMES.size(compat), element: statusFrames, single: true },
  10: { bytes: (compat) => GET_VERSION.size(compat), element: getVersion, single: true },
  11: { bytes: (compat) => SWAP.size(compat), element: swap },
}

/** `grant_table_op`: command, pointer to an array, count. Each element has a status of its own. */
export function grantTableOp(call: XenCall): number {
  const operation = OPERATIONS[call.word(0)]
  if (operation === undefined) return XenErrno.NOSYS
  const pointer = call.argument(1)
  const count = call.word(2)
  if (count > 0x7fff_ffff || (operation.single === true && count !== 1)) return XenErrno.INVAL
  const bytes = operation.bytes(call.compat)
  let result = 0
  for (let i = 0; i < count && result === 0; i++) {
    const at = pointer + BigInt(i * bytes)
    if (i !== 0 && call.shouldPreempt(1)) {
      call.setArgument(2, count - i)
      result = call.preempt(1, at)
      break
    }
    result = operation.element(call, at)
  }
  call.xen.memory.tidy()
  return result
}
