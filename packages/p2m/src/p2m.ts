import type { MachineMemory } from '@retrap/memory'
import { anothersFrame, checkBacking, checkFrames, checkOrder, checkRange, checkRun, largestOrder } from './checks.ts'
import { ControlBlock } from './control-block.ts'
import { EPT } from './ept.ts'
import { hex, P2mError } from './errors.ts'
import type { FrameCounts } from './frame-counts.ts'
import { MapCore, type ChangeListener, type ReleaseListener } from './map-core.ts'
import { takeRam } from './ram-frames.ts'
import { noTable, P2mEntry } from './radix-table.ts'
import { countLeaves, restoreRuns, saveRuns, type P2mState, type P2mStatistics } from './saved.ts'
import { INVALID_MFN, KIND_FOREIGN, KIND_FRAME, KIND_PLAIN, MAX_GFN, P2mType } from './types.ts'

/** A leaf, for people. */
export interface P2mLeaf {
  readonly gfn: number
  readonly mfn: number
  readonly type: number
  readonly order: number
  readonly rights: number
}

/** How {@link P2m.create} makes a map. */
export interface P2mOptions {
  /**
   * Where references to frames are counted: one for all guests of a machine. The map then holds a reference to each frame
   * of RAM in it that anybody counts, and drops it when the frame leaves; `populate` takes frames that are the map's alone
   * and go back to the machine with the last reference. Default: frames are the caller's.
   */
  readonly counts?: FrameCounts
}

/**
 * A domain's map of guest frames to machine frames: tables in machine memory, with leaves of 4 KiB, 2 MiB and 1 GiB. Any
 * thread can walk it at any time. Any thread with a view can change it: writers exclude each other, and readers never
 * wait. A listener cannot change the map that tells it of a change.
 *
 * Every change goes through `MapCore.replace`: there, and nowhere else, RAM leaves the map.
 */
export class P2m {
  readonly memory: MachineMemory
  /** MA of the top table: what hardware would be given. */
  readonly root: number
  /** MA of what views share: what {@link P2m.attach} takes. */
  readonly ma: number
  readonly #core: MapCore
  readonly #scratch: P2mEntry = new P2mEntry()

  /**
   * Makes an empty map: everything is a hole.
   *
   * @throws P2mError `ERR_NO_MEMORY`
   */
  static create(memory: MachineMemory, options: P2mOptions = {}): P2m {
    const root = memory.frames.tryAllocate(0)
    const block = root < 0 ? -1 : memory.frames.tryAllocate(0)
    if (block < 0) {
      if (root >= 0) memory.frames.free(root)
      throw noTable(memory)
    }
    const control = ControlBlock.create(memory, block, root * 4096, EPT_SHAPE, options.counts?.ma ?? 0)
    control.tables = 1
    return new P2m(memory, control)
  }

  /**
   * A further view of a map, in a Worker or after a snapshot of machine memory. Listeners are each view's own.
   *
   * @param ma - {@link P2m.ma}
   * @throws P2mError `ERR_STATE` if there is no map
   */
  static attach(memory: MachineMemory, ma: number): P2m {
    return new P2m(memory, new ControlBlock(memory, ma))
  }

  private constructor(memory: MachineMemory, control: ControlBlock) {
    this.memory = memory
    this.root = control.root
    this.ma = control.ma
    this.#core = new MapCore(memory, control, EPT, { levels: 4, roots: 1, limit: MAX_GFN }, () => undefined)
  }

  /** Machine memory that the tables take up. */
  get tableBytes(): number {
    return this.#core.control.tables * 4096
  }

  /** Changes with every change that any view has made: who sees the same number twice has seen one map. */
  get version(): number {
    return this.#core.control.changes
  }

