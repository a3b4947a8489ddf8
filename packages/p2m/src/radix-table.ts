import { PAGE_BYTES, type MachineMemory } from '@retrap/memory'
import { P2mError } from './errors.ts'
import type { TableFormat } from './format.ts'
import { INVALID_MFN, KIND_LARGE } from './types.ts'

/** What `lookup` found. The caller owns it and passes it in. */
export class P2mEntry {
  /** Machine frame of the very frame asked for; {@link INVALID_MFN} if it has none. */
  mfn: number = INVALID_MFN
  /** One of `P2mType`, or of `ArmP2mType`. */
  type: number = 0
  /** Order of the leaf, or of the hole: 0, 9, 18, or 27 for a hole of 512 GiB. */
  order: number = 0
  /** `P2M_` bits: those of the type that the access leaves over. */
  rights: number = 0
  /** One of `P2mAccess`. */
  access: number = 7
}

/** What is counted of the tables, for all views of them. */
export interface TableCounters {
  /** MA of the top table, or of the first of several. */
  readonly root: number
  /** Frames in use for tables. */
  tables: number
  /** Raised before a table is freed: a walk that saw the same number on both sides saw tables only. */
  readonly reclaims: number
  raiseReclaims(): void
}

/** What of a table's geometry does not change. */
export interface TableShape {
  /** Levels from the top table to the 4 KiB leaves: 3 or 4. */
  readonly levels: number
  /** Tables side by side at the top. */
  readonly roots: number
  /** Guest frames that it can map. */
  readonly limit: number
}

/** The tables themselves: walking them, and the path to an entry. What entries mean to a domain is the map's. */
export class RadixTable {
  readonly format: TableFormat
  readonly levels: number
  /** Guest frames that it can map. */
  readonly limit: number
  /** See {@link RadixTable.isWhole}. */
  wholeLo: number = 0
  wholeHi: number = 0
  readonly #memory: MachineMemory
  readonly #control: TableCounters
  readonly #u32: Uint32Array
  readonly #shared: boolean
  readonly #root: number
  readonly #roots: number
  readonly #limitGpa: number
  readonly #present: number
  readonly #leafBit: number
  readonly #leafFlip: number
  readonly #words: Uint32Array = new Uint32Array(2)

  constructor(memory: MachineMemory, control: TableCounters, format: TableFormat, shape: TableShape) {
    this.format = format
    this.levels = shape.levels
    this.#memory = memory
    this.#control = control
    this.#u32 = memory.u32
    this.#shared = memory.shared
    this.#root = control.root
    this.#roots = shape.roots
    this.limit = shape.limit
    this.#limitGpa = shape.limit * PAGE_BYTES
    this.#present = format.present
    this.#leafBit = format.leafBit
    this.#leafFlip = format.leafFlip
  }

  /** MA of a guest-physical address whose leaf has this bit in its low word; else −1. */
  translate(gpa: number, right: number): number {
    const lo = this.#shared ? this.#sharedLeaf(gpa) : this.#leaf(gpa)
    if ((lo & right) === 0) return -1
    const offset = this.#offset
    return ((lo & ~offset) | (gpa & offset)) >>> 0
  }

  /** Of the leaf found last: bytes − 1. */
  #offset = 0

