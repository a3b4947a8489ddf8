import { ADDRESS_HI, PTE_RW, PTE_US } from './bits.ts'
import type { WalkResult } from './walk-result.ts'

/** Words of an entry: address bits above the table's reach; address-space number and the topmost bits; table; its upper half. */
const WORDS = 4
/** Entries by level of the table that they lead to: 1 (from PDEs), 2 (PDPTEs), 3 (PML4Es), 4 (PML5Es). */
const COUNTS = [0, 512, 64, 16, 4] as const
const BASE = [0, 0, 512 * WORDS, 576 * WORDS, 592 * WORDS] as const
const TOTAL_WORDS = 596 * WORDS
const SPACES = 4096
/** Each PCID has a space of its own at first. */
const FIRST_SPACES: Uint32Array = Uint32Array.from({ length: SPACES }, (_, pcid) => pcid + 1)
/** Address-space numbers are multiplied by 32 in an entry. */
const LAST_SPACE = 2 ** 27 - 1

/** In the low bits of an entry's table address: NX of the levels above. RW and US are at their places. */
const ABOVE_NX = 0x800

/**
 * The entries that {@link PagingStructureCache.invalidate} drops. The numbers are INVPCID's types.
 *
 * Source: Intel SDM vol. 2A, "INVPCID"; vol. 3A, "Invalidation of TLBs and Paging-Structure Caches".
 */
export const Invalidate = {
  /** A linear address in one PCID: INVLPG, a page fault. */
  ADDRESS: 0,
  /** All entries of one PCID except global pages: MOV to CR3. */
  PCID: 1,
  /** Everything, of all PCIDs, and global pages: changes of CR0.PG, CR4.PGE, CR4.PCIDE and the like. */
  ALL: 2,
  /** Everything but global pages. */
  ALL_NON_GLOBAL: 3,
} as const

/** A value of `Invalidate`. */
export type Invalidate = (typeof Invalidate)[keyof typeof Invalidate]

/** A table that a {@link PagingStructureCache} has for a linear address. */
export interface CachedTable {
  /** Level of the table: 1 has the entries of pages. */
  readonly level: number
  /** Guest-physical address of the table. */
  readonly table: number
  /** Whether every entry above it allowed writes. */
  readonly writable: boolean
  /** Whether every entry above it allowed CPL 3. */
  readonly user: boolean
  /** Whether no entry above it forbade execution. */
  readonly executable: boolean
}

/**
 * A paging-structure cache: where a walk can begin below the top. It holds upper-level entries that were present, had no
 * reserved bits set and had A set, with the rights of all levels above; never leaves, so that nothing in it is global. One per
 * vCPU; {@link walk} uses and fills it. Like a processor's it is not coherent with memory: any party that executes the guest's
 * instructions reports their invalidations by {@link PagingStructureCache.invalidate}.
 *
 * Each PCID has an address-space number, which is part of its entries; taking a new one drops them all at once.
 *
 * Source: Intel SDM vol. 3A, "Paging-Structure Caches".
 */
export class PagingStructureCache {
  /** After {@link PagingStructureCache.find}: guest-physical address of the table. */
  table: number = 0
  /** RW and US of the levels above, at their places in an entry. */
  rights: number = 0
  /** Negative if NX is set above. */
  nx: number = 0
  readonly #words: Uint32Array = new Uint32Array(TOTAL_WORDS)
  readonly #spaces: Uint32Array = FIRST_SPACES.slice()
  #lastSpace: number = SPACES
  /** Whether entries were added since all were dropped. */
  #filled = false

  /**
   * Looks for the lowest table on the way to a linear address.
   *
   * @param top - level of the table that CR3 names
   * @returns the cached table's level, or 0 if only the top is known
   */
  find(lo: number, hi: number, top: number, pcid: number): number {
    const space = this.#spaces[pcid]!
    const high = space * 32 + ((hi >>> 21) & 31)
    const words = this.#words
    const key = ((lo >>> 21) | (hi << 11)) >>> 0
    const at = ((key ^ (key >>> 9) ^ Math.imul(space, 0x9d)) & 511) * WORDS
    if (words[at] === key && words[at + 1] === high) return this.#found(at, 1)
    for (let level = 2; level < top; level++) {
      const key = keyOf(lo, hi, level)
      const at = slotOf(key, level, space)
      if (words[at] === key && words[at + 1] === high) return this.#found(at, level)
    }
    return 0
  }

