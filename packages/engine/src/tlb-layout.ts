import { PAGE_SHIFT } from '@retrap/memory'

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
/** Offset of an entry's word of flags. */
export const TLB_FLAGS = 12
/** Lowest bit of the page's protection key in the word of flags, five bits. */
export const TLB_KEY_SHIFT = 8
/** Bytes of a table. */
export const TLB_TABLE_BYTES: number = TLB_ENTRIES * TLB_ENTRY_BYTES

/** Bytes of the count of changes, with padding to the size of an entry. */
const CHANGES_BYTES = 16

/**
 * Returns the bytes of machine memory that a TLB takes.
 *
 * @param modes - access modes with translations
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

// The last word of a TLB entry, of which generated code reads the key at most.
/** Valid in every address space. */
export const FLAG_GLOBAL = 1
export const FLAG_VALID = 0x20
/** The entry is in the journal of global entries, perhaps although it is invalid. */
export const FLAG_NOTED_GLOBAL = 0x40
/** The entry is in the journal of non-global entries, perhaps in both. */
export const FLAG_NOTED_LOCAL = 0x80
export const FLAG_NOTED = 0xc0
/** Protection key. */
const FLAG_KEY: number = 0x1f << TLB_KEY_SHIFT
/** Page size of the guest's tables, log2 of the count of 4 KiB pages in it, five bits. */
export const SIZE_SHIFT = 16
export const FLAG_SIZE = 0x1f_0000
/** The largest size whose fragments are found by regions of 4 MiB; fragments of larger pages by regions of 1 GiB. */
export const SIZE_4M: number = 10 << SIZE_SHIFT
/** The properties of the page, which a restored entry has again. */
export const FLAG_PAGE: number = FLAG_GLOBAL | FLAG_SIZE | FLAG_KEY

/** The properties of a translated page that decide when its entry is dropped. */
export interface TlbPage {
  /** The page is mapped in every address space. */
  readonly global: boolean
  /** Bytes of the page that the guest's tables map: a power of two from 4 KiB to 1 GiB. */
  readonly pageBytes: number
  /** Protection key of the page, 0–31; see `Tlb.dropKeys`. */
  readonly key: number
}

/** Returns the flags of a page. */
export function pageFlags({ global, pageBytes, key }: TlbPage): number {
  const size = 31 - PAGE_SHIFT - Math.clz32(pageBytes)
  return (global ? FLAG_GLOBAL : 0) | (size << SIZE_SHIFT) | (key << TLB_KEY_SHIFT)
}

/** Returns whether a page has any protection key of a bit mask. */
export function hasKey(flags: number, keys: number): boolean {
  return ((keys >>> ((flags & FLAG_KEY) >>> TLB_KEY_SHIFT)) & 1) !== 0
}

/** Returns a linear address of two words. */
export const linearAddress = (lo: number, hi: number): bigint => (BigInt(hi >>> 0) << 32n) | BigInt(lo >>> 0)
