import type { MachineMemory } from '@retrap/memory'
import { TLB_EXECUTE_OFFSET, TLB_WRITE_OFFSET } from './tlb-layout.ts'
import { S_TLB_SETS } from './state-layout.ts'

/**
 * The software TLB: for each access mode a set of three direct-mapped tables (read, write, execute) of 1024 entries.
 *
 * An entry is 16 bytes: 64-bit tag (linear address of the page), 32-bit machine address of the page (read, write) or of
 * the code page's slot table (execute), and what generated code does not look at: `FLAG_*`. Generated code subtracts the tag from an address and compares the distance with
 * the page size (engine.md, "TLB"). An invalid tag lies in a page with other index bits, so that no address comes near it.
 */

/** Access modes: what decides permissions besides the tables, short of what makes everything be looked up anew. */
export const TLB_USER = 0
/** Supervisor, where SMAP does not apply: CR4.SMAP = 0, or RFLAGS.AC = 1. */
export const TLB_SUPERVISOR = 1
/** Supervisor under SMAP. */
export const TLB_SUPERVISOR_SMAP = 2
/** Holds nothing, ever: logged passes, data breakpoints, alignment checks. */
export const TLB_MISS = 3

const ENTRIES = 1024
const TABLE_BYTES = ENTRIES * 16
const SET_BYTES = 3 * TABLE_BYTES
const SETS = 4

/** Tables by number. */
export const TLB_READ = 0
export const TLB_WRITE: number = TLB_WRITE_OFFSET
export const TLB_EXECUTE: number = TLB_EXECUTE_OFFSET

/** Bytes of state that the TLB takes. */
export const TLB_BYTES: number = SETS * SET_BYTES

/** Entries that can be valid at once. */
const JOURNAL = (SETS - 1) * 3 * ENTRIES

/** What is kept of a page beside its address; a `Translation` has it. */
export interface TlbPage {
  /** Good in every address space. */
  readonly global: boolean
  /** Bytes of the page that the guest's tables map. */
  readonly pageBytes: number
  /** As `Translation.key`. */
  readonly key: number
}

// The last word of an entry.
/** Kept where non-global entries go, and good in every address space (PCID). */
const FLAG_GLOBAL = 1
/** The guest's tables map a larger page: 2 MiB, 4 MiB, 1 GiB. */
const FLAG_2M = 2
const FLAG_4M = 4
const FLAG_1G = 6
const FLAG_SIZE = 6
const FLAG_VALID = 0x20
/** It is in the journal of global entries; in the other one. It may be in both, or be there and not be valid. */
const FLAG_NOTED_GLOBAL = 0x40
const FLAG_NOTED_LOCAL = 0x80
const FLAG_NOTED = 0xc0
/** Protection key, five bits: `Translation.key`. */
const KEY_SHIFT = 8
const FLAG_KEY = 0x1f00

/** By frame number modulo their count: whether a frame was made writable since everything was dropped. */
const WRITABLE_MARKS = 1024

/** Address spaces whose entries are kept while another one is current. */
const MOST_PARKED = 8
const PARKED_WORDS = 5

/** The entries of an address space that is not the current one: entry address, then the entry's four words. */
interface Parked {
  words: Uint32Array
  /** Words in use. */
  length: number
  /** Its execute entries are out of date. */
  staleExecute: boolean
}

export class Tlb {
  /** Counts what takes translations away; for whoever keeps one of a page that is no RAM. */
  changes = 0
  readonly #u32: Uint32Array
  readonly #base: number
  /** Addresses of all global entries that may be valid, each once, and of all others: a flush costs what was filled. */
  readonly #globals = new Uint32Array(JOURNAL)
  #globalCount = 0
  readonly #locals = new Uint32Array(JOURNAL)
  #localCount = 0
  /** Linear 4 MiB and 1 GiB regions of which there may be fragments of large pages: global ones, and others. */
  readonly #globalLarge = new Set<number>()
  readonly #globalHuge = new Set<number>()
  readonly #localLarge = new Set<number>()
  readonly #localHuge = new Set<number>()
  readonly #writable = new Uint8Array(WRITABLE_MARKS)
  /** Keys of pages that there may be entries of, one bit each, since everything was dropped. */
  #keys = 0
  /** There may be entries, of this address space or of another. */
  #filled = false
  /** By PCID, the one that has been away longest first. */
  readonly #parked = new Map<number, Parked>()

