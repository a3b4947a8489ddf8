import type { MachineMemory } from '@retrap/memory'
import { isLeaf, isTable, leafLo, LEVELS, LO_LARGE, LO_RWX, TABLE_HI, tableLo, typeOf } from './entry.ts'
import { P2mError } from './errors.ts'
import { INVALID_MFN, isForeign, isRam, MAX_GFN, P2mType } from './types.ts'

/** What `lookup` found. The caller owns it and passes it in. */
export class P2mEntry {
  /** Machine frame of the very frame asked for; {@link INVALID_MFN} if it is not RAM. */
  mfn: number = INVALID_MFN
  /** One of `P2mType`. */
  type: number = P2mType.MMIO_DM
  /** Order of the leaf, or of the hole: 0, 9, 18, or 27 for a hole of 512 GiB. */
  order: number = 0
  /** `P2M_` bits. */
  rights: number = 0
}

/** The tables themselves: walking them, and the path to an entry. What entries mean to a domain is {@link P2m}'s. */
export class RadixTable {
  /** Frames in use for tables, the root included. */
  tables: number
  /** See {@link RadixTable.isWhole}. */
  wholeLo: number = 0
  wholeHi: number = 0
  readonly #memory: MachineMemory
  readonly #u32: Uint32Array
  readonly #root: number
  readonly #words: Uint32Array = new Uint32Array(2)

  /** @param root - MA of the top table */
  constructor(memory: MachineMemory, root: number) {
    this.#memory = memory
    this.#u32 = memory.u32
    this.#root = root
    this.tables = this.#count(root, LEVELS)
  }

  /** MA of a guest-physical address whose leaf has at least one of the rights; else −1. */
  translate(gpa: number, rights: number): number {
    const lo = this.#leafLo(gpa)
    return (lo & rights) === 0 ? -1 : this.#machine(lo, gpa)
  }

  /** See `P2m.lookup`. */
  lookup(gfn: number, into: P2mEntry): number {
    const memory = this.#memory
    const words = this.#words
    let table = this.#root
    into.mfn = INVALID_MFN
    into.rights = 0
    into.type = P2mType.MMIO_DM
    into.order = 27
    if (!(gfn >= 0 && gfn < MAX_GFN)) return P2mType.MMIO_DM
    for (let level = LEVELS; level >= 1; level--) {
      const order = (level - 1) * 9
      memory.readEntry(table + indexOf(gfn, level) * 8, words)
      const lo = words[0] as number
      const hi = words[1] as number
      into.order = order
      if (isLeaf(lo, hi, level)) {
        into.type = typeOf(hi)
        into.rights = lo & LO_RWX
        if (isRam(into.type) || isForeign(into.type)) into.mfn = (lo >>> 12) + (gfn % 2 ** order)
        return into.type
      }
      if ((lo & LO_RWX) === 0) return P2mType.MMIO_DM
      table = (lo & ~0xfff) >>> 0
    }
    return P2mType.MMIO_DM
  }

