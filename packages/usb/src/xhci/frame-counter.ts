import { type Clock, type DeviceContext, Instant, type Timer } from '@retrap/device'

const MICROFRAME_NS = 125_000
/** The frame counter has 14 bits. */
const FRAMES = 0x4000
const WRAP_NS = FRAMES * MICROFRAME_NS

/** The number of the microframe, MFINDEX, and a timer for its wrap (xHCI 1.2, §4.14.2, "Microframe Index"). */
export class FrameCounter {
  readonly #clock: Clock
  /** Expires at a wrap, once `arm` has armed it. */
  readonly timer: Timer
  /** Exact time at which the counter was 0. */
  readonly zero: Instant = new Instant()

  /** @param wrapped - called at a wrap, if the timer was armed */
  constructor({ clock, timer }: Pick<DeviceContext, 'clock' | 'timer'>, wrapped: () => void) {
    this.#clock = clock
    this.timer = timer(wrapped)
  }

  /** Begins at 0. */
  start(): void {
    this.#clock.read(this.zero)
  }

  #sinceZero(): number {
    const now = new Instant()
    this.#clock.read(now)
    return now.since(this.zero)
  }

  /** The number now. */
  get value(): number {
    return Math.floor(this.#sinceZero() / MICROFRAME_NS) % FRAMES
  }

  /** Arms the timer for the next wrap. */
  arm(): void {
    const wraps = Math.floor(this.#sinceZero() / WRAP_NS) + 1
    this.timer.armAfter(wraps * WRAP_NS, this.zero)
  }
}
