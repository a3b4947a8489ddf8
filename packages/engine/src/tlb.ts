import { PAGE_SHIFT } from '@retrap/memory'
import type { MachineMemory } from '@retrap/memory'
import { TLB_EXECUTE, TLB_INDEX_MASK, TLB_WRITE } from './tlb-layout.ts'

const ENTRIES = 1024
const TABLE_BYTES = ENTRIES * 16
const SET_BYTES = 3 * TABLE_BYTES

/**
 * Returns the bytes of machine memory that a TLB takes.
 *
 * @param modes - access modes that it keeps translations of
 */
export function tlbBytes(modes: number): number {
  return (modes + 1) * SET_BYTES
}

/** The properties of a translated page that decide when its entry is dropped. */
export interface TlbPage {
  /** The page is mapped in every address space. */
  readonly global: boolean
  /** Bytes of the page that the guest's tables map: a power of two from 4 KiB to 1 GiB. */
  readonly pageBytes: number
  /** Protection key of the page, 0–31; see {@link Tlb.dropKeys}. */
  readonly key: number
}

// The last word of an entry.
/** Valid in every address space. */
const FLAG_GLOBAL = 1
const FLAG_VALID = 0x20
/** The entry is in the journal of global entries, where it may also be while it is invalid. */
const FLAG_NOTED_GLOBAL = 0x40
/** The entry is in the journal of the other entries; it may be in both. */
const FLAG_NOTED_LOCAL = 0x80
const FLAG_NOTED = 0xc0
/** Protection key, five bits. */
const KEY_SHIFT = 8
const FLAG_KEY = 0x1f00
/** Page size of the guest's tables, log2 of the count of 4 KiB pages in it, five bits. */
const SIZE_SHIFT = 16
const FLAG_SIZE = 0x1f_0000
/** The largest size whose fragments are found by regions of 4 MiB; those of larger pages by regions of 1 GiB. */
const SIZE_4M: number = 10 << SIZE_SHIFT

/** Marks of frames, by frame number modulo their count: a write entry was made since everything was dropped. */
const WRITABLE_MARKS = 1024

/** Most address spaces whose entries are kept while another one is current. */
const MOST_PARKED = 8
const PARKED_WORDS = 5

/** The entries of an address space that is not the current one. */
interface Parked {
  /** Groups of five: address of the entry, then its four words. */
  words: Uint32Array
  /** Words in use. */
  length: number
  /** Execute tables were flushed since: the execute entries are not to come back. */
  staleExecute: boolean
}

/**
 * A software TLB in machine memory, for generated code and TypeScript.
 *
 * It has a set for each access mode: what selects an access's permissions beside the guest's tables, such as the privilege
 * level. A set has three direct-mapped tables (read, write, execute) of 1024 entries of 16 bytes: 64-bit tag (linear
 * address of the page), 32-bit machine address of the page (read, write) or of the code page's slot table (execute), and
 * a word of flags that generated code does not read. Generated code subtracts the tag from an address and compares the
 * distance with the page size. An invalid tag lies in a page with other index bits, so that the distance is always larger.
 *
 * One more set, the miss set, never holds an entry: with it every access takes the slow path.
 */
export class Tlb {
  /** Counts the calls that may have dropped an entry; to validate copies of translations that are kept elsewhere. */
  changes = 0
  /** Number of the set that holds nothing. */
  readonly missSet: number
  readonly #u32: Uint32Array
  readonly #base: number
  /** Journals: addresses of the global entries that may be valid, each once, and of all others. A flush costs what was filled. */
  readonly #globals: Uint32Array
  #globalCount = 0
  readonly #locals: Uint32Array
  #localCount = 0
  /** Linear 4 MiB and 1 GiB regions of which there may be fragments of large pages: global ones, and others. */
  readonly #globalLarge = new Set<number>()
  readonly #globalHuge = new Set<number>()
  readonly #localLarge = new Set<number>()
  readonly #localHuge = new Set<number>()
  readonly #writable = new Uint8Array(WRITABLE_MARKS)
  /** Protection keys of the entries made since everything was dropped, one bit each. */
  #keys = 0
  /** An entry was made since everything was dropped. */
  #filled = false
  /** By address space, the one that has been away longest first. */
  readonly #parked = new Map<number, Parked>()

