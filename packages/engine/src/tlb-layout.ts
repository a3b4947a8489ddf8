/** Geometry of the TLB, as generated code and {@link Tlb} both need it. */

/** Offset of the read table in a set. */
export const TLB_READ = 0
/** Offset of the write table in a set. */
export const TLB_WRITE = 0x4000
/** Offset of the execute table in a set. */
export const TLB_EXECUTE = 0x8000
/** Bits of a linear address, shifted right by 8, that give an entry's offset in its table. */
export const TLB_INDEX_MASK = 0x3ff0
