import { describeArgument } from '@retrap/basics'
import type { MachineMemory } from '@retrap/memory'
import { checkMemory } from './checks.ts'
import { hex, P2mError } from './errors.ts'

/** Bytes a frame. */
export const REVERSE_MAP_BYTES = 5

/**
 * Machine frames to guest frames: for each the guest frame that it was mapped at last, of whichever guest. A hint, that
 * who asks holds against the guest's map: a frame may be mapped twice, and threads read it while others write.
 */
export class ReverseMap {
  /** Guest frame + 1, low and high part; 0 for none. */
  readonly #low: Uint32Array
  readonly #high: Uint8Array

  /** @param ma - machine address of `REVERSE_MAP_BYTES` zeros for each frame */
  constructor(memory: MachineMemory, ma: number) {
    this.#low = new Uint32Array(memory.buffer, ma, memory.frameCount)
    this.#high = new Uint8Array(memory.buffer, ma + memory.frameCount * 4, memory.frameCount)
  }

  set(mfn: number, gfn: number, count: number): void {
    for (let i = 0; i < count; i++) {
      this.#low[mfn + i] = gfn + 1 + i
      this.#high[mfn + i] = (gfn + 1 + i) / 2 ** 32
    }
  }

  /** Removes the notes of frames that still refer to that guest range. */
  clear(mfn: number, gfn: number, count: number): void {
    for (let i = 0; i < count; i++) {
      if (this.get(mfn + i) !== gfn + i) continue
      this.#low[mfn + i] = 0
      this.#high[mfn + i] = 0
    }
  }

  /** Returns the guest frame; −1 if unknown. */
  get(mfn: number): number {
    return (this.#low[mfn] ?? 0) + (this.#high[mfn] ?? 0) * 2 ** 32 - 1
  }
}

/**
 * The holds on machine frames: a count a frame, in machine memory, which every thread may change. The guest that a
 * frame is RAM of counts once; so does every device model that knows it and everybody who mapped it as a foreign frame.
 * The last to drop a frame frees it, and scrubs it with that; nobody sees a frame of which somebody else still has a
 * view.
 *
 * Frames that nobody has adopted count 0: tables, hypervisor regions, free ones.
 */
export class FrameCounts {
  readonly #memory: MachineMemory
  /** Counts by MFN. */
  readonly #counts: Uint32Array
  /** Number of holders of each shared table, by MFN. */
  readonly #holders: Uint16Array
  /** MA of the counts, for {@link FrameCounts.attach}. */
  readonly ma: number

  /**
   * Sets aside 11 bytes a frame of machine memory: the count, the guest frame that it is, and how many maps share the table
   * that it is.
   *
   * @throws MemoryError `ERR_NO_MEMORY`
   */
  static create(memory: MachineMemory): FrameCounts {
    checkMemory(memory)
    return new FrameCounts(memory, memory.allocate(memory.frameCount * (4 + REVERSE_MAP_BYTES + 2), 4, 'frame counts'))
  }

  /** A further view, in a Worker or after a snapshot of machine memory. */
  static attach(memory: MachineMemory, ma: number): FrameCounts {
    checkMemory(memory)
    return new FrameCounts(memory, ma)
  }

  private constructor(memory: MachineMemory, ma: number) {
    this.#memory = memory
    this.ma = ma
    const { buffer, frameCount } = memory
    this.#counts = new Uint32Array(buffer, ma, frameCount)
    this.#holders = new Uint16Array(buffer, ma + frameCount * (4 + REVERSE_MAP_BYTES), frameCount)
  }

  /** References to a frame; 0 if it is free, or not counted. */
  count(mfn: number): number {
    return Number.isSafeInteger(mfn) && mfn >= 0 && mfn < this.#counts.length ? Atomics.load(this.#counts, mfn) : 0
  }