  /** @param state - machine address of the vCPU's state */
  constructor(memory: MachineMemory, state: number) {
    this.#u32 = memory.u32
    this.#base = state + S_TLB_SETS
    for (let set = 0; set < SETS; set++) {
      for (let table = 0; table < 3; table++) {
        for (let i = 0; i < ENTRIES; i++) {
          const entry = this.#base + set * SET_BYTES + table * TABLE_BYTES + i * 16
          this.#invalidate(entry)
          this.#u32[(entry >>> 2) + 3] = 0
        }
      }
    }
  }

  /** Machine address of a set. */
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
   * @param lo - linear address, low word; any byte of the page
   * @param target - machine address of the page's first byte, or of its slot table
   */
  fill(set: number, table: number, lo: number, hi: number, target: number, page: TlbPage): void {
    const entry = this.#base + set * SET_BYTES + table + ((lo >>> 8) & 0x3ff0)
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
    if ((flags & FLAG_SIZE) === FLAG_1G) (global ? this.#globalHuge : this.#localHuge).add(hi * 4 + (lo >>> 30))
    else (global ? this.#globalLarge : this.#localLarge).add(hi * 0x400 + (lo >>> 22))
  }

  /** Machine address of the page that an entry has, or -1. */
  lookup(set: number, table: number, lo: number, hi: number): number {
    const word = (this.#base + set * SET_BYTES + table + ((lo >>> 8) & 0x3ff0)) >>> 2
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
    // Whoever changes the guest's map comes by here for every vCPU, also for those that sleep.
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

  /** Drops all entries that are not global; those that are valid go `to` somewhere. */
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
   * MOV to CR3 that keeps what address spaces have (PCID): the entries of `from` are put aside, and those of `to`, if
   * they have been put aside before, come back.
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

  /** Drops what an address space that is not the current one has. */
  dropParked(pcid: number): void {
    this.#parked.delete(pcid)
  }

  /** Drops what all address spaces but the current one have. */
  dropAllParked(): void {
    this.#parked.clear()
  }

  /** INVLPG: the page's entries in all modes, global ones too, and all fragments of the large page that it may be in. */
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
    for (let set = 0; set < TLB_MISS; set++) {
      for (let table = 0; table < 3; table++) {
        const entry = this.#base + set * SET_BYTES + table * TABLE_BYTES + ((lo >>> 8) & 0x3ff0)
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
      const bits = size === FLAG_2M ? 21 : size === FLAG_4M ? 22 : 30
      if ((u32[word]! ^ lo) >>> bits === 0) this.#invalidate(entry)
    }
  }

  /**
   * Protection keys have lost rights: what has been translated for data of their pages is dropped, in all address spaces.
   *
   * @param keys - one bit for each `Translation.key`
   */
  dropKeys(keys: number): void {
    this.changes++
    // Nearly all pages have key 0, whose rights hardly ever change.
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

  /** Whether an entry is for reads or writes of a page with one of some keys. Fetches are not subject to keys. */
  #isDataOf(entry: number, flags: number, keys: number): boolean {
    return ((keys >>> ((flags & FLAG_KEY) >>> KEY_SHIFT)) & 1) !== 0 && this.#tableOf(entry) !== TLB_EXECUTE
  }

  #tableOf(entry: number): number {
    const offset = (entry - this.#base) % SET_BYTES
    return offset - (offset % TABLE_BYTES)
  }

  /** Forgets the execute tables: code pages have moved, or decode to something else. */
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

  /** No linear page is writable at this machine address any more: the frame now holds decoded code. */
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

function sizeFlag(pageBytes: number): number {
  if (pageBytes <= 0x1000) return 0
  return pageBytes > 0x40_0000 ? FLAG_1G : pageBytes === 0x40_0000 ? FLAG_4M : FLAG_2M
}
