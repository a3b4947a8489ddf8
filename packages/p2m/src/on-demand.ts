import { describeArgument } from '@retrap/basics'
import { PAGE_BYTES } from '@retrap/memory'
import { largestOrder } from './checks.ts'
import { ControlWord } from './control-block.ts'
import { hex, P2mError } from './errors.ts'
import { HANDED_OVER, type MapCore } from './map-core.ts'
import { P2mEntry } from './radix-table.ts'
import { INVALID_MFN, KIND_HOLE, KIND_RAM, P2mType } from './types.ts'

/**
 * Populate-on-demand: guest frames that get their machine frame when they are accessed first, out of a cache that may be
 * smaller than they are. A guest that boots with less memory than it believes to have lives on it until its balloon
 * driver has given back the rest; frames of zeros go back into the cache meanwhile.
 *
 * Source: Xen, xen/include/public/memory.h (`XENMEM_set_pod_target`, `XENMEM_get_pod_target`,
 * `XENMEMF_populate_on_demand`).
 */
export interface PopulateOnDemand {
  /** Guest frames that have no machine frame yet. */
  readonly entries: number
  /** Machine frames set aside for populate-on-demand. */
  readonly cached: number
  /**
   * Marks frames as populate-on-demand, which must be holes or already marked.
   *
   * @throws P2mError `ERR_BUSY` for other entries, with nothing changed; `ERR_RANGE`, `ERR_NO_MEMORY`
   */
  mark(gfn: number, count: number): void
  /**
   * Takes machine frames for the cache, or gives some back.
   *
   * @returns the frames it has then: fewer than asked for where the machine has no more
   * @throws P2mError `ERR_COUNT` for a map without reference counts
   */
  setCache(frames: number): number
  /**
   * Sizes the cache for a guest's total number of frames, when its balloon target changes. The cache never exceeds the
   * number of entries, and does not shrink: that is the balloon driver's task.
   *
   * @returns the frames in the cache then
   */
  setTarget(frames: number): number
  /**
   * Allocates the machine frame of an accessed guest frame, or 2 MiB at once if available. An empty cache is refilled
   * by a search for zero frames.
   *
   * @returns `done`, also where there is nothing to be done; `wait` if frames have been found that device models have to
   *   let go of; `none` if there is no more memory for the guest
   */
  populate(gfn: number): 'done' | 'wait' | 'none'
  /**
   * Takes frames of zeros that the guest alone holds out of the map, as whole leaves or frame by frame, to be populated on
   * demand again. They are in the cache as soon as notified device models have dropped their mappings; frames that have
   * been written until then go back.
   *
   * @returns the frames taken
   */
  reclaim(gfn: number, count: number): number
  /**
   * For `decrease_reservation`: entries become holes, and RAM among them goes into the cache while the cache is smaller
   * than the outstanding entries.
   *
   * @returns the frames dealt with; the others are to be removed by the caller
   */
  decrease(gfn: number, count: number): number
}

/** Most frames examined by a search once it has found any. */
const SWEEP_LIMIT = 1024

interface Leaving {
  readonly gfn: number
  readonly mfn: number
  readonly order: number
  /** The frames were zeros, and are to go back if they are not any more. */
  readonly zeros: boolean
  readonly access: number
}

/** Implementation over a map. */
export class OnDemand implements PopulateOnDemand {
  readonly #core: MapCore
  readonly #entry = new P2mEntry()
  /** Frames that have left the map, and are not yet in the cache. */
  #leaving: readonly Leaving[] = []

  constructor(core: MapCore) {
    this.#core = core
  }

  get entries(): number {
    return this.#core.control.frames(P2mType.POPULATE_ON_DEMAND)
  }

  get cached(): number {
    return this.#core.control.word(ControlWord.POD_CACHED)
  }

  mark(gfn: number, count: number): void {
    this.#core.checkRange(gfn, count)
    const core = this.#core
    core.needCounts()
    core.change(() => {
      const entry = this.#entry
      for (let at = gfn; at < gfn + count;) {
        const type = core.table.lookup(at, entry)
        const unused = (core.kindsOf(type) & (KIND_HOLE | KIND_RAM)) === KIND_HOLE
        if (!unused && type !== P2mType.POPULATE_ON_DEMAND) {
          throw new P2mError('ERR_BUSY', `guest frame ${hex(at)} is of type ${type}, and in use`, { gfn: at, type })
        }
        at += 2 ** entry.order - (at % 2 ** entry.order)
      }
      for (let done = 0; done < count;) {
        const order = largestOrder(gfn + done, 0, count - done)
        core.put(gfn + done, order, INVALID_MFN, P2mType.POPULATE_ON_DEMAND)
        done += 2 ** order
      }
      const top = Math.ceil((gfn + count) / 512)
      if (top > core.control.word(ControlWord.POD_TOP)) core.control.setWord(ControlWord.POD_TOP, top)
    })
  }

