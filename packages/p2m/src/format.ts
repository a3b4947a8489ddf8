import type { TypeTable } from './types.ts'

/**
 * How entries of a table are encoded. The masks are for walks that must be fast and look at the low word alone; the
 * functions are for everything else. Frame 0 of the machine is never anybody's: a leaf with address 0 has no frame.
 */
export interface TableFormat {
  readonly name: 'ept' | 'lpae'
  readonly types: TypeTable
  /** Bits of the low word: with any of them set hardware considers the entry present. */
  readonly present: number
  /** Hardware takes an entry above level 1 for a leaf if the low word, exclusive-or `leafFlip`, has `leafBit`. */
  readonly leafBit: number
  readonly leafFlip: number
  /** Bit of the low word that a leaf has which can be read. */
  readonly read: number
  /** … and written. */
  readonly write: number
  /** … and executed; 0 where the low word does not say. */
  readonly execute: number
  /** Software's bit of a leaf's high word: the map holds a reference to each of its frames. */
  readonly counted: number
  /** Flag in the high word of an entry for a leaf table shared by several maps: see `SharedTable`. 0: not supported. */
  readonly sealed: number
  /** Bit of a leaf's high word: 16 aligned neighbours map consecutive frames with equal attributes. 0: the format has no such bit. */
  readonly contiguous: number
  /** Whether an entry in use must be made invalid, with a TLB flush, before it gets another value. */
  readonly breakBeforeMake: boolean
  /** Low word of a leaf. `mfn` below 0 for one without a frame. */
  leafLo(mfn: number, type: number, rights: number, order: number): number
  leafHi(type: number, rights: number, access: number): number
  tableLo(mfn: number): number
  readonly tableHi: number
  isLeaf(lo: number, hi: number, level: number): boolean
  isTable(lo: number, hi: number, level: number): boolean
  typeOf(hi: number): number
  accessOf(hi: number): number
  /** `P2M_` bits. */
  rightsOf(lo: number, hi: number): number
  /** Returns the low word of a leaf for frames `step` frames later; `order` is the new leaf's. */
  partLo(lo: number, step: number, order: number): number
}

/** Levels of a table of 4 KiB leaves, 2 MiB leaves and 1 GiB leaves; some have one more above. */
export const LEAF_LEVELS = 3

/** MA of the table that an entry's low word points to. */
export function tableOf(lo: number): number {
  // Bits 31:12; a literal is faster, and page walks call this at each level.
  return (lo & ~0xfff) >>> 0
}
