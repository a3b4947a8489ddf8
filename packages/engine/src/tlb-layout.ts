import { PAGE_BYTES, PAGE_SHIFT } from '@retrap/memory'

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
export const TLB_ENTRY_BYTES = 16
/** Offset of an entry's word of flags. */
export const TLB_FLAGS = 12
/** Lowest bit of the page's protection key in the word of flags, five bits. */
export const TLB_KEY_SHIFT = 8
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
/**
 * The entry is for the slow path only, which takes the page from it and does not walk: see {@link makeSlow}. Its tag is that of the
 * page after its own, which no address with the entry's index has. Its target is the page, also that of an execute entry.
 */
export const FLAG_SLOW = 0x20_0000
/** Of a slow entry for writes: the host is asked for the page before the next one, which it may log. */
export const FLAG_LOGGED = 0x40_0000
/** The properties of the page, and the entry's form, which a restored entry has again. */
export const FLAG_PAGE: number = FLAG_GLOBAL | FLAG_SIZE | FLAG_KEY | FLAG_SLOW | FLAG_LOGGED

/** Where the machine address of its frame lies, from a slot table. */
export const SLOTS_FRAME = -4

/** Returns the machine address of the frame that a slot table is of. */
export const frameOfSlots = (u32: Uint32Array, slots: number): number => u32[(slots + SLOTS_FRAME) >>> 2]!

/** Returns the low word of the linear address of an entry's page. @param at - index of the entry's first word */
export const pageOfEntry = (words: Uint32Array, at: number): number =>
  (words[at]! - ((words[at + 3]! & FLAG_SLOW) === 0 ? 0 : PAGE_BYTES)) >>> 0

/**
 * Makes an entry be for the slow path only, if it holds anything: generated code is to find it no more, and the page was walked.
 *
 * @param words - array with the entry's four words, at `at`
 * @param u32 - machine memory
 * @param isExecute - whether its target is a slot table
 */
export function makeSlow(words: Uint32Array, at: number, u32: Uint32Array, isExecute: boolean): void {
  const flags = words[at + 3]!
  if ((flags & (FLAG_VALID | FLAG_SLOW)) !== FLAG_VALID) return
  words[at] = words[at]! + PAGE_BYTES
  if (isExecute) words[at + 2] = frameOfSlots(u32, words[at + 2]!)
  words[at + 3] = flags | FLAG_SLOW
}

/** The properties of a translated page that decide when its entry is dropped. */
export interface TlbPage {
  /** The page is mapped in every address space. */
  readonly global: boolean
  /** Bytes of the page that the guest's tables map: a power of two from 4 KiB to 1 GiB. */
  readonly pageBytes: number
  /** Protection key of the page, 0–31; see `Tlb.dropKeys`. */
  readonly key: number
}

/** As {@link makeSlow}, for an entry for writes of a frame whose next write the host is to be asked for. */
export function makeLogged(words: Uint32Array, at: number, u32: Uint32Array): void {
  makeSlow(words, at, u32, false)
  if ((words[at + 3]! & FLAG_SLOW) !== 0) words[at + 3]! |= FLAG_LOGGED
}

/** The page of a TLB entry, as {@link TlbPage}; the fields of a translation that a walk would have found. */
export interface TranslatedPage {
  /** Machine address of the byte. */
  ma: number
  /** An entry for writes: the page may be written without the host, which logs no write of it. */
  writable: boolean
  /** True: the page is in the TLB. */
  cacheable: boolean
  /** As {@link TlbPage.global}. */
  global: boolean
  /** As {@link TlbPage.pageBytes}. */
  pageBytes: number
  /** As {@link TlbPage.key}. */
  key: number
}

export function pageFlags({ global, pageBytes, key }: TlbPage): number {
  const size = 31 - PAGE_SHIFT - Math.clz32(pageBytes)
  return (global ? FLAG_GLOBAL : 0) | (size << SIZE_SHIFT) | (key << TLB_KEY_SHIFT)
}

/** Fills in the page of an entry. @param ma - machine address of the byte @param flags - of the entry */
export function describePage(into: TranslatedPage, ma: number, flags: number, writable: boolean): void {
  into.ma = ma
  into.writable = writable
  into.cacheable = true
  into.global = (flags & FLAG_GLOBAL) !== 0
  into.pageBytes = PAGE_BYTES << ((flags & FLAG_SIZE) >>> SIZE_SHIFT)
  into.key = (flags & FLAG_KEY) >>> TLB_KEY_SHIFT
}

/** Returns whether a page has any protection key of a bit mask. */
export function hasKey(flags: number, keys: number): boolean {
  return ((keys >>> ((flags & FLAG_KEY) >>> TLB_KEY_SHIFT)) & 1) !== 0
}

/** Returns a linear address of two words. */
export const linearAddress = (lo: number, hi: number): bigint => (BigInt(hi >>> 0) << 32n) | BigInt(lo >>> 0)
