import { TWO_32 } from '@retrap/basics'
import type { Word64 } from '@retrap/device'

/** Nanoseconds by which the clocks of two threads differ at most: what is further back is of a time long ago. */
export const MOST_SKEW_NS = 1_000_000

/** When this thread's `performance.now()` was 0, in milliseconds of a time that all threads have. */
const { timeOrigin } = performance as unknown as { readonly timeOrigin: number }

/** A domain's time as its vCPUs' threads see it: one origin, and none of them is told less than another has been told before. */
export class ThreadClock {
  readonly #i32: Int32Array
  readonly #told: number
  /** Nanoseconds that this thread's clock is ahead of the domain's time. */
  #origin = 0

  /** @param told - machine address of a word: the low half of the time last told to anybody */
  constructor(i32: Int32Array, told: number) {
    this.#i32 = i32
    this.#told = told >>> 2
  }

  /** The host's time in a thread, in milliseconds that are those of all threads. */
  static get shared(): number {
    return timeOrigin + performance.now()
  }

  /** Takes the domain's time over. @param ns - the domain's time when {@link ThreadClock.shared} was `at` */
  set(ns: number, at: number): void {
    this.#origin = (at - timeOrigin) * 1e6 - ns
  }

  /** Nanoseconds from power-on. */
  now(): number {
    const i32 = this.#i32
    for (;;) {
      // The clock is read after the word: a thread that waits for a processor between the two is not behind what others are told.
      const seen = Atomics.load(i32, this.#told)
      const now = Math.floor(performance.now() * 1e6 - this.#origin)
      const ahead = (now - seen) | 0
      if (ahead <= 0 && ahead > -MOST_SKEW_NS) return now - ahead
      if (Atomics.compareExchange(i32, this.#told, seen, now | 0) === seen) return now
    }
  }

  /** Reads the time in whole nanoseconds. */
  read(into: Word64): void {
    const now = this.now()
    into.lo = now >>> 0
    into.hi = Math.floor(now / TWO_32)
  }
}