  #found(at: number, level: number): number {
    const low = this.#words[at + 2]!
    this.table = this.#words[at + 3]! * 0x1_0000_0000 + ((low & ~0xfff) >>> 0)
    this.rights = low & 6
    this.nx = (low & ABOVE_NX) === 0 ? 0 : -1
    return level
  }

  /** Returns the cached table of a level for a linear address, for debuggers; undefined if none. Walks are not affected. */
  peek(lo: number, hi: number, level: number, pcid: number): CachedTable | undefined {
    const space = this.#spaces[pcid]!
    const key = keyOf(lo, hi, level)
    const at = slotOf(key, level, space)
    const words = this.#words
    if (words[at] !== key || words[at + 1] !== space * 32 + ((hi >>> 21) & 31)) return undefined
    const low = words[at + 2]!
    return {
      level,
      table: words[at + 3]! * 0x1_0000_0000 + ((low & ~0xfff) >>> 0),
      writable: (low & PTE_RW) !== 0,
      user: (low & PTE_US) !== 0,
      executable: (low & ABOVE_NX) === 0,
    }
  }

  /**
   * Keeps the table of a level, which an entry of a walk names.
   *
   * @param found - a walk that has succeeded, with the entry of the level above
   * @param rights - RW and US of all levels above
   * @param nx - negative if NX is set above
   */
  put(found: WalkResult, level: number, pcid: number, rights: number, nx: number): void {
    const { linearLo, linearHi, entries } = found
    const space = this.#spaces[pcid]!
    const key = keyOf(linearLo, linearHi, level)
    const at = slotOf(key, level, space)
    const words = this.#words
    this.#filled = true
    words[at] = key
    words[at + 1] = space * 32 + ((linearHi >>> 21) & 31)
    words[at + 2] = (entries[level * 2]! & ~0xfff) | (rights & 6) | (nx < 0 ? ABOVE_NX : 0)
    words[at + 3] = entries[level * 2 + 1]! & ADDRESS_HI
  }

  /**
   * Drops the entries that an instruction or an event invalidates. INVLPG may drop all entries of its PCID, and every
   * `ADDRESS` here does so.
   *
   * @param scope - an `Invalidate` number
   * @param pcid - 0 to 4095; for `ADDRESS` and `PCID`
   */
  invalidate(scope: number, pcid: number): void {
    if (scope === Invalidate.ADDRESS || scope === Invalidate.PCID) {
      if (this.#lastSpace < LAST_SPACE) {
        this.#spaces[pcid] = ++this.#lastSpace
        return
      }
    }
    if (!this.#filled) return
    this.#filled = false
    // No entry has address-space number 0.
    this.#words.fill(0)
    if (this.#lastSpace < LAST_SPACE) return
    for (let each = 0; each < SPACES; each++) this.#spaces[each] = each + 1
    this.#lastSpace = SPACES
  }

  /**
   * Drops the cached tables of an address, as a page fault does. `walk` does this itself if it has the cache; after a
   * fault without the cache, in a logged pass, the caller has to.
   *
   * @param top - level of the table that CR3 names
   */
  drop(lo: number, hi: number, top: number, pcid: number): void {
    const space = this.#spaces[pcid]!
    for (let level = 1; level < top; level++) this.#words[slotOf(keyOf(lo, hi, level), level, space) + 1] = 0
  }
}

/** The linear address's bits above the bits that a table of a level translates, from bit 52 down. */
function keyOf(lo: number, hi: number, level: number): number {
  if (level === 1) return ((lo >>> 21) | (hi << 11)) >>> 0
  if (level === 2) return ((lo >>> 30) | (hi << 2)) >>> 0
  if (level === 3) return hi >>> 7
  return hi >>> 16
}

function slotOf(key: number, level: number, space: number): number {
  const count = COUNTS[level]!
  const mixed = key ^ (key >>> 9) ^ Math.imul(space, 0x9d)
  return BASE[level]! + (mixed & (count - 1)) * WORDS
}
