/** Geometry of the TLB, as generated code and {@link Tlb} both need it. */

/** Offset of the read table in a set. */
export const TLB_READ = 0
/** Offset of the write table in a set. */
export const TLB_WRITE = 0x40000
/** Offset of the execute table in a set. */
export const TLB_EXECUTE = 0x80000
/** Bytes of the set of an access mode: three tables. */
export const TLB_SET_BYTES = 0xc0000
/** Bits of a linear address, shifted right by 8, that give an entry's offset in its table. */
export const TLB_INDEX_MASK = 0x3fff0

/** Entries of a table. */
export const TLB_ENTRIES = 16384
/** Bytes of an entry. */
export const TLB_ENTRY_BYTES = 16
/** Offset of an entry's word of flags, */
export const TLB_FLAGS = 12
/** which has the page's protection key in five bits from this one on. */
export const TLB_KEY_SHIFT = 8
/** Bytes of a table. */
export const TLB_TABLE_BYTES: number = TLB_ENTRIES * TLB_ENTRY_BYTES

/** Bytes of the count of changes, and of what fills it up to an entry. */
const CHANGES_BYTES = 16

/**
 * Returns the bytes of machine memory that a TLB takes.
 *
 * @param modes - access modes that it keeps translations of
 */
export function tlbBytes(modes: number): number {
  return tlbChangesOffset(modes) + CHANGES_BYTES
}

/**
 * Returns where the 32-bit count of `Tlb.changes` lies, in bytes from the first set, for generated code.
 *
 * @param modes - access modes that the TLB keeps translations of
 */
export function tlbChangesOffset(modes: number): number {
  return (modes + 1) * TLB_SET_BYTES
}