  /**
   * Registers what is to be done when a frame of RAM goes away: device models' map caches, dirty bitmaps, frames' owners.
   * It is called once for each leaf, or part of one, after the map has changed and the change listeners have returned, and
   * before the map drops its reference: who takes one then keeps the frame from being used again.
   *
   * @returns a function that takes it off again
   */
  onRelease(listener: ReleaseListener): () => void {
    const core = this.#core
    core.releases = [...core.releases, listener]
    return () => {
      core.releases = core.releases.filter((each) => each !== listener)
    }
  }

  /**
   * Registers what is to be done when translations change: TLBs of the domain's vCPUs are flushed. Replaced tables are
   * freed when all listeners have returned; walks of other threads that are in the middle of one begin again.
   *
   * @returns a function that takes it off again
   */
  onChange(listener: ChangeListener): () => void {
    const core = this.#core
    core.changes = [...core.changes, listener]
    return () => {
      core.changes = core.changes.filter((each) => each !== listener)
    }
  }

  /**
   * Machine address of a guest-physical address that is memory and may be read; −1 for anything else. For TLB fills: no
   * checks, no allocation. Others' frames translate as well, and are not told apart as to execution.
   */
  translate(gpa: number): number {
    return this.#core.table.translate(gpa, this.#core.format.read)
  }

  /** As {@link P2m.translate}, for memory that may be written: −1 for ROM and for RAM whose writes are logged as well. */
  translateWrite(gpa: number): number {
    return this.#core.table.translate(gpa, this.#core.format.write)
  }

  /**
   * What a guest frame is.
   *
   * @param into - filled in; no allocation
   * @returns its type
   */
  lookup(gfn: number, into: P2mEntry): number {
    return this.#core.table.lookup(gfn, into)
  }

