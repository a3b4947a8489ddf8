/*
 * The layout of qcow2 files. All numbers are big-endian.
 *
 * Source: QEMU, docs/interop/qcow2.txt.
 */

/** "QFI\xfb". */
export const MAGIC = 0x5146_49fb

export const MINIMUM_CLUSTER_BITS = 9
export const MAXIMUM_CLUSTER_BITS = 21
export const MAXIMUM_REFCOUNT_ORDER = 6
/** A version 2 image has counts of 16 bits. */
export const VERSION_2_REFCOUNT_ORDER = 4
export const VERSION_2_HEADER_BYTES = 72
export const VERSION_3_HEADER_BYTES = 104
export const MAXIMUM_BACKING_NAME_BYTES = 1023
/** Limits of QEMU. They also bound our memory. */
export const MAXIMUM_L1_BYTES: number = 32 << 20
export const MAXIMUM_REFCOUNT_TABLE_BYTES: number = 8 << 20
export const MAXIMUM_SNAPSHOTS = 65_536

export const INCOMPATIBLE_DIRTY: number = 1 << 0
export const INCOMPATIBLE_CORRUPT: number = 1 << 1
export const INCOMPATIBLE_COMPRESSION: number = 1 << 3
export const COMPATIBLE_LAZY_REFCOUNTS: number = 1 << 0

/** Bits of `incompatible_features` and their names, for an image without a table of names. */
export const INCOMPATIBLE_NAMES: readonly string[] = [
  'dirty bit',
  'corrupt bit',
  'external data file',
  'compression type',
  'extended L2 entries',
]

export const EXTENSION_END = 0
export const EXTENSION_BACKING_FORMAT = 0xe279_2aca
export const EXTENSION_FEATURE_NAMES = 0x6803_f857
export const EXTENSION_BITMAPS = 0x2385_2875
export const FEATURE_NAME_BYTES = 48

/** Offsets of header fields that change while an image is open. */
export const HEADER_BYTES = 24
export const HEADER_L1 = 36
export const HEADER_REFCOUNT_TABLE = 48
export const HEADER_INCOMPATIBLE = 72
export const HEADER_AUTOCLEAR = 88

/** Bytes of an entry in all tables but refcount blocks. */
export const ENTRY_BYTES = 8

/*
 * Entries of the L1 and L2 tables are handled as two words. `hi` has bits 63 to 32.
 */
/** Flag in `hi`: the cluster's refcount is exactly one. */
export const COPIED = 0x8000_0000
/** Flag in `hi`: a compressed cluster. */
export const COMPRESSED = 0x4000_0000
/** Flag in `lo`: the cluster reads as zeros. */
export const ZERO = 1

/** Host offset of an entry: bits 9 to 55. Exact, for it is a multiple of 512 below 2^56. */
export const offsetOf = (hi: number, lo: number): number => (hi & 0x00ff_ffff) * 2 ** 32 + ((lo & 0xffff_fe00) >>> 0)

/** The upper word of an entry for this host offset. */
export const offsetHi = (offset: number): number => Math.floor(offset / 2 ** 32)

/** The lower word of an entry for this host offset. */
export const offsetLo = (offset: number): number => offset >>> 0

/** Reads a 64-bit number. Above 2^53 it is not exact, and always beyond every limit that it is compared with. */
export const read64 = (view: DataView, at: number): number => view.getUint32(at) * 2 ** 32 + view.getUint32(at + 4)

/** Writes a 64-bit number below 2^53. */
export function write64(view: DataView, at: number, value: number): void {
  view.setUint32(at, Math.floor(value / 2 ** 32))
  view.setUint32(at + 4, value >>> 0)
}

/** The place of a compressed cluster. */
export interface CompressedPlace {
  readonly offset: number
  /** From `offset` to the end of its last sector. The data may end before that. */
  readonly bytes: number
}

/** Reads the descriptor of a compressed cluster. */
export function compressedPlace(hi: number, lo: number, clusterBits: number): CompressedPlace {
  // The offset has `offsetBits` bits, from 41 to 53 or more; the count of additional sectors follows up to bit 61.
  const offsetBits = 62 - (clusterBits - 8)
  const offsetHiBits = offsetBits - 32
  const offset = (hi & (2 ** offsetHiBits - 1)) * 2 ** 32 + lo
  const sectors = ((hi & 0x3fff_ffff) >>> offsetHiBits) + 1
  return { offset, bytes: sectors * 512 - (offset % 512) }
}

/** Makes the upper word of a compressed cluster's entry; the lower one is that of the offset. */
export function compressedHi(offset: number, bytes: number, clusterBits: number): number {
  const offsetHiBits = 62 - (clusterBits - 8) - 32
  const additional = Math.floor((offset + bytes - 1) / 512) - Math.floor(offset / 512)
  return (COMPRESSED | (additional << offsetHiBits) | offsetHi(offset)) >>> 0
}