  /**
   * Begins to count frames that the caller has allocated: its own reference is the first.
   *
   * @throws P2mError `ERR_RANGE`; `ERR_COUNT` if one is counted already, and then none has been adopted
   */
  adopt(mfn: number, count: number): void {
    this.#check(mfn, count)
    for (let i = 0; i < count; i++) {
      if (Atomics.compareExchange(this.#counts, mfn + i, 0, 1) === 0) continue
      this.#lower(mfn, i)
      throw new P2mError('ERR_COUNT', `machine frame ${hex(mfn + i)} is counted already`, { mfn: mfn + i })
    }
  }

  /**
   * Takes a reference to each frame of a run.
   *
   * @returns false if a frame has no owner; then nothing has changed
   * @throws P2mError `ERR_RANGE`
   */
  tryTake(mfn: number, count: number): boolean {
    this.#check(mfn, count)
    if (!this.#memory.shared) return this.#tryTakeAlone(mfn, count)
    for (let i = 0; i < count; i++) {
      if (this.#raise(mfn + i)) continue
      // Frames whose other references were dropped meanwhile are freed here.
      if (i > 0) this.drop(mfn, i)
      return false
    }
    return true
  }

  /**
   * Drops a reference to each frame of a run, and frees frames without further references.
   *
   * @throws P2mError `ERR_RANGE`; `ERR_COUNT` for a frame without references
   */
  drop(mfn: number, count: number): void {
    this.#check(mfn, count)
    const counts = this.#counts
    const { shared } = this.#memory
    let first = mfn
    for (let frame = mfn; frame < mfn + count; frame++) {
      const before = shared ? Atomics.sub(counts, frame, 1) : counts[frame]!--
      if (before === 1) continue
      this.#free(first, frame)
      first = frame + 1
      if (before !== 0) continue
      Atomics.store(counts, frame, 0)
      throw new P2mError('ERR_COUNT', `machine frame ${hex(frame)} has no references to drop`, { mfn: frame })
    }
    this.#free(first, mfn + count)
  }

  /** No other thread changes counts: a fork takes references to all of RAM, and atomic additions take ten times as long. */
  #tryTakeAlone(mfn: number, count: number): boolean {
    const counts = this.#counts
    for (let frame = mfn; frame < mfn + count; frame++) if (counts[frame] === 0) return false
    for (let frame = mfn; frame < mfn + count; frame++) counts[frame]!++
    return true
  }

  /** Returns the number of holders of a shared table; 0 for other frames. One thread changes these counts. */
  tableHolders(mfn: number): number {
    return this.#holders[mfn] ?? 0
  }

  /** Adds a holder of a table. @throws P2mError `ERR_COUNT` if there are too many */
  holdTable(mfn: number): void {
    if (this.#holders[mfn] === 0xffff)
      throw new P2mError('ERR_COUNT', `table ${hex(mfn)} is shared by 65535 maps: destroy some of them`, { mfn })
    this.#holders[mfn]!++
  }

  /** Removes a holder of a table. @returns the remaining number */
  letTable(mfn: number): number {
    return --this.#holders[mfn]!
  }

  #raise(frame: number): boolean {
    const counts = this.#counts
    for (let old = Atomics.load(counts, frame); old !== 0;) {
      const seen = Atomics.compareExchange(counts, frame, old, old + 1)
      if (seen === old) return true
      old = seen
    }
    return false
  }

  #lower(mfn: number, count: number): void {
    for (let i = 0; i < count; i++) Atomics.sub(this.#counts, mfn + i, 1)
  }

  /** Frees the frames from `from` up to `to`, in the largest aligned runs. */
  #free(from: number, to: number): void {
    while (from < to) {
      const order = from % 512 === 0 && to - from >= 512 ? 9 : 0
      this.#memory.frames.free(from, order)
      from += 2 ** order
    }
  }

  #check(mfn: number, count: number): void {
    if (
      Number.isSafeInteger(count) &&
      count >= 1 &&
      Number.isSafeInteger(mfn) &&
      mfn > 0 &&
      mfn + count <= this.#counts.length
    )
      return
    throw new P2mError(
      'ERR_RANGE',
      `${describeArgument(count)} machine frames at ${hex(mfn)} are not in machine memory`,
      { mfn, count },
    )
  }
}