  setCache(frames: number): number {
    checkFrameCount(frames)
    return this.#core.change(() => this.#resize(frames))
  }

  setTarget(frames: number): number {
    checkFrameCount(frames)
    const core = this.#core
    return core.change(() => {
      const { cached, entries } = this
      if (entries === 0) return cached
      const populated = core.ownFrames
      if (frames < populated + cached) return cached
      return this.#resize(Math.min(frames - populated, entries))
    })
  }

  populate(gfn: number): 'done' | 'wait' | 'none' {
    const core = this.#core
    return core.change(() => {
      const entry = this.#entry
      if (core.table.lookup(gfn, entry) !== P2mType.POPULATE_ON_DEMAND) return 'done'
      this.#settle()
      if (this.cached === 0) this.#sweep()
      // The entry may have changed since.
      if (core.table.lookup(gfn, entry) !== P2mType.POPULATE_ON_DEMAND) return 'done'
      const large = entry.order >= 9 ? this.#take(9) : -1
      const order = large >= 0 ? 9 : 0
      const mfn = large >= 0 ? large : this.#takeSmall()
      if (mfn < 0) return this.#leaving.length > 0 ? 'wait' : 'none'
      try {
        core.put(gfn - (gfn % 2 ** order), order, mfn, P2mType.RAM_RW, entry.access, HANDED_OVER)
        return 'done'
      } catch (error) {
        this.#give(mfn, order)
        if (error instanceof P2mError && error.code === 'ERR_NO_MEMORY') return 'none'
        throw error
      }
    })
  }

  reclaim(gfn: number, count: number): number {
    this.#core.checkRange(gfn, count)
    this.#core.needCounts()
    return this.#core.change(() => this.#reclaim(gfn, count))
  }

  decrease(gfn: number, count: number): number {
    this.#core.checkRange(gfn, count)
    const core = this.#core
    return core.change(() => {
      let done = 0
      const entry = this.#entry
      core.splitAround(gfn, count)
      for (let at = gfn; at < gfn + count;) {
        const type = core.table.lookup(at, entry)
        const size = 2 ** entry.order
        const left = Math.min(size - (at % size), gfn + count - at)
        if (type === P2mType.POPULATE_ON_DEMAND) {
          core.clear(at, entry.order)
          done += left
        } else if (type === P2mType.RAM_RW && this.cached + left <= this.entries && this.#steal(at, entry, false)) {
          done += left
        }
        at += left
      }
      return done
    })
  }

  /** To be called before the map is destroyed. */
  close(): void {
    const { counts } = this.#core
    if (counts === null) return
    this.#resize(0)
    for (const { mfn, order } of this.#leaving) counts.drop(mfn, 2 ** order)
    this.#leaving = []
  }

  // ---------------------------------------------------------------- under the lock

  #resize(frames: number): number {
    const core = this.#core
    const counts = core.needCounts()
    const { memory } = core
    this.#settle()
    while (this.cached < frames) {
      let order = frames - this.cached >= 512 ? 9 : 0
      let mfn = memory.frames.tryAllocate(order)
      if (mfn < 0 && order > 0) {
        order = 0
        mfn = memory.frames.tryAllocate(0)
      }
      if (mfn < 0) break
      counts.adopt(mfn, 2 ** order)
      this.#give(mfn, order)
    }
    while (this.cached > frames) {
      // Large runs last, and broken up only for the remainder.
      const order = this.#headOf(0) === 0 && this.cached - frames >= 512 ? 9 : 0
      const mfn = order === 9 ? this.#take(9) : this.#takeSmall()
      if (mfn < 0) break
      counts.drop(mfn, 2 ** order)
    }
    return this.cached
  }

