import { type Clock, type DeviceContext, Instant, type Timer, type Word64 } from '@retrap/device'

const MICROFRAME_NS = 125_000
/** The frame counter has 14 bits. */
const FRAMES = 0x4000
const WRAP_NS = FRAMES * MICROFRAME_NS

/** The number of the microframe, MFINDEX, and a timer for its wrap (xHCI 1.2, §4.14.2, "Microframe Index"). */
export class FrameCounter {
  readonly #clock: Clock
  readonly #timer: Timer
  /** Exact time at which the counter was 0. */
  readonly #zero = new Instant()

  /** @param wrapped - called at a wrap, if the timer was armed */
  constructor({ clock, timer }: Pick<DeviceContext, 'clock' | 'timer'>, wrapped: () => void) {
    this.#clock = clock
    this.#timer = timer(wrapped)
  }

  /** Begins at 0. */
  start(): void {
    this.#clock.read(this.#zero)
  }

  #sinceZero(): number {
    const now = new Instant()
    this.#clock.read(now)
    return now.since(this.#zero)
  }

  /** The number now. */
  get value(): number {
    return Math.floor(this.#sinceZero() / MICROFRAME_NS) % FRAMES
  }

  /** Arms the timer for the next wrap. */
  arm(): void {
    const wraps = Math.floor(this.#sinceZero() / WRAP_NS) + 1
    this.#timer.armAfter(wraps * WRAP_NS, this.#zero)
  }

  /** Cancels the timer. */
  disarm(): void {
    this.#timer.cancel()
  }

  /** Returns the exact time at which the counter was 0. */
  save(): Word64 {
    return this.#zero.save()
  }

  /** Takes over a saved counter. The timer is for the caller to arm. */
  restore(zero: Word64): void {
    this.#zero.set(zero)
  }
}
