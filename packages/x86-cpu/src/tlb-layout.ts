/**
 * Geometry of a TLB set, as generated code and `tlb.ts` both need it. The read table lies at offset 0 of a set.
 */
/** Offset of the write table. */
export const TLB_WRITE_OFFSET = 0x4000
/** Offset of the execute table. */
export const TLB_EXECUTE_OFFSET = 0x8000
/** Bits of a linear address, shifted right by 8, that give an entry's offset in its table. */
export const TLB_INDEX_MASK = 0x3ff0