  #headOf(order: number): number {
    return this.#core.control.word(order === 0 ? ControlWord.POD_SMALL : ControlWord.POD_LARGE)
  }

  #setHead(order: number, mfn: number): void {
    this.#core.control.setWord(order === 0 ? ControlWord.POD_SMALL : ControlWord.POD_LARGE, mfn)
  }

  /** Runs in the cache are chained by their first words, and zero otherwise. */
  #give(mfn: number, order: number): void {
    const { control, memory } = this.#core
    memory.u32[mfn * 1024] = this.#headOf(order)
    this.#setHead(order, mfn)
    control.setWord(ControlWord.POD_CACHED, this.cached + 2 ** order)
  }

  #take(order: number): number {
    const { control, memory } = this.#core
    const mfn = this.#headOf(order)
    if (mfn === 0) return -1
    this.#setHead(order, memory.u32[mfn * 1024]!)
    memory.u32[mfn * 1024] = 0
    control.setWord(ControlWord.POD_CACHED, this.cached - 2 ** order)
    return mfn
  }

  /** Takes a single frame, splitting a larger run if necessary. */
  #takeSmall(): number {
    const mfn = this.#take(0)
    if (mfn >= 0) return mfn
    const run = this.#take(9)
    if (run < 0) return -1
    for (let i = 511; i > 0; i--) this.#give(run + i, 0)
    return run
  }

  /** Downwards from the end of the last sweep: frames touched early are the least likely to be zero. */
  #sweep(): void {
    const { control } = this.#core
    const top = control.word(ControlWord.POD_TOP)
    let block = control.word(ControlWord.POD_SWEEP)
    let found = 0
    for (let looked = 0; looked < top; looked++) {
      if (block === 0) block = top
      block--
      found += this.#reclaim(block * 512, 512)
      if (found > 0 && looked * 512 >= SWEEP_LIMIT) break
    }
    control.setWord(ControlWord.POD_SWEEP, block)
  }

  #reclaim(gfn: number, count: number): number {
    const { table } = this.#core
    const entry = this.#entry
    let taken = 0
    for (let at = gfn; at < gfn + count;) {
      const type = table.lookup(at, entry)
      const size = 2 ** entry.order
      const whole = at % size === 0 && at + size <= gfn + count
      if (type === P2mType.RAM_RW && whole && entry.order < 18) {
        if (this.#steal(at, entry, true)) {
          taken += size
          at += size
          continue
        }
        if (entry.order > 0) taken += this.#stealParts(at, entry.mfn, entry.access)
      }
      at += size - (at % size)
    }
    return taken
  }

  /** Frame by frame of a large leaf, which is broken up only if there is a frame to be had. */
  #stealParts(gfn: number, mfn: number, access: number): number {
    let taken = 0
    const part = new P2mEntry()
    part.access = access
    for (let i = 0; i < 512; i++) {
      part.mfn = mfn + i
      try {
        if (this.#steal(gfn + i, part, true)) taken++
      } catch (error) {
        if (!(error instanceof P2mError && error.code === 'ERR_NO_MEMORY')) throw error
        break
      }
    }
    return taken
  }

  /**
   * Takes a leaf's frames out of the map, for the cache: they become a hole, or to be populated on demand if they are
   * zeros.
   *
   * @returns false if the frames stay: they have other references, or are not zero
   */
  #steal(gfn: number, entry: P2mEntry, zeros: boolean): boolean {
    const core = this.#core
    const counts = core.needCounts()
    const { mfn, order, access } = entry
    const size = 2 ** order
    if (!this.#isSingle(mfn, size) || (zeros && !this.#isZero(mfn, size))) return false
    // The map's reference goes with its leaf; this one keeps the frames from being freed.
    counts.tryTake(mfn, size)
    try {
      if (zeros) core.put(gfn, order, INVALID_MFN, P2mType.POPULATE_ON_DEMAND, access)
      else core.replace(gfn, order, 0, 0)
    } catch (error) {
      counts.drop(mfn, size)
      throw error
    }
    this.#leaving = [...this.#leaving, { gfn, mfn, order, zeros, access }]
    this.#settle()
    return core.table.lookup(gfn, new P2mEntry()) !== P2mType.RAM_RW
  }

  /** Moves unmapped frames into the cache, once no other references exist. */
  #settle(): void {
    const { table, memory } = this.#core
    const entry = new P2mEntry()
    this.#leaving = this.#leaving.filter(({ gfn, mfn, order, zeros, access }) => {
      const size = 2 ** order
      if (!this.#isSingle(mfn, size)) return true
      if (!zeros || !this.#isZero(mfn, size)) {
        // Another holder has written the frame since: the data belongs to the guest, which gets it back.
        const type = zeros ? table.lookup(gfn, entry) : P2mType.INVALID
        if (type === P2mType.POPULATE_ON_DEMAND && entry.order >= order) {
          this.#core.put(gfn, order, mfn, P2mType.RAM_RW, access, HANDED_OVER)
          return false
        }
        memory.fill(mfn * PAGE_BYTES, size * PAGE_BYTES, 0)
      }
      this.#give(mfn, order)
      return false
    })
  }

  /** Whether each frame has exactly one reference. */
  #isSingle(mfn: number, count: number): boolean {
    const { counts } = this.#core
    for (let i = 0; i < count; i++) if (counts?.count(mfn + i) !== 1) return false
    return true
  }

  #isZero(mfn: number, count: number): boolean {
    const { u32 } = this.#core.memory
    for (let word = mfn * 1024; word < (mfn + count) * 1024; word++) if (u32[word] !== 0) return false
    return true
  }
}

function checkFrameCount(frames: number): void {
  if (Number.isSafeInteger(frames) && frames >= 0) return
  throw new P2mError('ERR_RANGE', `${describeArgument(frames)} frames: expected an integer from 0 on`, { frames })
}
