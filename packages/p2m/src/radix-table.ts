import { PAGE_BYTES, type MachineMemory } from '@retrap/memory'
import { P2mError } from './errors.ts'
import { type TableFormat, tableOf } from './format.ts'
import { INVALID_MFN, KIND_LARGE } from './types.ts'

/** The result of `lookup`, in an object that the caller owns. */
export class P2mEntry {
  /** Machine frame of the very frame asked for; {@link INVALID_MFN} if it has none. */
  mfn: number = INVALID_MFN
  /** One of `P2mType`, or of `ArmP2mType`. */
  type: number = 0
  /** Order of the leaf, or of the hole: 0, 9, 18, or 27 for a hole of 512 GiB. */
  order: number = 0
  /** `P2M_` bits: the type's rights, restricted by the access mask. */
  rights: number = 0
  /** One of `P2mAccess`. */
  access: number = 7
}

/** Counts of the tables, shared by all views. */
export interface TableCounters {
  /** MA of the top table, or of the first of several. */
  readonly root: number
  /** Frames in use for tables. */
  tables: number
  /** Raised before a table is freed: a walk that saw the same number on both sides saw tables only. */
  readonly reclaims: number
  raiseReclaims(): void
}

/** The fixed part of a table's geometry. */
export interface TableShape {
  /** Levels from the top table to the 4 KiB leaves: 3 or 4. */
  readonly levels: number
  /** Tables side by side at the top. */
  readonly roots: number
  /** Number of guest frames that the map can hold. */
  readonly limit: number
}

/** The tables themselves: walking them, and the path to an entry. The meaning of entries for a domain is the map's. */
export class RadixTable {
  readonly format: TableFormat
  readonly levels: number
  /** Number of guest frames that the map can hold; 0 after its end. */
  limit: number
  /** See {@link RadixTable.isWhole}. */
  wholeLo: number = 0
  wholeHi: number = 0
  readonly #memory: MachineMemory
  readonly #control: TableCounters
  readonly #u32: Uint32Array
  readonly #shared: boolean
  readonly #root: number
  readonly #roots: number
  #limitGpa: number
  /** Whether other maps hold a leaf table, by its machine frame. */
  isHeld: (mfn: number) => boolean = () => false
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

  /** Ends the table: its frames belong to others from now on, and look-ups find nothing. */
  end(): void {
    this.limit = 0
    this.#limitGpa = 0
  }

  // ---- descent ----

  /** Word index, low word and high word of the entry that the last descent ended at. */
  #word = 0
  #lo = 0
  #hi = 0
  /** Bits that the low words of all entries on the way have, its own included. */
  #common = 0

