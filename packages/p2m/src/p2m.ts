import type { MachineMemory } from '@retrap/memory'
import { checkBacking, checkFrames, checkOrder, checkRange, checkRun, anothersFrame, largestOrder } from './checks.ts'
import { isLeaf, isTable, leafHi, leafLo, LEVELS, typeOf } from './entry.ts'
import { hex, P2mError } from './errors.ts'
import { takeRam } from './ram-frames.ts'
import { noTable, P2mEntry, RadixTable } from './radix-table.ts'
import { countLeaves, restoreRuns, saveRuns, type P2mState, type P2mStatistics } from './saved.ts'
import { INVALID_MFN, isForeign, isRam, MAX_GFN, P2M_READ, P2M_WRITE, P2mType } from './types.ts'

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
  readonly #table: RadixTable
  readonly #scratch: P2mEntry = new P2mEntry()
  #releases: ReleaseListener[] = []
  #changes: ChangeListener[] = []

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
    this.#table = new RadixTable(memory, root)
  }

  /** Machine memory that the tables take up. */
  get tableBytes(): number {
    return this.#table.tables * 4096
  }

  /**
   * Registers what is to be done when a RAM leaf goes away: device models' map caches, dirty bitmaps, frames' owners.
   * It is called once for each leaf, or part of one, after the map has changed and the change listeners have returned.
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
   * For TLB fills: no checks, no allocation. Others' frames translate as well, and are not told apart as to execution.
   */
  translate(gpa: number): number {
    return this.#table.translate(gpa, P2M_READ)
  }

  /** As {@link P2m.translate}, for RAM that may be written: −1 for ROM and for RAM whose writes are logged as well. */
  translateWrite(gpa: number): number {
    return this.#table.translate(gpa, P2M_WRITE)
  }

  /**
   * What a guest frame is.
   *
   * @param into - filled in; no allocation
   * @returns its type
   */
  lookup(gfn: number, into: P2mEntry): number {
    return this.#table.lookup(gfn, into)
  }

  /**
   * Maps one naturally aligned run of `2 ** order` frames, whatever was there.
   *
   * @param mfn - {@link INVALID_MFN} for types without frames
   * @throws P2mError `ERR_ORDER`, `ERR_ALIGN`, `ERR_RANGE`, `ERR_TYPE`, `ERR_FOREIGN`, `ERR_NO_MEMORY`
   */
  insert(gfn: number, mfn: number, order: number, type: number): void {
    checkRun(gfn, order)
    checkBacking(this.memory, mfn, 2 ** order, type)
    if (isRam(type) && mfn % 2 ** order !== 0) {
      throw new P2mError('ERR_ALIGN', `machine frame ${hex(mfn)} is not aligned to order ${order}`, { mfn, order })
    }
    this.#replace(gfn, order, leafLo(mfn, type, order), leafHi(type))
  }

  /**
   * Maps another's frame, whose reference the caller has taken: see {@link ForeignMappings}. What is there is replaced,
   * unless it is foreign itself.
   *
   * @throws P2mError `ERR_TYPE`, `ERR_RANGE`, `ERR_FOREIGN`, `ERR_NO_MEMORY`; nothing has changed then
   */
  insertForeign(gfn: number, mfn: number, type: number): void {
    checkRange(gfn, 1)
    if (!isForeign(type)) throw new P2mError('ERR_TYPE', `type ${type} is not another's frame`, { type })
    checkFrames(this.memory, mfn, 1)
    this.#replace(gfn, 0, leafLo(mfn, type, 0), leafHi(type))
  }

  /**
   * Makes a hole of another's frame.
   *
   * @returns its machine frame, of which nobody can have a translation any more
   * @throws P2mError `ERR_TYPE` if it is none
   */
  removeForeign(gfn: number): number {
    const entry = this.#scratch
    const type = this.lookup(gfn, entry)
    if (!isForeign(type)) {
      throw new P2mError('ERR_TYPE', `guest frame ${hex(gfn)} is of type ${type}, not another's`, { gfn, type })
    }
    const mfn = entry.mfn
    this.#replace(gfn, 0, 0, 0, true)
    return mfn
  }

  /**
   * Maps `count` frames in the largest leaves that both frame numbers' alignment allows.
   *
   * @throws as {@link P2m.insert}; with `ERR_NO_MEMORY`, alone, the frames before the one in its figures are mapped
   */
  insertRange(gfn: number, mfn: number, count: number, type: number): void {
    checkRange(gfn, count)
    checkBacking(this.memory, mfn, count, type)
    this.#checkOwn(gfn, count)
    const backed = isRam(type)
    for (let done = 0; done < count;) {
      const order = largestOrder(gfn + done, backed ? mfn + done : 0, count - done)
      this.insert(gfn + done, backed ? mfn + done : INVALID_MFN, order, type)
      done += 2 ** order
    }
  }

  /**
   * Gives `count` guest frames RAM from the machine's free frames, in the largest leaves there is memory for and in
   * ascending order.
   *
   * @param type - a type of RAM
   * @throws P2mError `ERR_NO_MEMORY` with nothing mapped and no frame taken; `ERR_RANGE`, `ERR_TYPE`, `ERR_FOREIGN`
   */
  populate(gfn: number, count: number, type: number = P2mType.RAM_RW): void {
    checkRange(gfn, count)
    if (!isRam(type)) throw new P2mError('ERR_TYPE', `type ${type} is not RAM`, { type })
    this.#checkOwn(gfn, count)
    const runs = takeRam(this.memory, gfn, count)
    try {
      // Tables are made before the first leaf is, so that a failure leaves nothing half done.
      for (const each of runs) this.#table.path(each.gfn, each.order)
    } catch (error) {
      for (const each of runs) this.memory.frames.free(each.mfn, each.order)
      throw error
    }
    for (const each of runs) this.insert(each.gfn, each.mfn, each.order, type)
  }

  /**
   * Makes holes of `count` frames, if they are mapped to what the caller thinks: RAM to `mfn` and the frames after it,
   * or, for {@link INVALID_MFN}, to no frame at all.
   *
   * @throws P2mError `ERR_MISMATCH`, `ERR_FOREIGN`, `ERR_RANGE`, `ERR_NO_MEMORY`; nothing has changed then
   */
  remove(gfn: number, mfn: number, count: number = 1): void {
    checkRange(gfn, count)
    const entry = this.#scratch
    let partly = false
    for (let done = 0; done < count;) {
      this.lookup(gfn + done, entry)
      if (isForeign(entry.type)) throw anothersFrame(gfn + done)
      const expected = mfn === INVALID_MFN ? INVALID_MFN : mfn + done
      if (entry.mfn !== expected) {
        throw new P2mError(
          'ERR_MISMATCH',
          `guest frame ${hex(gfn + done)} is mapped to ${hex(entry.mfn)}, not ${hex(expected)}`,
          { gfn: gfn + done, mfn: entry.mfn, expected },
        )
      }
      const size = 2 ** entry.order
      const before = (gfn + done) % size
      // A leaf that is only partly removed is broken up below, which may need a table.
      if (before !== 0) partly = true
      // The rest of a leaf continues as it begins.
      done += size - before
      if (done > count) partly = true
    }
    if (partly) {
      this.#split(gfn)
      this.#split(gfn + count)
    }
    for (let done = 0; done < count;) {
      const order = largestOrder(gfn + done, 0, count - done)
      if (mfn === INVALID_MFN) this.#clear(gfn + done, order)
      else this.#replace(gfn + done, order, 0, 0)
      done += 2 ** order
    }
  }

  /**
   * Puts small leaves together where larger ones say the same, after log-dirty mode for instance, and frees tables of
   * which nothing is left. What is mapped stays the same; listeners hear of changes because tables go.
   *
   * @returns the tables that were freed
   * @throws P2mError `ERR_RANGE`
   */
  coalesce(gfn: number = 0, count: number = MAX_GFN - gfn): number {
    checkRange(gfn, count)
    const before = this.#table.tables
    const entry = new P2mEntry()
    // The smallest first: what they become may be a part of something larger.
    for (const order of [9, 18, 27]) {
      const size = 2 ** order
      for (let at = gfn - (gfn % size); at < gfn + count;) {
        if (this.#table.isWhole(at, order)) this.#replace(at, order, this.#table.wholeLo, this.#table.wholeHi)
        // On to the next run; over what is larger than that, at once.
        this.lookup(at, entry)
        const step = Math.max(size, 2 ** entry.order)
        at += step - (at % step)
      }
    }
    return before - this.#table.tables
  }

  /**
   * Counts the frames from one on that are of its type and, if they are RAM, in consecutive machine frames.
   *
   * @param most - where to stop counting
   * @returns at least 1, at most `most`
   */
  contiguous(gfn: number, most: number): number {
    checkRange(gfn, 1)
    const entry = this.#scratch
    const type = this.lookup(gfn, entry)
    const mfn = entry.mfn
    let count = 0
    while (count < most && gfn + count < MAX_GFN) {
      if (this.lookup(gfn + count, entry) !== type) break
      if (entry.mfn !== (mfn === INVALID_MFN ? INVALID_MFN : mfn + count)) break
      count += 2 ** entry.order - ((gfn + count) % 2 ** entry.order)
    }
    return Math.max(1, Math.min(count, most))
  }

  /**
   * Changes the type of all RAM among `count` frames to another type of RAM. Leaves that are only partly in the range
   * are broken up.
   *
   * @returns the frames whose type is another now
   * @throws P2mError `ERR_TYPE`, `ERR_RANGE`, `ERR_NO_MEMORY`
   */
  setType(gfn: number, count: number, type: number): number {
    checkRange(gfn, count)
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
    checkRange(gfn, 1)
    const entry = this.#scratch
    this.lookup(gfn, entry)
    if (entry.mfn === INVALID_MFN || entry.order <= order) return
    this.#table.path(gfn - (gfn % 2 ** order), order)
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
      if (this.#table.isMapped(gfn)) yield { gfn: start, mfn, type, order, rights }
      gfn = start + size
    }
  }

  /** What it maps of its own, as data; the frames' contents are machine memory's. */
  save(): P2mState {
    return saveRuns(this)
  }

  /**
   * Maps what was saved, in the largest leaves there can be; what is there already and not in the data stays. A machine
   * whose whole memory was restored has its tables in it: `attach` to those instead.
   *
   * @throws P2mError `ERR_STATE`; otherwise as {@link P2m.insertRange}
   */
  restore(state: P2mState): void {
    restoreRuns(this, state)
  }

  /** Counts its leaves; walks all of it. */
  statistics(): P2mStatistics {
    return countLeaves(this)
  }

  /**
   * Removes everything, reporting what is released, and gives the tables' frames back. The map is not usable after.
   *
   * @throws P2mError `ERR_FOREIGN` while frames of others are mapped
   */
  destroy(): void {
    for (let i = 0; i < 512; i++) if (this.#u32[(this.root >>> 2) + i * 2] !== 0) this.#replace(i * 2 ** 27, 27, 0, 0)
    this.#table.free(this.root, LEVELS)
  }

  /**
   * The one place where entries that map something change. Publishes a leaf (or nothing, for zeros) over whatever
   * covered the run, then tells the listeners, then frees the tables that it replaced.
   */
  #replace(gfn: number, order: number, lo: number, hi: number, overForeign: boolean = false): void {
    const ma = this.#table.path(gfn, order)
    const oldLo = this.#u32[ma >>> 2] as number
    const oldHi = this.#u32[(ma >>> 2) + 1] as number
    if (oldLo === lo && oldHi === hi) return
    const level = order / 9 + 1
    const inTheWay = overForeign ? -1 : this.#table.foreignBelow(oldLo, oldHi, level, gfn)
    if (inTheWay >= 0) throw anothersFrame(inTheWay)
    this.memory.publishEntry(ma, lo, hi)
    // A frame that keeps its machine frame, as RAM, has not been released.
    const kept = hi !== 0 && isRam(typeOf(hi)) ? lo >>> 12 : INVALID_MFN
    // TLBs first: whoever hears of a release may give the frame to somebody else.
    for (const listener of this.#changes) listener(gfn, 2 ** order)
    if (this.#releases.length > 0) this.#release(oldLo, oldHi, level, gfn, gfn, kept)
    if (isTable(oldLo, oldHi, level)) this.#table.free((oldLo & ~0xfff) >>> 0, level - 1)
  }

  #clear(gfn: number, order: number): void {
    // Where no table leads there is nothing to clear, and none is made.
    const entry = this.#scratch
    this.lookup(gfn, entry)
    if (entry.order >= order && !this.#table.isMapped(gfn)) return
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

  /** Makes a leaf boundary at a guest frame. */
  #split(gfn: number): void {
    if (gfn >= MAX_GFN) return
    const entry = this.#scratch
    const order = largestOrder(gfn, 0, MAX_GFN)
    this.lookup(gfn, entry)
    if (entry.order > order && this.#table.isMapped(gfn)) this.#table.path(gfn, order)
  }

  #checkOwn(gfn: number, count: number): void {
    const entry = this.#scratch
    for (let at = gfn; at < gfn + count;) {
      if (isForeign(this.lookup(at, entry))) throw anothersFrame(at)
      at += 2 ** entry.order - (at % 2 ** entry.order)
    }
  }
}
