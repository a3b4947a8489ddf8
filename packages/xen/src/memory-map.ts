import type { XenCall } from './call.ts'
import { Layout } from './layout.ts'
import { XenErrno } from './numbers.ts'

/** A range of guest-physical addresses, as BIOS function E820H tells of it. */
export interface XenMemoryRange {
  /** Guest-physical address. */
  readonly base: number
  /** Bytes. */
  readonly size: number
  /** 1 RAM, 2 reserved, 3 ACPI tables, 4 ACPI NVS. */
  readonly type: number
}

const MEMORY_MAP = new Layout({ entries: 'u32', buffer: 'pointer' })
/** Behind a domain's number. */
const FOREIGN_DOMID = new Layout({ domid: 'u16', map: 'pointer' })
/** An entry has no padding. */
const RANGE_BYTES = 20
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

/** The ranges as guests see them. */
export function encodeMemoryMap(ranges: readonly XenMemoryRange[]): Uint8Array {
  const bytes = new Uint8Array(ranges.length * RANGE_BYTES)
  const view = new DataView(bytes.buffer)
  for (const [i, { base, size, type }] of ranges.entries()) {
    view.setBigUint64(i * RANGE_BYTES, BigInt(base), true)
    view.setBigUint64(i * RANGE_BYTES + 8, BigInt(size), true)
    view.setUint32(i * RANGE_BYTES + 16, type, true)
  }
  return bytes
}