  /**
   * Goes down from the root towards a frame, to the entry at a level or to the first entry that is not a table.
   *
   * The entry is in `#word`, `#lo` and `#hi` then. Where other threads change tables, a table that was freed on the way
   * may hold anything: see {@link RadixTable.lookup}.
   *
   * @returns the level of that entry
   */
  #descend(gfn: number, target: number): number {
    const { format } = this
    const words = this.#words
    const memory = this.#memory
    let table = this.#root >>> 2
    let common = -1
    const limit = this.#u32.length
    for (let level = this.levels; ; level--) {
      const word = table + this.#index(gfn, (level - 1) * 9) * 2
      // A former table may point anywhere.
      memory.readEntry(word < limit ? word * 4 : 0, words)
      const lo = words[0]!
      const hi = words[1]!
      common &= lo
      if (level === target || !format.isTable(lo, hi, level)) {
        this.#common = common
        this.#word = word
        this.#lo = lo
        this.#hi = hi
        return level
      }
      table = tableOf(lo) >>> 2
    }
  }

  /**
   * Goes down as hardware does, by low words alone: to the leaf that maps an address.
   *
   * The descent unrolled, for tables that no other thread changes: it is on the way of every TLB miss, and takes two
   * thirds of the time of the loop.
   *
   * @returns the low word of the leaf, 0 if none; its size minus 1 is in `#offset`
   */
  #hardwareLeaf(gpa: number): number {
    const u32 = this.#u32
    const present = this.#present
    const leafBit = this.#leafBit
    const leafFlip = this.#leafFlip
    const low = gpa >>> 0
    let index = low === gpa ? low >>> 30 : Math.floor(gpa / 0x4000_0000)
    let table = this.#root
    let lo = 0
    if (this.levels === 4) {
      lo = u32[(table >>> 2) + (index >>> 9) * 2]!
      if ((lo & present) === 0) return 0
      table = lo & ~0xfff
      index &= 511
    }
    lo = u32[(table >>> 2) + index * 2]!
    if ((lo & present) === 0) return 0
    if (((lo ^ leafFlip) & leafBit) !== 0) {
      this.#offset = 0x3fff_ffff
      return lo
    }
    lo = u32[((lo & ~0xfff) >>> 2) + ((low >>> 21) & 511) * 2]!
    if ((lo & present) === 0) return 0
    if (((lo ^ leafFlip) & leafBit) !== 0) {
      this.#offset = 0x1f_ffff
      return lo
    }
    lo = u32[((lo & ~0xfff) >>> 2) + ((low >>> 12) & 511) * 2]!
    this.#offset = 0xfff
    return (lo & present) === 0 ? 0 : lo
  }

  /** Finds the leaf while other threads may change tables. */
  #sharedHardwareLeaf(gpa: number): number {
    for (;;) {
      const { reclaims } = this.#control
      const level = this.#descend(Math.floor(gpa / PAGE_BYTES), 1)
      if (this.#control.reclaims !== reclaims) continue
      this.#offset = 2 ** ((level - 1) * 9) * PAGE_BYTES - 1
      // Hardware follows an entry with any right set; software's tables have all rights.
      return (this.#common & this.#present) !== 0 && this.format.isLeaf(this.#lo, this.#hi, level) ? this.#lo : 0
    }
  }

  /** Returns the index of a frame's entry in its table; of the first one if a leaf takes several entries. */
  #index(gfn: number, order: number): number {
    if (order === 0) return gfn & 511
    if (order === 9) return (gfn >>> 9) & 511
    if (order === 27) return Math.floor(gfn / 0x800_0000)
    return this.levels === 3 ? Math.floor(gfn / 0x4_0000) : Math.floor(gfn / 0x4_0000) & 511
  }

  // ---- look-up ----

  /** Bytes − 1 of the leaf that `translate` found last. */
  #offset = 0

  /** MA of a guest-physical address whose leaf has this bit in its low word; otherwise −1. */
  translate(gpa: number, right: number): number {
    if (!(gpa >= 0 && gpa < this.#limitGpa)) return -1
    const lo = this.#shared ? this.#sharedHardwareLeaf(gpa) : this.#hardwareLeaf(gpa)
    if ((lo & right) === 0) return -1
    const offset = this.#offset
    return ((lo & ~offset) | (gpa & offset)) >>> 0
  }

  /** Looks a frame up; see `P2m.lookup`. A walk during which another thread freed a table is made again. */
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
    into.mfn = INVALID_MFN
    into.rights = 0
    into.access = 7
    into.type = format.types.hole
    into.order = 27
    if (!(gfn >= 0 && gfn < this.limit)) return into.type
    const level = this.#descend(gfn, 1)
    const lo = this.#lo
    const hi = this.#hi
    const order = (level - 1) * 9
    into.order = order
    if (!format.isLeaf(lo, hi, level)) return into.type
    into.type = format.typeOf(hi)
    into.rights = format.rightsOf(lo, hi)
    into.access = format.accessOf(hi)
    if (lo >>> 12 !== 0) into.mfn = (lo >>> 12) + (gfn & ((1 << order) - 1))
    return into.type
  }

  /** Returns the order of the leaf, of any type, that covers a frame; −1: none. */
  orderOfLeaf(gfn: number): number {
    const level = this.#descend(gfn, 1)
    return this.format.isLeaf(this.#lo, this.#hi, level) ? (level - 1) * 9 : -1
  }

  /** First guest frame behind the hole that a frame lies in, as far as one table shows it. */
  endOfHole(gfn: number): number {
    const level = this.#descend(gfn, 1)
    const size = 2 ** ((level - 1) * 9)
    let end = gfn - (gfn % size)
    let word = this.#word
    do {
      end += size
      word += 2
    } while (end % (512 * size) !== 0 && this.#u32[word] === 0 && this.#u32[word + 1] === 0)
    return end
  }

  /** First guest frame behind all that the top table has entries for. */
  get mappedEnd(): number {
    const order = (this.levels - 1) * 9
    let entries = this.topEntries
    const top = this.#root >>> 2
    while (entries > 0 && (this.#u32[top + entries * 2 - 2]! | this.#u32[top + entries * 2 - 1]!) === 0) entries--
    return Math.min(entries * 2 ** order, this.limit)
  }

  /** Returns the MA of the entry for a frame's leaf table; −1: no table. */
  leafTableEntry(gfn: number): number {
    const isTable = this.#descend(gfn, 2) === 2 && this.format.isTable(this.#lo, this.#hi, 2)
    return isTable ? this.#word * 4 : -1
  }

  /** Machine frame of the leaf table that maps a frame, where maps share it; otherwise −1. */
  sealedTable(gfn: number): number {
    const ma = this.leafTableEntry(gfn)
    return ma >= 0 && (this.#hi & this.format.sealed) !== 0 ? this.#lo >>> 12 : -1
  }

  /** MA of the entry of a level on the way to a frame, valid or not; −1 without a table of this level. */
  entryOf(gfn: number, target: number): number {
    return this.#descend(gfn, target) === target ? this.#word * 4 : -1
  }

  /** Whether an entry for a run, or a leaf above it, exists. */
  hasEntry(gfn: number, order: number): boolean {
    const level = this.#descend(gfn, order / 9 + 1)
    return this.format.isLeaf(this.#lo, this.#hi, level) || this.format.isTable(this.#lo, this.#hi, level)
  }

  // ---- changes ----

  /**
   * MA of the entry for a run, with tables made and larger leaves broken up on the way; mappings stay the same. All frames
   * for tables are taken before the first is used: a leaf is broken up all the way, or stays whole. A leaf table that maps
   * share becomes this one's own.
   *
   * @param publish - publishes a table in place of an entry with the same mappings
   * @throws P2mError `ERR_NO_MEMORY`; nothing has changed then
   */
  path(gfn: number, order: number, publish: EntryPublisher): number {
    const { format } = this
    const target = order / 9 + 1
    if (target === 1 && format.sealed !== 0 && this.sealedTable(gfn) >= 0) publish.own?.(this.#word * 4)
    let level = this.#descend(gfn, target)
    if (level === target) return this.#word * 4
    const spare = this.#takeFrames(level - target)
    for (; level > target; level = this.#descend(gfn, target)) {
      const ma = this.#word * 4
      const mfn = spare.pop() as number
      this.#control.tables++
      // Fill the table before publishing it: another thread's walk sees the leaf or all of its parts.
      if (format.isLeaf(this.#lo, this.#hi, level)) {
        this.#fillFromLeaf(mfn * PAGE_BYTES, this.#lo, this.#hi, (level - 1) * 9)
      }
      publish.publish(ma, format.tableLo(mfn), format.tableHi)
    }
    return this.#word * 4
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
    if (this.#descend(gfn, target) !== target || !format.isTable(this.#lo, this.#hi, target)) return false
    const word = tableOf(this.#lo) >>> 2
    const lo = this.#u32[word]!
    const hi = this.#u32[word + 1]!
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

  /** Returns the first guest frame of a leaf below an entry, which maps from `gfn` on, of one of the `kinds`; −1: none. */
  findBelow(lo: number, hi: number, level: number, gfn: number, kinds: number): number {
    const { format } = this
    if (format.isLeaf(lo, hi, level)) return ((format.types.kinds[format.typeOf(hi)] ?? 0) & kinds) === 0 ? -1 : gfn
    if (!format.isTable(lo, hi, level)) return -1
    const table = tableOf(lo) >>> 2
    // All leaves are alike.
    if ((hi & format.sealed) !== 0) return this.findBelow(this.#u32[table]!, this.#u32[table + 1]!, 1, gfn, kinds)
    for (let i = 0; i < 512; i++) {
      const word = table + i * 2
      const below = gfn + i * 2 ** ((level - 2) * 9)
      const found = this.findBelow(this.#u32[word]!, this.#u32[word + 1]!, level - 1, below, kinds)
      if (found >= 0) return found
    }
    return -1
  }

  /** All rights that leaves below an entry give. @param logged - further rights of logged RAM, once it is marked */
  rightsBelow(lo: number, hi: number, level: number, logged: number): number {
    const { format } = this
    if (format.isLeaf(lo, hi, level))
      return format.rightsOf(lo, hi) | (format.typeOf(hi) === format.types.logged ? logged : 0)
    if (!format.isTable(lo, hi, level)) return 0
    const table = tableOf(lo) >>> 2
    // All leaves are alike.
    if ((hi & format.sealed) !== 0) return this.rightsBelow(this.#u32[table]!, this.#u32[table + 1]!, 1, logged)
    let rights = 0
    for (let i = 0; i < 512; i++) {
      const word = table + i * 2
      rights |= this.rightsBelow(this.#u32[word]!, this.#u32[word + 1]!, level - 1, logged)
    }
    return rights
  }

  /** Frees a table and all tables below it, which must be unreachable. */
  free(table: number, level: number): void {
    this.#control.raiseReclaims()
    this.#free(table, level)
  }

  /** As {@link RadixTable.free}, of the table that an entry of a level points to. */
  freeBelow(lo: number, hi: number, level: number): void {
    this.#control.raiseReclaims()
    this.#freeEntry(lo, hi, level)
  }

  #freeEntry(lo: number, hi: number, level: number): void {
    // Other maps still hold the table.
    if ((hi & this.format.sealed) !== 0 && this.isHeld(tableOf(lo) / PAGE_BYTES)) this.#control.tables--
    else this.#free(tableOf(lo), level - 1)
  }

  #free(table: number, level: number): void {
    for (let i = 0; level > 1 && i < 512; i++) {
      const word = (table >>> 2) + i * 2
      const lo = this.#u32[word]!
      const hi = this.#u32[word + 1]!
      if (this.format.isTable(lo, hi, level)) this.#freeEntry(lo, hi, level)
    }
    this.#memory.frames.free(table / PAGE_BYTES, 0)
    this.#control.tables--
  }

  /** Entries of the top tables. */
  get topEntries(): number {
    return Math.min(this.#roots * 512, Math.ceil(this.limit / 2 ** ((this.levels - 1) * 9)))
  }
}

/** The means by which an entry is replaced by another. */
export interface EntryPublisher {
  publish(ma: number, lo: number, hi: number): void
  /** Replaces a leaf table that other maps hold by a private copy. @param ma - MA of the entry that points to it */
  own?(ma: number): void
}

/** Returns the error for a lack of table frames. */
export function noTable(memory: MachineMemory): P2mError {
  return new P2mError('ERR_NO_MEMORY', `no machine frame for a p2m table: ${memory.frames.freeFrames} free`, {
    freeFrames: memory.frames.freeFrames,
  })
}
