import { PAGE_SHIFT } from '@retrap/memory'
import { TLB_KEY_SHIFT } from './tlb-layout.ts'

// The last word of a TLB entry, of which generated code reads the key at most.
/** Valid in every address space. */
export const FLAG_GLOBAL = 1
export const FLAG_VALID = 0x20
/** The entry is in the journal of global entries, where it may also be while it is invalid. */
export const FLAG_NOTED_GLOBAL = 0x40
/** The entry is in the journal of the other entries; it may be in both. */
export const FLAG_NOTED_LOCAL = 0x80
export const FLAG_NOTED = 0xc0
/** Protection key. */
const FLAG_KEY: number = 0x1f << TLB_KEY_SHIFT
/** Page size of the guest's tables, log2 of the count of 4 KiB pages in it, five bits. */
export const SIZE_SHIFT = 16
export const FLAG_SIZE = 0x1f_0000
/** The largest size whose fragments are found by regions of 4 MiB; those of larger pages by regions of 1 GiB. */
export const SIZE_4M: number = 10 << SIZE_SHIFT
/** The properties of the page, which an entry has again when it comes back. */
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

/** Returns whether a page has one of some protection keys, one bit each. */
export function hasKey(flags: number, keys: number): boolean {
  return ((keys >>> ((flags & FLAG_KEY) >>> TLB_KEY_SHIFT)) & 1) !== 0
}