  /**
   * @param at - machine address of {@link tlbBytes} bytes, 16-byte aligned
   * @param modes - access modes: sets that hold entries
   */
  constructor(memory: MachineMemory, at: number, modes: number) {
    this.#u32 = memory.u32
    this.#base = at
    this.missSet = modes
    const entries = modes * 3 * ENTRIES
    this.#globals = new Uint32Array(entries)
    this.#locals = new Uint32Array(entries)
    for (let set = 0; set <= modes; set++) {
      for (let table = 0; table < 3; table++) {
        for (let i = 0; i < ENTRIES; i++) {
          const entry = this.#base + set * SET_BYTES + table * TABLE_BYTES + i * 16
          this.#invalidate(entry)
          this.#u32[(entry >>> 2) + 3] = 0
        }
      }
    }
  }

  /** Returns the machine address of a set, for generated code. */
  setAddress(set: number): number {
    return this.#base + set * SET_BYTES
  }

  #invalidate(entry: number): void {
    const index = ((entry - this.#base) % TABLE_BYTES) >>> 4
    const word = entry >>> 2
    this.#u32[word] = ((index + 1) & (ENTRIES - 1)) << 12
    this.#u32[word + 1] = 0
    this.#u32[word + 3]! &= FLAG_NOTED
  }

  /**
   * Makes an entry.
   *
   * @param set - access mode
   * @param table - {@link TLB_READ}, {@link TLB_WRITE} or {@link TLB_EXECUTE}
   * @param lo - linear address, low word; any byte of the page
   * @param hi - high word
   * @param target - machine address of the page's first byte, or of its slot table
   */
  fill(set: number, table: number, lo: number, hi: number, target: number, page: TlbPage): void {
    const entry = this.#base + set * SET_BYTES + table + ((lo >>> 8) & TLB_INDEX_MASK)
    const { global, pageBytes, key } = page
    this.#keys |= 1 << key
    this.#write(entry, lo & ~0xfff, hi, target, (global ? FLAG_GLOBAL : 0) | sizeFlag(pageBytes) | (key << KEY_SHIFT))
  }

  #write(entry: number, lo: number, hi: number, target: number, flags: number): void {
    const word = entry >>> 2
    const u32 = this.#u32
    this.#filled = true
    this.#writable[(target >>> 12) & (WRITABLE_MARKS - 1)] = 1
    u32[word] = lo
    u32[word + 1] = hi
    u32[word + 2] = target
    let noted = u32[word + 3]! & FLAG_NOTED
    if ((flags & FLAG_GLOBAL) !== 0) {
      if ((noted & FLAG_NOTED_GLOBAL) === 0) this.#globals[this.#globalCount++] = entry
      noted |= FLAG_NOTED_GLOBAL
    } else {
      if ((noted & FLAG_NOTED_LOCAL) === 0) this.#locals[this.#localCount++] = entry
      noted |= FLAG_NOTED_LOCAL
    }
    u32[word + 3] = flags | FLAG_VALID | noted
    if ((flags & FLAG_SIZE) !== 0) this.#noteLarge(lo, hi, flags)
  }