  /**
   * The guest frame that a machine frame of the guest's own RAM is mapped at; of several, the one mapped last.
   *
   * @returns −1 if it is not this guest's RAM, or frames are not counted
   */
  guestFrame(mfn: number): number {
    const gfn = this.#core.reverse?.get(mfn) ?? -1
    if (gfn < 0) return -1
    const entry = new P2mEntry()
    this.lookup(gfn, entry)
    return entry.mfn === mfn && (this.#core.kindsOf(entry.type) & KIND_FOREIGN) === 0 ? gfn : -1
  }

  /**
   * Maps one naturally aligned run of `2 ** order` frames, whatever was there.
   *
   * @param mfn - {@link INVALID_MFN} for types without frames
   * @throws P2mError `ERR_ORDER`, `ERR_ALIGN`, `ERR_RANGE`, `ERR_TYPE`, `ERR_FOREIGN`, `ERR_NO_MEMORY`
   */
  insert(gfn: number, mfn: number, order: number, type: number): void {
    checkRun(gfn, order)
    const core = this.#core
    checkBacking(this.memory, mfn, 2 ** order, type, core.kindsOf(type))
    if (mfn !== INVALID_MFN && mfn % 2 ** order !== 0) {
      throw new P2mError('ERR_ALIGN', `machine frame ${hex(mfn)} is not aligned to order ${order}`, { mfn, order })
    }
    core.begin()
    try {
      core.put(gfn, order, mfn, type)
    } finally {
      core.end()
    }
  }

  /**
   * Maps another's frame, whose reference the caller has taken: see {@link ForeignMappings}. What is there is replaced,
   * unless it is foreign itself.
   *
   * @throws P2mError `ERR_TYPE`, `ERR_RANGE`, `ERR_FOREIGN`, `ERR_NO_MEMORY`; nothing has changed then
   */
  insertForeign(gfn: number, mfn: number, type: number): void {
    checkRange(gfn, 1)
    const core = this.#core
    if ((core.kindsOf(type) & KIND_FOREIGN) === 0) {
      throw new P2mError('ERR_TYPE', `type ${type} is not another's frame`, { type })
    }
    checkFrames(this.memory, mfn, 1)
    core.begin()
    try {
      core.put(gfn, 0, mfn, type)
    } finally {
      core.end()
    }
  }

  /**
   * Makes a hole of another's frame.
   *
   * @returns its machine frame, of which nobody can have a translation any more
   * @throws P2mError `ERR_TYPE` if it is none
   */
  removeForeign(gfn: number): number {
    const core = this.#core
    core.begin()
    try {
      const entry = this.#scratch
      const type = this.lookup(gfn, entry)
      if ((core.kindsOf(type) & KIND_FOREIGN) === 0) {
        throw new P2mError('ERR_TYPE', `guest frame ${hex(gfn)} is of type ${type}, not another's`, { gfn, type })
      }
      const { mfn } = entry
      core.replace(gfn, 0, 0, 0, 0)
      return mfn
    } finally {
      core.end()
    }
  }

  /**
   * Maps `count` frames in the largest leaves that both frame numbers' alignment allows.
   *
   * @throws as {@link P2m.insert}; with `ERR_NO_MEMORY`, alone, the frames before the one in its figures are mapped
   */
  insertRange(gfn: number, mfn: number, count: number, type: number): void {
    checkRange(gfn, count)
    const core = this.#core
    checkBacking(this.memory, mfn, count, type, core.kindsOf(type))
    const backed = (core.kindsOf(type) & KIND_FRAME) !== 0
    core.begin()
    try {
      this.#checkOwn(gfn, count)
      for (let done = 0; done < count;) {
        const order = largestOrder(gfn + done, backed ? mfn + done : 0, count - done)
        core.put(gfn + done, order, backed ? mfn + done : INVALID_MFN, type)
        done += 2 ** order
      }
    } finally {
      core.end()
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
    const core = this.#core
    if ((core.kindsOf(type) & KIND_PLAIN) === 0) throw new P2mError('ERR_TYPE', `type ${type} is not RAM`, { type })
    core.begin()
    try {
      this.#checkOwn(gfn, count)
      const runs = takeRam(this.memory, gfn, count)
      try {
        // Tables are made before the first leaf is, so that a failure leaves nothing half done.
        for (const each of runs) core.table.path(each.gfn, each.order, core)
      } catch (error) {
        for (const each of runs) this.memory.frames.free(each.mfn, each.order)
        throw error
      }
      for (const each of runs) {
        core.counts?.adopt(each.mfn, 2 ** each.order)
        core.put(each.gfn, each.order, each.mfn, type, undefined, undefined, true)
      }
    } finally {
      core.end()
    }
  }

  /**
   * Makes holes of `count` frames, if they are mapped to what the caller thinks: to `mfn` and the frames after it or, for
   * {@link INVALID_MFN}, to no frame at all.
   *
   * @throws P2mError `ERR_MISMATCH`, `ERR_FOREIGN`, `ERR_RANGE`, `ERR_NO_MEMORY`; nothing has changed then
   */
  remove(gfn: number, mfn: number, count: number = 1): void {
    checkRange(gfn, count)
    const core = this.#core
    core.begin()
    try {
      if (this.#checkMapped(gfn, mfn, count)) {
        this.#split(gfn)
        this.#split(gfn + count)
      }
      for (let done = 0; done < count;) {
        const order = largestOrder(gfn + done, 0, count - done)
        if (mfn === INVALID_MFN) core.clear(gfn + done, order)
        else core.replace(gfn + done, order, 0, 0, KIND_FOREIGN)
        done += 2 ** order
      }
    } finally {
      core.end()
    }
  }

  /** @returns whether some leaf is only partly in the range */
  #checkMapped(gfn: number, mfn: number, count: number): boolean {
    const entry = this.#scratch
    let partly = false
    for (let done = 0; done < count;) {
      this.lookup(gfn + done, entry)
      if ((this.#core.kindsOf(entry.type) & KIND_FOREIGN) !== 0) throw anothersFrame(gfn + done)
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
      // A leaf that is only partly removed is broken up, which may need a table.
      if (before !== 0) partly = true
      // The rest of a leaf continues as it begins.
      done += size - before
      if (done > count) partly = true
    }
    return partly
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
    const core = this.#core
    const { table } = core
    const entry = new P2mEntry()
    core.begin()
    try {
      const before = core.control.tables
      // The smallest first: what they become may be a part of something larger.
      for (let order = 9; order < table.levels * 9; order += 9) {
        const size = 2 ** order
        for (let at = gfn - (gfn % size); at < gfn + count;) {
          if (table.isWhole(at, order)) core.replace(at, order, table.wholeLo, table.wholeHi)
          // On to the next run; over what is larger than that, at once.
          this.lookup(at, entry)
          const step = Math.max(size, 2 ** entry.order)
          at += step - (at % step)
        }
      }
      return before - core.control.tables
    } finally {
      core.end()
    }
  }

  /**
   * Counts the frames from one on that are of its type and, if they have frames, in consecutive ones.
   *
   * @param most - where to stop counting
   * @returns at least 1, at most `most`
   */
  contiguous(gfn: number, most: number): number {
    checkRange(gfn, 1)
    const entry = new P2mEntry()
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
   * Changes the type of all ordinary RAM among `count` frames (RAM_RW, RAM_LOGDIRTY and RAM_RO) to another of these.
   * Leaves that are only partly in the range are broken up.
   *
   * @param from - change frames of this type alone
   * @returns the frames whose type is another now
   * @throws P2mError `ERR_TYPE`, `ERR_RANGE`, `ERR_NO_MEMORY`
   */
  setType(gfn: number, count: number, type: number, from: number = -1): number {
    checkRange(gfn, count)
    const core = this.#core
    if ((core.kindsOf(type) & KIND_PLAIN) === 0) {
      throw new P2mError('ERR_TYPE', `type ${type} is not ordinary RAM; insert or remove instead`, { type })
    }
    const entry = this.#scratch
    let changed = 0
    core.begin()
    try {
      for (let at = gfn; at < gfn + count;) {
        const old = this.lookup(at, entry)
        const left = gfn + count - at
        const size = 2 ** entry.order
        const whole = at % size === 0 && size <= left
        if ((core.kindsOf(old) & KIND_PLAIN) === 0 || old === type || (from >= 0 && old !== from)) {
          at += size - (at % size)
          continue
        }
        const order = whole ? entry.order : largestOrder(at, entry.mfn, left)
        core.put(at, order, entry.mfn, type, entry.access)
        changed += 2 ** order
        at += 2 ** order
      }
    } finally {
      core.end()
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
    this.#core.begin()
    try {
      this.#core.split(gfn, order)
    } finally {
      this.#core.end()
    }
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
      if (this.#core.table.orderOfLeaf(gfn) >= 0) yield { gfn: start, mfn, type, order, rights }
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
    const core = this.#core
    const { table } = core
    const order = (table.levels - 1) * 9
    core.begin()
    try {
      for (let i = 0; i < table.topEntries; i++) {
        if (table.hasEntry(i * 2 ** order, order)) core.replace(i * 2 ** order, order, 0, 0, KIND_FOREIGN)
      }
    } finally {
      core.end()
    }
    table.free(this.root, table.levels)
    core.control.close()
    this.memory.frames.free(this.ma / 4096)
  }

  /** Makes a leaf boundary at a guest frame. */
  #split(gfn: number): void {
    if (gfn < MAX_GFN) this.#core.split(gfn, largestOrder(gfn, 0, MAX_GFN))
  }

  #checkOwn(gfn: number, count: number): void {
    const entry = this.#scratch
    for (let at = gfn; at < gfn + count;) {
      if ((this.#core.kindsOf(this.lookup(at, entry)) & KIND_FOREIGN) !== 0) throw anothersFrame(at)
      at += 2 ** entry.order - (at % 2 ** entry.order)
    }
  }
}

/** See `ControlBlock.shape`. */
const EPT_SHAPE = 48
