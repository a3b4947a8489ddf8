import { PAGE_BYTES } from '@retrap/memory'
import type { Domain } from '../domain.ts'
import { announcedRanges, announceWrites, type FrameRun, runsOf } from './announced-writes.ts'
import { FIRST_LOGGED_GFN, type FrameSet } from './guest-frames.ts'
import { isZero, WORDS } from '../memory/frame-contents.ts'
import type { GuestPages } from './page-source.ts'

/** Frames compared and copied at once, which takes about a millisecond. */
const FRAMES_A_TURN = 4096
const COPIES_A_TURN = 512
/** Frames compared together while few of them have been written. */
const FRAMES_A_LOOK = 64

/** The known facts of a frame, and the place of its contents. */
const Frame = {
  /** Not yet copied: the contents are in the frame. */
  UNKNOWN: 0,
  /** Not to be copied: the frame is zero, or was not requested. */
  PASSED: 1,
  /** The contents are in the frame, and are to be copied. */
  KEPT: 2,
  /** The contents have been copied. */
  COPIED: 3,
} as const

/** Frames of a guest as they were, from `first` on in the order of all frames. */
interface CopiedRun extends FrameRun {
  readonly first: number
}

/**
 * The contents of a guest's frames as they are at one instant, which the guest does not wait for: a frame is copied before
 * it is written next, and the others when there is time.
 *
 * Writes are announced (`announceWrites`). Frames that leave the guest are copied first.
 */
export class PageCopies {
  readonly #domain: Domain
  readonly #runs: readonly CopiedRun[]
  readonly #state: Uint8Array
  /** By frame: contents that have been copied. */
  readonly #copies = new Map<number, Uint8Array>()
  #end: (() => void) | null
  /** Why the copy failed: the host had no memory for a frame about to be written. The write proceeds. */
  #failure: RangeError | null = null

  /** The frames to copy, including zero frames; undefined: all nonzero frames. */
  readonly #written: FrameSet | undefined

  /**
   * Begins with the present instant, between two instructions of all vCPUs.
   *
   * @param written - the frames to copy; default all
   */
  constructor(domain: Domain, written?: FrameSet) {
    this.#domain = domain
    this.#written = written
    const runs: CopiedRun[] = []
    let count = 0
    for (const run of runsOf(domain)) {
      runs.push({ ...run, first: count })
      count += run.count
    }
    this.#runs = runs
    this.#state = new Uint8Array(count)
    if (this.#written !== undefined) this.#select(this.#written)
    const before = (gfn: number, frames: number): void => this.#before(gfn, frames)
    this.#end = announceWrites(domain, announcedRanges(runs), before, before)
    try {
      for (const run of this.#runs) {
        const now = this.#end === null || run.kind === 'rom' ? run.count : Math.max(0, FIRST_LOGGED_GFN - run.gfn)
        this.#copyRun(run, 0, Math.min(run.count, now))
      }
      if (this.#end !== null) domain.mappings.heldForWriting((gfn, frames) => this.#before(gfn, frames))
    } catch (error) {
      this.close()
      throw error
    }
  }

  /** Restricts the copy to frames in a set. */
  #select(written: FrameSet): void {
    const state = this.#state.fill(Frame.PASSED)
    for (const { gfn, count, first } of this.#runs) {
      for (let from = 0; from < count; from += FRAMES_A_LOOK) {
        const end = Math.min(count, from + FRAMES_A_LOOK)
        if (!written.any(gfn + from, end - from)) continue
        for (let i = from; i < end; i++) if (written.has(gfn + i)) state[first + i] = Frame.KEPT
      }
    }
  }

  /**
   * Copies all remaining frames.
   *
   * @param turn - yields to other tasks, including the guest
   * @throws RangeError if the host lacks memory: nothing is kept then
   */
  async collect(turn: () => Promise<void>): Promise<GuestPages> {
    const checked = async (): Promise<void> => {
      await turn()
      this.#check()
    }
    try {
      this.#check()
      const count = await this.#lookAtAll(checked)
      const gfns = new Uint32Array(count)
      const bytes = new Uint8Array(count * PAGE_BYTES)
      await this.#takeAll(gfns, bytes, checked)
      return this.#written === undefined ? { gfns, bytes } : { gfns, bytes, onlyWritten: true }
    } finally {
      this.close()
    }
  }

  /** @throws RangeError */
  #check(): void {
    if (this.#failure !== null) throw this.#failure
  }

  /** Ends the copy: writes to RAM are no longer intercepted. */
  close(): void {
    this.#end?.()
    this.#end = null
    this.#copies.clear()
  }

  /** @returns number of nonzero frames */
  async #lookAtAll(turn: () => Promise<void>): Promise<number> {
    const { u32 } = this.#domain.memory
    const state = this.#state
    let looked = 0
    let count = 0
    for (const { first, count: frames, mfn } of this.#runs) {
      for (let i = 0; i < frames; i++) {
        if (state[first + i] === Frame.UNKNOWN) {
          state[first + i] = isZero(u32, (mfn + i) * WORDS) ? Frame.PASSED : Frame.KEPT
          if (++looked % FRAMES_A_TURN === 0) await turn()
        }
        if (state[first + i] !== Frame.PASSED) count++
      }
    }
    return count
  }

  async #takeAll(gfns: Uint32Array, bytes: Uint8Array, turn: () => Promise<void>): Promise<void> {
    const { u8 } = this.#domain.memory
    const state = this.#state
    let at = 0
    for (const { gfn, first, count, mfn } of this.#runs) {
      for (let i = 0; i < count; i++) {
        if (state[first + i] === Frame.PASSED) continue
        gfns[at] = gfn + i
        const from = (mfn + i) * PAGE_BYTES
        bytes.set(this.#copies.get(first + i) ?? u8.subarray(from, from + PAGE_BYTES), at * PAGE_BYTES)
        this.#copies.delete(first + i)
        // From now on it may be written.
        state[first + i] = Frame.PASSED
        if (++at % COPIES_A_TURN === 0) await turn()
      }
    }
  }

  /** Frames are about to be written, or to leave the guest. */
  #before(gfn: number, count: number): void {
    if (this.#failure !== null) return
    try {
      this.#copy(gfn, count)
    } catch (error) {
      if (!(error instanceof RangeError)) throw error
      this.#failure = error
      this.#copies.clear()
    }
  }

  #copy(gfn: number, count: number): void {
    const end = gfn + count
    const runs = this.#runs
    let [low, high] = [0, runs.length]
    while (low < high) {
      const middle = (low + high) >>> 1
      const { gfn: first, count: frames } = runs[middle]!
      if (first + frames <= gfn) low = middle + 1
      else high = middle
    }
    for (let at = low; at < runs.length && runs[at]!.gfn < end; at++) {
      const run = runs[at]!
      this.#copyRun(run, Math.max(0, gfn - run.gfn), Math.min(run.count, end - run.gfn))
    }
  }

  #copyRun({ first, mfn }: CopiedRun, from: number, to: number): void {
    const { u8, u32 } = this.#domain.memory
    const state = this.#state
    for (let i = from; i < to; i++) {
      const frame = first + i
      if (state[frame] === Frame.UNKNOWN && isZero(u32, (mfn + i) * WORDS)) state[frame] = Frame.PASSED
      if (state[frame] === Frame.PASSED || state[frame] === Frame.COPIED) continue
      this.#copies.set(frame, u8.slice((mfn + i) * PAGE_BYTES, (mfn + i + 1) * PAGE_BYTES))
      state[frame] = Frame.COPIED
    }
  }
}