  /** Low word of the leaf that maps an address for hardware; 0 if there is none. */
  #leaf(gpa: number): number {
    if (!(gpa >= 0 && gpa < this.#limitGpa)) return 0
    const u32 = this.#u32
    const present = this.#present
    const low = gpa >>> 0
    let table = this.#root
    let index = low === gpa ? low >>> 30 : Math.floor(gpa / 0x4000_0000)
    let lo = 0
    if (this.levels === 4) {
      lo = u32[(table >>> 2) + (low === gpa ? 0 : (index >>> 9) * 2)] as number
      if ((lo & present) === 0) return 0
      table = lo & ~0xfff
      index &= 511
    }
    const leafBit = this.#leafBit
    const leafFlip = this.#leafFlip
    lo = u32[(table >>> 2) + index * 2] as number
    if ((lo & present) === 0) return 0
    if (((lo ^ leafFlip) & leafBit) !== 0) {
      this.#offset = 0x3fff_ffff
      return lo
    }
    lo = u32[((lo & ~0xfff) >>> 2) + ((low >>> 21) & 511) * 2] as number
    if ((lo & present) === 0) return 0
    if (((lo ^ leafFlip) & leafBit) !== 0) {
      this.#offset = 0x1f_ffff
      return lo
    }
    lo = u32[((lo & ~0xfff) >>> 2) + ((low >>> 12) & 511) * 2] as number
    this.#offset = 0xfff
    return (lo & present) === 0 ? 0 : lo
  }

  /**
   * The same where other threads change tables: a table that was freed on the way may hold anything by now, and the walk
   * begins again. Atomic loads, because the order of plain ones is not promised.
   */
  #sharedLeaf(gpa: number): number {
    if (!(gpa >= 0 && gpa < this.#limitGpa)) return 0
    const u32 = this.#u32
    const gfn = Math.floor(gpa / PAGE_BYTES)
    for (;;) {
      const { reclaims } = this.#control
      let word = this.#root >>> 2
      let lo = 0
      let order = (this.levels - 1) * 9
      for (; ; order -= 9) {
        lo = Atomics.load(u32, this.#within(word + this.#index(gfn, order) * 2))
        if ((lo & this.#present) === 0 || order === 0) break
        if (order <= 18 && ((lo ^ this.#leafFlip) & this.#leafBit) !== 0) break
        word = (lo & ~0xfff) >>> 2
      }
      if (this.#control.reclaims !== reclaims) continue
      this.#offset = order === 0 ? 0xfff : order === 9 ? 0x1f_ffff : 0x3fff_ffff
      return (lo & this.#present) === 0 ? 0 : lo
    }
  }

  /** What was a table may point anywhere. */
  #within(word: number): number {
    return word < this.#u32.length ? word : 0
  }

  /** See `P2m.lookup`. */
  lookup(gfn: number, into: P2mEntry): number {
    if (!this.#shared) return this.#lookup(gfn, into)
    for (;;) {
      const { reclaims } = this.#control
      const type = this.#lookup(gfn, into)
      if (this.#control.reclaims === reclaims) return type
    }
  }

  #lookup(gfn: number, into: P2mEntry): number {
    const { format } = this
    const words = this.#words
    const { hole } = format.types
    let word = this.#root >>> 2
    into.mfn = INVALID_MFN
    into.rights = 0
    into.access = 7
    into.type = hole
    into.order = 27
    if (!(gfn >= 0 && gfn < this.limit)) return hole
    for (let level = this.levels; level >= 1; level--) {
      const order = (level - 1) * 9
      this.#memory.readEntry(this.#within(word + this.#index(gfn, order) * 2) * 4, words)
      const lo = words[0] as number
      const hi = words[1] as number
      into.order = order
      if (format.isLeaf(lo, hi, level)) {
        into.type = format.typeOf(hi)
        into.rights = format.rightsOf(lo, hi)
        into.access = format.accessOf(hi)
        if (lo >>> 12 !== 0) into.mfn = (lo >>> 12) + (gfn & ((1 << order) - 1))
        return into.type
      }
      if (!format.isTable(lo, hi, level)) return hole
      word = (lo & ~0xfff) >>> 2
    }
    return hole
  }

  /** Index of a frame's entry in its table; in the first of several where they lie side by side. */
  #index(gfn: number, order: number): number {
    if (order === 0) return gfn & 511
    if (order === 9) return (gfn >>> 9) & 511
    if (order === 27) return Math.floor(gfn / 0x800_0000)
    return this.levels === 3 ? Math.floor(gfn / 0x4_0000) : Math.floor(gfn / 0x4_0000) & 511
  }

  /**
   * MA of the entry for a run, with tables made and larger leaves broken up on the way; what is mapped stays the same.
   * All frames for tables are taken before the first is used: a leaf is broken up all the way, or stays whole.
   *
   * @param publish - how an entry becomes another, which maps the same
   * @throws P2mError `ERR_NO_MEMORY`; nothing has changed then
   */
  path(gfn: number, order: number, publish: EntryPublisher): number {
    const { format } = this
    const target = order / 9 + 1
    let table = this.#root
    let spare: number[] | null = null
    for (let level = this.levels; level > target; level--) {
      const ma = table + this.#index(gfn, (level - 1) * 9) * 8
      const lo = this.#u32[ma >>> 2] as number
      const hi = this.#u32[(ma >>> 2) + 1] as number
      if (format.isTable(lo, hi, level)) {
        table = (lo & ~0xfff) >>> 0
        continue
      }
      spare ??= this.#takeFrames(level - target)
      const mfn = spare.pop() as number
      this.#control.tables++
      table = mfn * PAGE_BYTES
      // Filled before it is published: another thread's walk sees the leaf or all of its parts.
      if (format.isLeaf(lo, hi, level)) this.#fillFromLeaf(table, lo, hi, (level - 1) * 9)
      publish.publish(ma, format.tableLo(mfn), format.tableHi)
    }
    return table + this.#index(gfn, (target - 1) * 9) * 8
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
    const { format } = this
    const target = order / 9 + 1
    let table = this.#root
    for (let level = this.levels; level >= target; level--) {
      const word = (table + this.#index(gfn, (level - 1) * 9) * 8) >>> 2
      const lo = this.#u32[word] as number
      if (!format.isTable(lo, this.#u32[word + 1] as number, level)) return false
      table = (lo & ~0xfff) >>> 0
    }
    const word = table >>> 2
    const lo = this.#u32[word] as number
    const hi = this.#u32[word + 1] as number
    this.wholeLo = 0
    this.wholeHi = 0
    let step = 0
    if (lo !== 0 || hi !== 0) {
      if (order > 18 || !format.isLeaf(lo, hi, target - 1)) return false
      const type = format.typeOf(hi)
      if (((format.types.kinds[type] ?? 0) & KIND_LARGE) === 0) return false
      const mfn = lo >>> 12
      if (mfn !== 0) {
        if (mfn % 2 ** order !== 0) return false
        step = 2 ** (order - 9) * PAGE_BYTES
      }
      this.wholeLo = format.partLo(lo, 0, order)
      this.wholeHi = (hi & ~format.contiguous) >>> 0
    }
    for (let i = 1; i < 512; i++) {
      if (this.#u32[word + i * 2] !== lo + i * step || this.#u32[word + i * 2 + 1] !== hi) return false
    }
    return true
  }

  #fillFromLeaf(table: number, lo: number, hi: number, order: number): void {
    const step = 2 ** (order - 9)
    for (let i = 0; i < 512; i++) {
      const word = (table >>> 2) + i * 2
      this.#u32[word] = this.format.partLo(lo, i * step, order - 9)
      this.#u32[word + 1] = hi & ~this.format.contiguous
    }
  }

  /** Guest frame of the first leaf below an entry, which maps from `gfn` on, of one of the `kinds`; −1 if there is none. */
  findBelow(lo: number, hi: number, level: number, gfn: number, kinds: number): number {
    const { format } = this
    if (format.isLeaf(lo, hi, level)) return ((format.types.kinds[format.typeOf(hi)] ?? 0) & kinds) === 0 ? -1 : gfn
    if (!format.isTable(lo, hi, level)) return -1
    const table = (lo & ~0xfff) >>> 2
    for (let i = 0; i < 512; i++) {
      const word = table + i * 2
      const below = gfn + i * 2 ** ((level - 2) * 9)
      const found = this.findBelow(this.#u32[word] as number, this.#u32[word + 1] as number, level - 1, below, kinds)
      if (found >= 0) return found
    }
    return -1
  }

  /** All rights that leaves below an entry give. */
  rightsBelow(lo: number, hi: number, level: number): number {
    const { format } = this
    if (format.isLeaf(lo, hi, level)) return format.rightsOf(lo, hi)
    if (!format.isTable(lo, hi, level)) return 0
    const table = (lo & ~0xfff) >>> 2
    let rights = 0
    for (let i = 0; i < 512; i++) {
      const word = table + i * 2
      rights |= this.rightsBelow(this.#u32[word] as number, this.#u32[word + 1] as number, level - 1)
    }
    return rights
  }

  /** Order of the leaf, of any type, that covers a frame; −1 if there is none. */
  orderOfLeaf(gfn: number): number {
    let table = this.#root
    for (let level = this.levels; level >= 1; level--) {
      const word = (table + this.#index(gfn, (level - 1) * 9) * 8) >>> 2
      const lo = this.#u32[word] as number
      const hi = this.#u32[word + 1] as number
      if (this.format.isLeaf(lo, hi, level)) return (level - 1) * 9
      if (!this.format.isTable(lo, hi, level)) return -1
      table = (lo & ~0xfff) >>> 0
    }
    return -1
  }

  /** MA of the entry of a level on the way to a frame, valid or not; −1 if no table leads there. */
  entryOf(gfn: number, target: number): number {
    let table = this.#root
    for (let level = this.levels; level > target; level--) {
      const word = (table + this.#index(gfn, (level - 1) * 9) * 8) >>> 2
      const lo = this.#u32[word] as number
      if (!this.format.isTable(lo, this.#u32[word + 1] as number, level)) return -1
      table = (lo & ~0xfff) >>> 0
    }
    return table + this.#index(gfn, (target - 1) * 9) * 8
  }

  /** Whether the entry for a run, or a leaf above it, is there at all. */
  hasEntry(gfn: number, order: number): boolean {
    let table = this.#root
    for (let level = this.levels; level >= 1; level--) {
      const word = (table + this.#index(gfn, (level - 1) * 9) * 8) >>> 2
      const lo = this.#u32[word] as number
      const hi = this.#u32[word + 1] as number
      if (this.format.isLeaf(lo, hi, level)) return true
      if (!this.format.isTable(lo, hi, level)) return false
      if ((level - 1) * 9 === order) return true
      table = (lo & ~0xfff) >>> 0
    }
    return false
  }

  /** Gives a table's frame back, and those of all tables below it: nobody can reach them any more. */
  free(table: number, level: number): void {
    this.#control.raiseReclaims()
    this.#free(table, level)
  }

  #free(table: number, level: number): void {
    for (let i = 0; level > 1 && i < 512; i++) {
      const word = (table >>> 2) + i * 2
      const lo = this.#u32[word] as number
      if (this.format.isTable(lo, this.#u32[word + 1] as number, level)) this.#free((lo & ~0xfff) >>> 0, level - 1)
    }
    this.#memory.frames.free(table / PAGE_BYTES, 0)
    this.#control.tables--
  }

  /** Entries of the top tables. */
  get topEntries(): number {
    return Math.min(this.#roots * 512, Math.ceil(this.limit / 2 ** ((this.levels - 1) * 9)))
  }
}

/** How an entry becomes another. */
export interface EntryPublisher {
  publish(ma: number, lo: number, hi: number): void
}

/** The error for a table that there is no frame for. */
export function noTable(memory: MachineMemory): P2mError {
  return new P2mError('ERR_NO_MEMORY', `no machine frame for a p2m table: ${memory.frames.freeFrames} free`, {
    freeFrames: memory.frames.freeFrames,
  })
}