  #noteLarge(lo: number, hi: number, flags: number): void {
    const global = (flags & FLAG_GLOBAL) !== 0
    if ((flags & FLAG_SIZE) > SIZE_4M) (global ? this.#globalHuge : this.#localHuge).add(hi * 4 + (lo >>> 30))
    else (global ? this.#globalLarge : this.#localLarge).add(hi * 0x400 + (lo >>> 22))
  }

  /** Returns the target of the entry for a linear address, or -1. */
  lookup(set: number, table: number, lo: number, hi: number): number {
    const word = (this.#base + set * SET_BYTES + table + ((lo >>> 8) & TLB_INDEX_MASK)) >>> 2
    const hit = this.#u32[word] === (lo & ~0xfff) >>> 0 && this.#u32[word + 1] === hi >>> 0
    return hit ? (this.#u32[word + 2] as number) : -1
  }

  /**
   * Drops entries of the current address space.
   *
   * @param all - also global ones, and those of all other address spaces
   */
  flush(all: boolean): void {
    this.changes++
    // A change of the guest's memory map flushes the TLB of every vCPU, also of those that sleep.
    if (!this.#filled) return
    this.#dropLocals(undefined)
    if (!all) return
    this.#filled = false
    this.#writable.fill(0)
    this.#keys = 0
    this.#parked.clear()
    this.#globalLarge.clear()
    this.#globalHuge.clear()
    const u32 = this.#u32
    for (let i = 0; i < this.#globalCount; i++) {
      const entry = this.#globals[i] as number
      this.#invalidate(entry)
      u32[(entry >>> 2) + 3] = 0
    }
    this.#globalCount = 0
  }

  /** Drops all entries that are not global; copies the valid ones `to` a store. */
  #dropLocals(to: Parked | undefined): void {
    const u32 = this.#u32
    for (let i = 0; i < this.#localCount; i++) {
      const entry = this.#locals[i] as number
      const word = entry >>> 2
      const flags = u32[word + 3] as number
      if ((flags & FLAG_GLOBAL) === 0) {
        if (to !== undefined && (flags & FLAG_VALID) !== 0) {
          const at = to.length
          to.words[at] = entry
          to.words[at + 1] = u32[word] as number
          to.words[at + 2] = u32[word + 1] as number
          to.words[at + 3] = u32[word + 2] as number
          to.words[at + 4] = flags
          to.length = at + PARKED_WORDS
        }
        this.#invalidate(entry)
      }
      u32[word + 3]! &= ~FLAG_NOTED_LOCAL
    }
    this.#localCount = 0
    this.#localLarge.clear()
    this.#localHuge.clear()
  }

  /**
   * Changes the address space and keeps the entries of the old one.
   *
   * The entries of `from` are put aside; those of `to` come back, if they were put aside before. Global entries stay.
   * Eight address spaces are kept.
   *
   * @param from - number (x86: PCID, Arm: ASID) of the address space that was current
   * @param to - number of the new one
   */
  exchange(from: number, to: number): void {
    this.changes++
    const old = this.#parked.get(from) ?? { words: new Uint32Array(0), length: 0, staleExecute: false }
    this.#parked.delete(from)
    const most = this.#localCount * PARKED_WORDS
    if (old.words.length < most) old.words = new Uint32Array(2 * most)
    old.length = 0
    old.staleExecute = false
    this.#dropLocals(old)
    const next = this.#parked.get(to)
    this.#parked.delete(to)
    this.#parked.set(from, old)
    if (next !== undefined) this.#bringBack(next)
    if (this.#parked.size > MOST_PARKED) {
      const [longest] = this.#parked.keys()
      this.#parked.delete(longest as number)
    }
  }

  #bringBack(parked: Parked): void {
    const { words, length, staleExecute } = parked
    for (let at = 0; at < length; at += PARKED_WORDS) {
      const entry = words[at] as number
      const flags = words[at + 4] as number
      if ((flags & FLAG_VALID) === 0 || (staleExecute && this.#tableOf(entry) === TLB_EXECUTE)) continue
      this.#write(
        entry,
        words[at + 1] as number,
        words[at + 2] as number,
        words[at + 3] as number,
        flags & (FLAG_GLOBAL | FLAG_SIZE | FLAG_KEY),
      )
    }
  }

  /** Drops the entries of an address space that is not the current one. */
  dropParked(space: number): void {
    this.#parked.delete(space)
  }

  /** Drops the entries of all address spaces but the current one. */
  dropAllParked(): void {
    this.#parked.clear()
  }

  /**
   * Drops a page's entries in all access modes, global ones too.
   *
   * If the page belongs to a larger one of the guest's tables, all entries of that are dropped.
   */
  invalidatePage(lo: number, hi: number): void {
    this.changes++
    const large = hi * 0x400 + (lo >>> 22)
    const huge = hi * 4 + (lo >>> 30)
    if (this.#globalLarge.has(large) || this.#globalHuge.has(huge)) {
      this.#dropFragments(this.#globals, this.#globalCount, lo, hi)
    }
    if (this.#localLarge.has(large) || this.#localHuge.has(huge)) {
      this.#dropFragments(this.#locals, this.#localCount, lo, hi)
    }
    const page = (lo & ~0xfff) >>> 0
    for (let set = 0; set < this.missSet; set++) {
      for (let table = 0; table < 3; table++) {
        const entry = this.#base + set * SET_BYTES + table * TABLE_BYTES + ((lo >>> 8) & TLB_INDEX_MASK)
        if (this.#u32[entry >>> 2] === page && this.#u32[(entry >>> 2) + 1] === hi >>> 0) this.#invalidate(entry)
      }
    }
  }

  #dropFragments(journal: Uint32Array, count: number, lo: number, hi: number): void {
    const u32 = this.#u32
    for (let i = 0; i < count; i++) {
      const entry = journal[i] as number
      const word = entry >>> 2
      const size = u32[word + 3]! & FLAG_SIZE
      if (size === 0 || u32[word + 1] !== hi >>> 0) continue
      if ((u32[word]! ^ lo) >>> (PAGE_SHIFT + (size >>> SIZE_SHIFT)) === 0) this.#invalidate(entry)
    }
  }

  /**
   * Drops the read and write entries of pages with some protection keys, in all address spaces.
   *
   * To be called when the keys have lost rights.
   *
   * @param keys - one bit for each {@link TlbPage.key}
   */
  dropKeys(keys: number): void {
    this.changes++
    // Nearly all pages have key 0, whose rights rarely change.
    if ((this.#keys & keys) === 0) return
    this.#dropKeysOf(this.#globals, this.#globalCount, keys)
    this.#dropKeysOf(this.#locals, this.#localCount, keys)
    for (const { words, length } of this.#parked.values()) {
      for (let at = 0; at < length; at += PARKED_WORDS) {
        if (this.#isDataOf(words[at] as number, words[at + 4] as number, keys)) words[at + 4] = 0
      }
    }
  }

  #dropKeysOf(journal: Uint32Array, count: number, keys: number): void {
    for (let i = 0; i < count; i++) {
      const entry = journal[i] as number
      if (this.#isDataOf(entry, this.#u32[(entry >>> 2) + 3] as number, keys)) this.#invalidate(entry)
    }
  }

  /** Returns whether an entry is for reads or writes, of a page with one of some keys. Keys do not restrict fetches. */
  #isDataOf(entry: number, flags: number, keys: number): boolean {
    return ((keys >>> ((flags & FLAG_KEY) >>> KEY_SHIFT)) & 1) !== 0 && this.#tableOf(entry) !== TLB_EXECUTE
  }

  #tableOf(entry: number): number {
    const offset = (entry - this.#base) % SET_BYTES
    return offset - (offset % TABLE_BYTES)
  }

  /** Drops all execute entries: slot tables have moved, or the code of the pages decodes to something else. */
  flushExecute(): void {
    this.#dropExecute(this.#globals, this.#globalCount)
    this.#dropExecute(this.#locals, this.#localCount)
    for (const parked of this.#parked.values()) parked.staleExecute = true
  }

  #dropExecute(journal: Uint32Array, count: number): void {
    for (let i = 0; i < count; i++) {
      const entry = journal[i] as number
      if (this.#tableOf(entry) === TLB_EXECUTE) this.#invalidate(entry)
    }
  }

  /**
   * Drops all write entries of a frame, in all address spaces: its writes must be seen from now on.
   *
   * @param frameMa - machine address of the frame
   */
  dropWritable(frameMa: number): void {
    if (this.#writable[(frameMa >>> 12) & (WRITABLE_MARKS - 1)] === 0) return
    this.#dropWritableOf(this.#globals, this.#globalCount, frameMa)
    this.#dropWritableOf(this.#locals, this.#localCount, frameMa)
    for (const { words, length } of this.#parked.values()) {
      for (let at = 0; at < length; at += PARKED_WORDS) {
        if (words[at + 3] === frameMa && this.#tableOf(words[at] as number) === TLB_WRITE) words[at + 4] = 0
      }
    }
  }

  #dropWritableOf(journal: Uint32Array, count: number, frameMa: number): void {
    for (let i = 0; i < count; i++) {
      const entry = journal[i] as number
      if (this.#u32[(entry >>> 2) + 2] === frameMa && this.#tableOf(entry) === TLB_WRITE) this.#invalidate(entry)
    }
  }
}

/** Returns the size bits of a page: a power of two, at most 1 GiB. */
function sizeFlag(pageBytes: number): number {
  return (31 - PAGE_SHIFT - Math.clz32(pageBytes)) << SIZE_SHIFT
}
