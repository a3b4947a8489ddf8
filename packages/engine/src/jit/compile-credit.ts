import { BoundedMap } from '../bounded-map.ts'

/** Most milliseconds of credit, which an idle guest has saved up when it wakes. */
const MOST_CREDIT = 50
/** Most places remembered. */
const MOST_PLACES = 16_384

/** Policy for compiling code. */
export interface CompilePolicy {
  /** Number of branches to a place after which it is compiled at any cost. */
  readonly threshold: number
  /** Branches to a place from which it may be compiled early. Places that are reached less often are rarely worth it. */
  readonly earliest: number
  /** Share of the passing time that compiling early may take, 0 to 1. */
  readonly share: number
}

/**
 * Says when a hot place is compiled: early while compiling takes little of the time, at the threshold in any case.
 *
 * A short program reaches most of its code less often than the threshold, and with a low threshold a long boot compiles
 * code that is over before it has paid. A share of the time bounds the loss; and as a place asks again after as many
 * branches, the places that are reached most often get most of it.
 */
export class CompileCredit {
  readonly #threshold: number
  readonly #share: number
  /** Branches after which a place asks, and asks again. */
  readonly interval: number
  /** Number of refused requests of each place, by record. */
  readonly refusals: BoundedMap<number, number> = new BoundedMap<number, number>(MOST_PLACES)
  #credit = MOST_CREDIT
  #time: number
  #spent = 0

  /** @param time - the present time in milliseconds, like all times here */
  constructor({ threshold, earliest, share }: CompilePolicy, time: number) {
    this.#threshold = threshold
    this.#share = share
    this.interval = Math.min(threshold, earliest)
    this.#time = time
  }

  /**
   * Returns whether a place that has been reached {@link CompileCredit.interval} times more is to be compiled.
   *
   * @param mayBeEarly - false for code that is often rewritten, for example
   * @param time - the time now
   * @param spent - the part of `time` spent on compiling
   */
  grants(record: number, mayBeEarly: boolean, time: number, spent: number): boolean {
    const gain = (time - this.#time) * this.#share - (spent - this.#spent)
    this.#credit = Math.min(MOST_CREDIT, this.#credit + gain)
    this.#time = time
    this.#spent = spent
    const times = (this.refusals.get(record) ?? 0) + 1
    if ((mayBeEarly && this.#credit > 0) || times * this.interval >= this.#threshold) {
      this.refusals.delete(record)
      return true
    }
    this.refusals.set(record, times)
    return false
  }
}

/** Each time that compiled code is written, its frame waits twice as long to be compiled again, up to 2 to this power as long. */
const MOST_DOUBLINGS = 10
/** Most frames remembered: code of older frames may be compiled at once. */
const MOST_FRAMES = 4096

interface FrameHistory {
  /** Number of writes to the frame's code since its first compilation. */
  readonly deaths: number
  /** Number of times that the frame was hot while it had to wait. */
  readonly waited: number
}

/** Frames whose code is written again and again: they are interpreted for longer and longer. */
export class BackOff {
  readonly frames: BoundedMap<number, FrameHistory> = new BoundedMap<number, FrameHistory>(MOST_FRAMES)

  /** Compiled code of a frame has been written. */
  noteDeath(frame: number): void {
    const { deaths, waited } = this.frames.get(frame) ?? { deaths: 0, waited: 0 }
    this.frames.set(frame, { deaths: deaths + 1, waited })
  }

  /** Returns whether a frame that is hot is to be interpreted for longer. */
  isToWait(frame: number): boolean {
    const known = this.frames.get(frame)
    if (known === undefined) return false
    const { deaths } = known
    const waited = known.waited + 1
    const isOver = waited >= 2 ** Math.min(deaths - 1, MOST_DOUBLINGS)
    this.frames.set(frame, { deaths, waited: isOver ? 0 : waited })
    return !isOver
  }
}
