import type { MachineMemory } from '@retrap/memory'
import { HI_LEAF, leafHi, leafLo, LO_LARGE, LO_RWX, TABLE_HI, tableLo, typeOf } from './entry.ts'
import { hex, P2mError } from './errors.ts'
import { INVALID_MFN, isRam, MAX_GFN, P2M_WRITE, P2mType } from './types.ts'

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

/** A leaf, for people. */
export interface P2mLeaf {
  readonly gfn: number
  readonly mfn: number
  readonly type: number
  readonly order: number
  readonly rights: number
}

/** Called when guest frames stop being backed by the machine frames named. */
export type ReleaseListener = (gfn: number, mfn: number, order: number) => void

/** Called when the translation of guest frames has changed in any way. */
export type ChangeListener = (gfn: number, count: number) => void

const ORDERS = [18, 9, 0] as const
const LEVELS = 4

/**
 * A domain's map of guest frames to machine frames: a table of four levels in EPT format, in machine memory, with leaves
 * of 4 KiB, 2 MiB and 1 GiB. Any thread can walk it at any time; one at a time may change it, which is for the caller to
 * see to.
 *
 * Every change goes through `#replace`: there, and nowhere else, RAM leaves the map.
 */
export class P2m {
  readonly memory: MachineMemory
  /** MA of the top table. */
  readonly root: number
  readonly #u32: Uint32Array
  readonly #scratch: P2mEntry = new P2mEntry()
  readonly #words: Uint32Array = new Uint32Array(2)
  #releases: ReleaseListener[] = []
  #changes: ChangeListener[] = []
  #tables: number

  /**
   * Makes an empty map: everything is a hole.
   *
   * @throws P2mError `ERR_NO_MEMORY`
   */
  static create(memory: MachineMemory): P2m {
    const root = memory.frames.tryAllocate(0)
    if (root < 0) throw noTable(memory)
    return new P2m(memory, root * 4096)
  }

  /** A further view of a map, in a Worker or after a snapshot of machine memory. Listeners are each view's own. */
  static attach(memory: MachineMemory, root: number): P2m {
    return new P2m(memory, root)
  }

  private constructor(memory: MachineMemory, root: number) {
    this.memory = memory
    this.root = root
    this.#u32 = memory.u32
    this.#tables = this.#countTables(root, LEVELS)
  }

  /** Machine memory that the tables take up. */
  get tableBytes(): number {
    return this.#tables * 4096
  }

  /**
   * Registers what is to be done when a RAM leaf goes away: device models' map caches, dirty bitmaps, frames' owners.
   * It is called once for each leaf, or part of one, after the map has changed.
   *
   * @returns a function that takes it off again
   */
  onRelease(listener: ReleaseListener): () => void {
    this.#releases = [...this.#releases, listener]
    return () => {
      this.#releases = this.#releases.filter((each) => each !== listener)
    }
  }

  /**
   * Registers what is to be done when translations change: TLBs of the domain's vCPUs are flushed. When all listeners
   * have returned, no thread may still be in the middle of a walk that it began before: replaced tables are freed then.
   *
   * @returns a function that takes it off again
   */
  onChange(listener: ChangeListener): () => void {
    this.#changes = [...this.#changes, listener]
    return () => {
      this.#changes = this.#changes.filter((each) => each !== listener)
    }
  }

  /**
   * Machine address of a guest-physical address that is RAM and may be read and executed; −1 for anything else.
   * For TLB fills: no checks, no allocation.
   */
  translate(gpa: number): number {
    const lo = this.#leafLo(gpa)
    if (lo === 0) return -1
    return this.#machine(lo, gpa)
  }

  /** As {@link P2m.translate}, for RAM that may be written: −1 for ROM and for RAM whose writes are logged as well. */
  translateWrite(gpa: number): number {
    const lo = this.#leafLo(gpa)
    if ((lo & P2M_WRITE) === 0) return -1
    return this.#machine(lo, gpa)
  }

