import type { MachineMemory } from '@retrap/memory'
import { TLB_EXECUTE_OFFSET, TLB_WRITE_OFFSET } from './semantics/context.ts'
import { S_TLB_SETS } from './state-layout.ts'

/**
 * The software TLB: for each access mode a set of three direct-mapped tables (read, write, execute) of 1024 entries.
 *
 * An entry is 16 bytes: 64-bit tag (linear address of the page), 32-bit machine address of the page (read, write) or of
 * the code page's slot table (execute). Generated code subtracts the tag from an address and compares the distance with
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

/** Fills that are remembered one by one, so that a flush costs what was filled. More, and a flush clears everything. */
const JOURNAL = 8192
const GLOBAL = 1

export class Tlb {
  readonly #u32: Uint32Array
  readonly #base: number
  /** Entry address, and GLOBAL in bit 0. */
  readonly #journal = new Uint32Array(JOURNAL)
  #filled = 0
  /** Linear 4 MiB and 1 GiB regions of which there are fragments of large pages. */
  readonly #large = new Set<number>()
  readonly #huge = new Set<number>()

  /** @param state - machine address of the vCPU's state */
  constructor(memory: MachineMemory, state: number) {
    this.#u32 = memory.u32
    this.#base = state + S_TLB_SETS
    this.#clear()
  }

  /** Machine address of a set. */
  setAddress(set: number): number {
    return this.#base + set * SET_BYTES
  }

  #clear(): void {
    for (let set = 0; set < SETS; set++) {
      for (let table = 0; table < 3; table++) {
        for (let i = 0; i < ENTRIES; i++) this.#invalidate(this.#base + set * SET_BYTES + table * TABLE_BYTES + i * 16)
      }
    }
    this.#filled = 0
    this.#large.clear()
    this.#huge.clear()
  }

  #invalidate(entry: number): void {
    const index = ((entry - this.#base) % TABLE_BYTES) >>> 4
    const word = entry >>> 2
    this.#u32[word] = ((index + 1) & (ENTRIES - 1)) << 12
    this.#u32[word + 1] = 0
  }

  /**
   * @param lo - linear address, low word; any byte of the page
   * @param target - machine address of the page's first byte, or of its slot table
   */
  fill(set: number, table: number, lo: number, hi: number, target: number, global: boolean, pageBytes: number): void {
    const entry = this.#base + set * SET_BYTES + table + ((lo >>> 8) & 0x3ff0)
    const word = entry >>> 2
    this.#u32[word] = lo & ~0xfff
    this.#u32[word + 1] = hi
    this.#u32[word + 2] = target
    if (pageBytes > 0x1000) {
      this.#large.add(hi * 0x400 + (lo >>> 22))
      if (pageBytes > 0x40_0000) this.#huge.add(hi * 4 + (lo >>> 30))
    }
    if (this.#filled === JOURNAL) {
      this.flush(true)
      this.#u32[word] = lo & ~0xfff
      this.#u32[word + 1] = hi
    }
    this.#journal[this.#filled++] = entry | (global ? GLOBAL : 0)
  }

  /** Machine address of the page that an entry has, or -1. */
  lookup(set: number, table: number, lo: number, hi: number): number {
    const word = (this.#base + set * SET_BYTES + table + ((lo >>> 8) & 0x3ff0)) >>> 2
    const hit = this.#u32[word] === (lo & ~0xfff) >>> 0 && this.#u32[word + 1] === hi >>> 0
    return hit ? (this.#u32[word + 2] as number) : -1
  }

  /** @param all - also global pages */
  flush(all: boolean): void {
    let kept = 0
    for (let i = 0; i < this.#filled; i++) {
      const item = this.#journal[i] as number
      if (!all && (item & GLOBAL) !== 0) this.#journal[kept++] = item
      else this.#invalidate(item & ~GLOBAL)
    }
    // An entry that was global and then filled again without, or the other way round, has both kinds of items: the
    // global one's tag is already gone, which is harmless.
    this.#filled = kept
    if (all) {
      this.#large.clear()
      this.#huge.clear()
    }
  }

  /** INVLPG: the page's entries in all modes; everything where it may be a fragment of a large page. */
  invalidatePage(lo: number, hi: number): void {
    if (this.#large.has(hi * 0x400 + (lo >>> 22)) || this.#huge.has(hi * 4 + (lo >>> 30))) {
      this.flush(true)
      return
    }
    const page = (lo & ~0xfff) >>> 0
    for (let set = 0; set < TLB_MISS; set++) {
      for (let table = 0; table < 3; table++) {
        const entry = this.#base + set * SET_BYTES + table * TABLE_BYTES + ((lo >>> 8) & 0x3ff0)
        if (this.#u32[entry >>> 2] === page && this.#u32[(entry >>> 2) + 1] === hi >>> 0) this.#invalidate(entry)
      }
    }
  }

  /** Forgets the execute tables: code pages have moved, or decode to something else. */
  flushExecute(): void {
    for (let i = 0; i < this.#filled; i++) {
      const entry = (this.#journal[i] as number) & ~GLOBAL
      if ((entry - this.#base) % SET_BYTES >= TLB_EXECUTE) this.#invalidate(entry)
    }
  }

  /** No linear page is writable at this machine address any more: the frame now holds decoded code. */
  dropWritable(frameMa: number): void {
    for (let i = 0; i < this.#filled; i++) {
      const entry = (this.#journal[i] as number) & ~GLOBAL
      const table = (entry - this.#base) % SET_BYTES
      if (table >= TLB_WRITE && table < TLB_EXECUTE && this.#u32[(entry >>> 2) + 2] === frameMa) this.#invalidate(entry)
    }
  }
}
