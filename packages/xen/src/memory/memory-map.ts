/** A range of guest-physical addresses, as BIOS function E820H tells of it. */
export interface XenMemoryRange {
  /** Guest-physical address. */
  readonly base: number
  /** Bytes. */
  readonly size: number
  /** 1 RAM, 2 reserved, 3 ACPI tables, 4 ACPI NVS. */
  readonly type: number
}

/** Bytes of an entry, which has no padding. */
export const RANGE_BYTES = 20

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