  /**
   * What a guest frame is.
   *
   * @param into - filled in; no allocation
   * @returns its type
   */
  lookup(gfn: number, into: P2mEntry): number {
    const memory = this.memory
    const words = this.#words
    let table = this.root
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
        if (isRam(into.type)) into.mfn = (lo >>> 12) + (gfn % 2 ** order)
        return into.type
      }
      if ((lo & LO_RWX) === 0) return P2mType.MMIO_DM
      table = (lo & ~0xfff) >>> 0
    }
    return P2mType.MMIO_DM
  }

  /**
   * Maps one naturally aligned run of `2 ** order` frames, whatever was there.
   *
   * @param mfn - {@link INVALID_MFN} for types without frames
   * @throws P2mError `ERR_ORDER`, `ERR_ALIGN`, `ERR_RANGE`, `ERR_TYPE`, `ERR_NO_MEMORY`
   */
  insert(gfn: number, mfn: number, order: number, type: number): void {
    this.#checkRun(gfn, order)
    this.#checkBacking(mfn, 2 ** order, type)
    if (isRam(type) && mfn % 2 ** order !== 0) {
      throw new P2mError('ERR_ALIGN', `machine frame ${hex(mfn)} is not aligned to order ${order}`, { mfn, order })
    }
    this.#replace(gfn, order, leafLo(mfn, type, order), leafHi(type))
  }

  /**
   * Maps `count` frames in the largest leaves that both frame numbers' alignment allows.
   *
   * @throws as {@link P2m.insert}; with `ERR_NO_MEMORY` the frames before the one in its figures are mapped
   */
  insertRange(gfn: number, mfn: number, count: number, type: number): void {
    this.#checkRange(gfn, count)
    this.#checkBacking(mfn, count, type)
    const backed = isRam(type)
    for (let done = 0; done < count;) {
      const order = largestOrder(gfn + done, backed ? mfn + done : 0, count - done)
      this.insert(gfn + done, backed ? mfn + done : INVALID_MFN, order, type)
      done += 2 ** order
    }
  }

  /**
   * Gives `count` guest frames RAM from the machine's free frames, in the largest leaves there is memory for.
   *
   * @param type - a type of RAM
   * @throws P2mError `ERR_NO_MEMORY` with nothing mapped and no frame taken; `ERR_RANGE`, `ERR_TYPE`
   */
  populate(gfn: number, count: number, type: number = P2mType.RAM_RW): void {
    this.#checkRange(gfn, count)
    if (!isRam(type)) throw new P2mError('ERR_TYPE', `type ${type} is not RAM`, { type })
    const frames = this.memory.frames
    const taken: { mfn: number; order: number }[] = []
    const plan: { gfn: number; mfn: number; order: number }[] = []
    try {
      for (let done = 0; done < count;) {
        const largest = largestOrder(gfn + done, 0, count - done)
        const order = ORDERS.find((each) => each <= largest && tryTake(each)) ?? -1
        if (order < 0) throw noRam(this.memory, count)
        plan.push({ gfn: gfn + done, ...(taken.at(-1) as { mfn: number; order: number }) })
        done += 2 ** order
      }
      // Tables are made before the first leaf is, so that a failure leaves nothing half done.
      for (const each of plan) this.#path(each.gfn, each.order)
    } catch (error) {
      for (const each of taken) frames.free(each.mfn, each.order)
      throw error
    }
    for (const each of plan) this.insert(each.gfn, each.mfn, each.order, type)

    function tryTake(order: number): boolean {
      const mfn = frames.tryAllocate(order)
      if (mfn < 0) return false
      taken.push({ mfn, order })
      return true
    }
  }

  /**
   * Makes holes of `count` frames, if they are mapped to what the caller thinks: RAM to `mfn` and the frames after it,
   * or, for {@link INVALID_MFN}, to no frame at all.
   *
   * @throws P2mError `ERR_MISMATCH`, `ERR_RANGE`, `ERR_NO_MEMORY`; nothing has changed then
   */
  remove(gfn: number, mfn: number, count: number = 1): void {
    this.#checkRange(gfn, count)
    const entry = this.#scratch
    for (let done = 0; done < count;) {
      this.lookup(gfn + done, entry)
      const expected = mfn === INVALID_MFN ? INVALID_MFN : mfn + done
      if (entry.mfn !== expected) {
        throw new P2mError(
          'ERR_MISMATCH',
          `guest frame ${hex(gfn + done)} is mapped to ${hex(entry.mfn)}, not ${hex(expected)}`,
          { gfn: gfn + done, mfn: entry.mfn, expected },
        )
      }
      // The rest of a leaf continues as it begins.
      done += 2 ** entry.order - ((gfn + done) % 2 ** entry.order)
    }
    // A leaf that is only partly removed is broken up first, which may need a table.
    this.#split(gfn)
    this.#split(gfn + count)
    for (let done = 0; done < count;) {
      const order = largestOrder(gfn + done, 0, count - done)
      this.#clear(gfn + done, order)
      done += 2 ** order
    }
  }

  /**
   * Changes the type of all RAM among `count` frames to another type of RAM. Leaves that are only partly in the range
   * are broken up.
   *
   * @returns the frames whose type is another now
   * @throws P2mError `ERR_TYPE`, `ERR_RANGE`, `ERR_NO_MEMORY`
   */
  setType(gfn: number, count: number, type: number): number {
    this.#checkRange(gfn, count)
    if (!isRam(type)) throw new P2mError('ERR_TYPE', `type ${type} is not RAM; insert or remove instead`, { type })
    const entry = new P2mEntry()
    let changed = 0
    for (let at = gfn; at < gfn + count;) {
      const old = this.lookup(at, entry)
      const left = gfn + count - at
      const size = 2 ** entry.order
      const whole = at % size === 0 && size <= left
      if (!isRam(old) || old === type) {
        at += size - (at % size)
        continue
      }
      const order = whole ? entry.order : largestOrder(at, entry.mfn, left)
      this.#replace(at, order, leafLo(entry.mfn, type, order), leafHi(type))
      changed += 2 ** order
      at += 2 ** order
    }
    return changed
  }

  /**
   * Breaks the leaf that covers a frame into leaves of `order`; what it maps stays the same.
   *
   * @throws P2mError `ERR_ORDER`, `ERR_RANGE`, `ERR_NO_MEMORY`; then the leaf is whole
   */
  shatter(gfn: number, order: number = 0): void {
    checkOrder(order)
    this.#checkRange(gfn, 1)
    const entry = this.#scratch
    this.lookup(gfn, entry)
    if (entry.mfn === INVALID_MFN || entry.order <= order) return
    this.#path(gfn - (gfn % 2 ** order), order)
  }

  /** Every leaf in order of guest frames, for people; `from` and `to` (exclusive) are cut to whole leaves. */
  *leaves(from: number = 0, to: number = MAX_GFN): Generator<P2mLeaf, void, undefined> {
    const entry = new P2mEntry()
    for (let gfn = from; gfn < to;) {
      this.lookup(gfn, entry)
      const size = 2 ** entry.order
      const start = gfn - (gfn % size)
      const { type, order, rights } = entry
      const mfn = entry.mfn === INVALID_MFN ? INVALID_MFN : entry.mfn - (gfn - start)
      if (this.#isMapped(gfn)) yield { gfn: start, mfn, type, order, rights }
      gfn = start + size
    }
  }

  /** Removes everything, reporting what is released, and gives the tables' frames back. The map is not usable after. */
  destroy(): void {
    for (let i = 0; i < 512; i++) if (this.#u32[(this.root >>> 2) + i * 2] !== 0) this.#replace(i * 2 ** 27, 27, 0, 0)
    this.memory.frames.free(this.root / 4096, 0)
    this.#tables = 0
  }

  /** Low word of the leaf that maps an address with any rights; 0 if there is none. */
  #leafLo(gpa: number): number {
    const u32 = this.#u32
    const low = gpa >>> 0
    let lo = 0
    let index = low >>> 30
    if (low === gpa) {
      lo = u32[this.root >>> 2] as number
    } else {
      if (!(gpa >= 0 && gpa < MAX_GFN * 4096)) return 0
      lo = u32[(this.root >>> 2) + ((gpa / 0x80_0000_0000) & 511) * 2] as number
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
   * The one place where entries that map something change. Publishes a leaf (or nothing, for zeros) over whatever
   * covered the run, then tells the listeners, then frees the tables that it replaced.
   */
  #replace(gfn: number, order: number, lo: number, hi: number): void {
    const ma = this.#path(gfn, order)
    const oldLo = this.#u32[ma >>> 2] as number
    const oldHi = this.#u32[(ma >>> 2) + 1] as number
    if (oldLo === lo && oldHi === hi) return
    this.memory.publishEntry(ma, lo, hi)
    const level = order / 9 + 1
    // A frame that keeps its machine frame, as RAM, has not been released.
    const kept = hi !== 0 && isRam(typeOf(hi)) ? lo >>> 12 : INVALID_MFN
    if (this.#releases.length > 0) this.#release(oldLo, oldHi, level, gfn, gfn, kept)
    for (const listener of this.#changes) listener(gfn, 2 ** order)
    if (isTable(oldLo, oldHi, level)) this.#freeTable((oldLo & ~0xfff) >>> 0, level - 1)
  }

  #clear(gfn: number, order: number): void {
    // Where no table leads there is nothing to clear, and none is made.
    const entry = this.#scratch
    this.lookup(gfn, entry)
    if (entry.order >= order && !this.#isMapped(gfn)) return
    this.#replace(gfn, order, 0, 0)
  }

  /** Reports every RAM leaf below an entry whose frames are not those of the run that starts at `kept`. */
  #release(lo: number, hi: number, level: number, gfn: number, base: number, kept: number): void {
    if (isTable(lo, hi, level)) {
      const table = (lo & ~0xfff) >>> 2
      for (let i = 0; i < 512; i++) {
        const word = table + i * 2
        const below = gfn + i * 2 ** ((level - 2) * 9)
        this.#release(this.#u32[word] as number, this.#u32[word + 1] as number, level - 1, below, base, kept)
      }
      return
    }
    if (!isLeaf(lo, hi, level) || !isRam(typeOf(hi))) return
    const mfn = lo >>> 12
    if (kept !== INVALID_MFN && mfn === kept + (gfn - base)) return
    for (const listener of this.#releases) listener(gfn, mfn, (level - 1) * 9)
  }

  /**
   * MA of the entry for a run, with tables made and larger leaves broken up on the way; what is mapped stays the same.
   *
   * @throws P2mError `ERR_NO_MEMORY`
   */
  #path(gfn: number, order: number): number {
    const target = order / 9 + 1
    let table = this.root
    for (let level = LEVELS; level > target; level--) {
      const ma = table + indexOf(gfn, level) * 8
      const lo = this.#u32[ma >>> 2] as number
      const hi = this.#u32[(ma >>> 2) + 1] as number
      if (isTable(lo, hi, level)) {
        table = (lo & ~0xfff) >>> 0
        continue
      }
      const mfn = this.memory.frames.tryAllocate(0)
      if (mfn < 0) throw noTable(this.memory)
      this.#tables++
      table = mfn * 4096
      // Filled before it is published: another thread's walk sees the leaf or all of its parts.
      if (isLeaf(lo, hi, level)) this.#fillFromLeaf(table, lo, hi, (level - 1) * 9)
      this.memory.publishEntry(ma, tableLo(mfn), TABLE_HI)
    }
    return table + indexOf(gfn, target) * 8
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

  /** Makes a leaf boundary at a guest frame. */
  #split(gfn: number): void {
    const entry = this.#scratch
    for (const order of [18, 9] as const) {
      if (gfn % 2 ** order === 0 || gfn >= MAX_GFN) continue
      this.lookup(gfn, entry)
      if (entry.order === order && this.#isMapped(gfn)) this.#path(gfn - (gfn % 2 ** (order - 9)), order - 9)
    }
  }

  /** Whether a leaf, of any type, covers a frame. */
  #isMapped(gfn: number): boolean {
    let table = this.root
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

  #countTables(table: number, level: number): number {
    let count = 1
    for (let i = 0; level > 1 && i < 512; i++) {
      const word = (table >>> 2) + i * 2
      const lo = this.#u32[word] as number
      if (isTable(lo, this.#u32[word + 1] as number, level)) count += this.#countTables((lo & ~0xfff) >>> 0, level - 1)
    }
    return count
  }

  #freeTable(table: number, level: number): void {
    for (let i = 0; level > 1 && i < 512; i++) {
      const word = (table >>> 2) + i * 2
      const lo = this.#u32[word] as number
      if (isTable(lo, this.#u32[word + 1] as number, level)) this.#freeTable((lo & ~0xfff) >>> 0, level - 1)
    }
    this.memory.frames.free(table / 4096, 0)
    this.#tables--
  }

  #checkRun(gfn: number, order: number): void {
    checkOrder(order)
    this.#checkRange(gfn, 2 ** order)
    if (gfn % 2 ** order === 0) return
    throw new P2mError('ERR_ALIGN', `guest frame ${hex(gfn)} is not aligned to order ${order}`, { gfn, order })
  }

  #checkRange(gfn: number, count: number): void {
    if (Number.isSafeInteger(gfn) && Number.isSafeInteger(count) && gfn >= 0 && count >= 1 && gfn + count <= MAX_GFN)
      return
    throw new P2mError('ERR_RANGE', `${count} guest frames at ${hex(gfn)}: expected at least 1, below 2^36`, {
      gfn,
      count,
    })
  }

  #checkBacking(mfn: number, count: number, type: number): void {
    if (isRam(type)) {
      // Frame 0 is never anybody's.
      if (Number.isSafeInteger(mfn) && mfn > 0 && mfn + count <= this.memory.frameCount) return
      throw new P2mError('ERR_RANGE', `${count} machine frames at ${hex(mfn)} are not in machine memory`, {
        mfn,
        count,
      })
    }
    if (type !== P2mType.INVALID && type !== P2mType.MMIO_DM) {
      throw new P2mError('ERR_TYPE', `type ${type} cannot be mapped`, { type })
    }
    if (mfn === INVALID_MFN) return
    throw new P2mError('ERR_TYPE', `type ${type} has no machine frame, but ${hex(mfn)} was given`, { type, mfn })
  }
}

function isLeaf(lo: number, hi: number, level: number): boolean {
  return hi >= HI_LEAF && (level === 1 || (level < LEVELS && (lo & LO_LARGE) !== 0))
}

function isTable(lo: number, hi: number, level: number): boolean {
  return level > 1 && hi < HI_LEAF && (lo & LO_RWX) !== 0
}

function indexOf(gfn: number, level: number): number {
  if (level === 1) return gfn & 511
  if (level === 2) return (gfn >>> 9) & 511
  if (level === 3) return (gfn >>> 18) & 511
  return (gfn / 0x800_0000) & 511
}

/** The largest order that both frame numbers are aligned to and `count` has room for. */
function largestOrder(gfn: number, mfn: number, count: number): number {
  for (const order of ORDERS) {
    const size = 2 ** order
    if (count >= size && gfn % size === 0 && mfn % size === 0) return order
  }
  return 0
}

function checkOrder(order: number): void {
  if (order === 0 || order === 9 || order === 18) return
  throw new P2mError('ERR_ORDER', `order ${order}: expected 0 (4 KiB), 9 (2 MiB) or 18 (1 GiB)`, { order })
}

function noTable(memory: MachineMemory): P2mError {
  return new P2mError('ERR_NO_MEMORY', `no machine frame for a p2m table: ${memory.frames.freeFrames} free`, {
    freeFrames: memory.frames.freeFrames,
  })
}

function noRam(memory: MachineMemory, count: number): P2mError {
  return new P2mError(
    'ERR_NO_MEMORY',
    `no machine frames for ${count} frames of RAM: ${memory.frames.freeFrames} free`,
    {
      count,
      freeFrames: memory.frames.freeFrames,
    },
  )
}