  /** Low word of the leaf that maps an address with any rights; 0 if there is none. */
  #leafLo(gpa: number): number {
    const u32 = this.#u32
    const low = gpa >>> 0
    let lo = 0
    let index = low >>> 30
    if (low === gpa) {
      lo = u32[this.#root >>> 2] as number
    } else {
      if (!(gpa >= 0 && gpa < MAX_GFN * 4096)) return 0
      lo = u32[(this.#root >>> 2) + ((gpa / 0x80_0000_0000) & 511) * 2] as number
      index = (gpa / 0x4000_0000) & 511
    }
    if ((lo & LO_RWX) === 0) return 0
    lo = u32[((lo & ~0xfff) >>> 2) + index * 2] as number
    if ((lo & LO_RWX) === 0) return 0
    // The order of a large leaf is handed on in bits that a leaf does not use: 8 for 1 GiB, 9 for 2 MiB.
    if ((lo & LO_LARGE) !== 0) return lo | 0x100
    lo = u32[((lo & ~0xfff) >>> 2) + ((low >>> 21) & 511) * 2] as number
    if ((lo & LO_RWX) === 0) return 0
    if ((lo & LO_LARGE) !== 0) return lo | 0x200
    lo = u32[((lo & ~0xfff) >>> 2) + ((low >>> 12) & 511) * 2] as number
    return (lo & LO_RWX) === 0 ? 0 : lo
  }

  #machine(lo: number, gpa: number): number {
    const offset = (lo & 0x300) === 0 ? 0xfff : (lo & 0x100) === 0 ? 0x1f_ffff : 0x3fff_ffff
    return ((lo & ~offset) | (gpa & offset)) >>> 0
  }

  /**
   * MA of the entry for a run, with tables made and larger leaves broken up on the way; what is mapped stays the same.
   * All frames for tables are taken before the first is used: a leaf is broken up all the way, or stays whole.
   *
   * @throws P2mError `ERR_NO_MEMORY`; nothing has changed then
   */
  path(gfn: number, order: number): number {
    const target = order / 9 + 1
    let table = this.#root
    let spare: number[] | null = null
    for (let level = LEVELS; level > target; level--) {
      const ma = table + indexOf(gfn, level) * 8
      const lo = this.#u32[ma >>> 2] as number
      const hi = this.#u32[(ma >>> 2) + 1] as number
      if (isTable(lo, hi, level)) {
        table = (lo & ~0xfff) >>> 0
        continue
      }
      spare ??= this.#takeFrames(level - target)
      const mfn = spare.pop() as number
      this.tables++
      table = mfn * 4096
      // Filled before it is published: another thread's walk sees the leaf or all of its parts.
      if (isLeaf(lo, hi, level)) this.#fillFromLeaf(table, lo, hi, (level - 1) * 9)
      this.#memory.publishEntry(ma, tableLo(mfn), TABLE_HI)
    }
    return table + indexOf(gfn, target) * 8
  }

  #takeFrames(count: number): number[] {
    const frames = this.#memory.frames
    const taken: number[] = []
    while (taken.length < count) {
      const mfn = frames.tryAllocate(0)
      if (mfn < 0) {
        for (const each of taken) frames.free(each)
        throw noTable(this.#memory)
      }
      taken.unshift(mfn)
    }
    return taken
  }

  /**
   * Whether the entry for a run points to a table that one entry can stand for: of nothing at all, or of leaves of one
   * type in consecutive, aligned machine frames. That entry is `wholeLo` and `wholeHi` then.
   */
  isWhole(gfn: number, order: number): boolean {
    const target = order / 9 + 1
    let table = this.#root
    for (let level = LEVELS; level >= target; level--) {
      const word = (table + indexOf(gfn, level) * 8) >>> 2
      const lo = this.#u32[word] as number
      if (!isTable(lo, this.#u32[word + 1] as number, level)) return false
      table = (lo & ~0xfff) >>> 0
    }
    const word = table >>> 2
    const lo = this.#u32[word] as number
    const hi = this.#u32[word + 1] as number
    this.wholeLo = 0
    this.wholeHi = 0
    let step = 0
    if (lo !== 0 || hi !== 0) {
      if (order > 18 || !isLeaf(lo, hi, target - 1)) return false
      const type = typeOf(hi)
      if (isForeign(type)) return false
      const mfn = lo >>> 12
      if (isRam(type)) {
        if (mfn % 2 ** order !== 0) return false
        step = 2 ** (order - 9) * 4096
      }
      this.wholeLo = leafLo(mfn, type, order)
      this.wholeHi = hi
    }
    for (let i = 1; i < 512; i++) {
      if (this.#u32[word + i * 2] !== lo + i * step || this.#u32[word + i * 2 + 1] !== hi) return false
    }
    return true
  }

  #fillFromLeaf(table: number, lo: number, hi: number, order: number): void {
    const type = typeOf(hi)
    const step = 2 ** (order - 9)
    for (let i = 0; i < 512; i++) {
      const word = (table >>> 2) + i * 2
      this.#u32[word] = leafLo((lo >>> 12) + i * step, type, order - 9)
      this.#u32[word + 1] = hi
    }
  }

  /** Guest frame of the first foreign leaf below an entry, which maps from `gfn` on; −1 if there is none. */
  foreignBelow(lo: number, hi: number, level: number, gfn: number): number {
    if (isLeaf(lo, hi, level)) return isForeign(typeOf(hi)) ? gfn : -1
    if (!isTable(lo, hi, level)) return -1
    const table = (lo & ~0xfff) >>> 2
    for (let i = 0; i < 512; i++) {
      const word = table + i * 2
      const below = gfn + i * 2 ** ((level - 2) * 9)
      const found = this.foreignBelow(this.#u32[word] as number, this.#u32[word + 1] as number, level - 1, below)
      if (found >= 0) return found
    }
    return -1
  }

  /** Whether a leaf, of any type, covers a frame. */
  isMapped(gfn: number): boolean {
    let table = this.#root
    for (let level = LEVELS; level >= 1; level--) {
      const word = (table + indexOf(gfn, level) * 8) >>> 2
      const lo = this.#u32[word] as number
      const hi = this.#u32[word + 1] as number
      if (isLeaf(lo, hi, level)) return true
      if (!isTable(lo, hi, level)) return false
      table = (lo & ~0xfff) >>> 0
    }
    return false
  }

  #count(table: number, level: number): number {
    let count = 1
    for (let i = 0; level > 1 && i < 512; i++) {
      const word = (table >>> 2) + i * 2
      const lo = this.#u32[word] as number
      if (isTable(lo, this.#u32[word + 1] as number, level)) count += this.#count((lo & ~0xfff) >>> 0, level - 1)
    }
    return count
  }

  /** Gives a table's frame back, and those of all tables below it. */
  free(table: number, level: number): void {
    for (let i = 0; level > 1 && i < 512; i++) {
      const word = (table >>> 2) + i * 2
      const lo = this.#u32[word] as number
      if (isTable(lo, this.#u32[word + 1] as number, level)) this.free((lo & ~0xfff) >>> 0, level - 1)
    }
    this.#memory.frames.free(table / 4096, 0)
    this.tables--
  }
}

function indexOf(gfn: number, level: number): number {
  if (level === 1) return gfn & 511
  if (level === 2) return (gfn >>> 9) & 511
  if (level === 3) return (gfn >>> 18) & 511
  return (gfn / 0x800_0000) & 511
}

/** The error for a table that there is no frame for. */
export function noTable(memory: MachineMemory): P2mError {
  return new P2mError('ERR_NO_MEMORY', `no machine frame for a p2m table: ${memory.frames.freeFrames} free`, {
    freeFrames: memory.frames.freeFrames,
  })
}
