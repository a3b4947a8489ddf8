import type { XenCall } from './call.ts'
import { Layout } from './layout.ts'
import { RANGE_BYTES } from './memory-map.ts'
import { XenErrno } from './numbers.ts'

const MEMORY_MAP = new Layout({ entries: 'u32', buffer: 'pointer' })
/** Behind a domain's number. */
const FOREIGN_DOMID = new Layout({ domid: 'u16', map: 'pointer' })
/** Ranges that a map can have. */
const MOST_RANGES = 1024

/** `XENMEM_memory_map`: the map that the guest was started with, as far as its buffer has room. */
export function memoryMap(call: XenCall): number {
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
export function setMemoryMap(call: XenCall): number {
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
