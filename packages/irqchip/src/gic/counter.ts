import type { Instant, Word64 } from '@retrap/device'
import { Ratio } from '../ratio.ts'

/** Converts between the machine's time and a counter that was 0 at time 0, exactly. */
export class Counter {
  readonly #ticks: Ratio
  readonly #ns: Ratio

  /** @param hz - a whole frequency, 1 MHz to 1 GHz */
  constructor(hz: number) {
    this.#ticks = new Ratio(hz, 1e9)
    this.#ns = new Ratio(1e9, hz)
  }

  /** The count at a time. */
  countAt(time: Readonly<Word64>, into: Word64): void {
    const { lo, hi } = time
    const high = this.#ticks.word(hi, 0)
    // The remainder of the high word and the low word together may come to 2^32.
    const low = this.#ticks.word(lo, this.#ticks.remainder)
    into.hi = high + (low > 0xffff_ffff ? 1 : 0)
    into.lo = low >>> 0
  }

  /** Turns a count into the first time that has it; “never” where the clock ends before. */
  timeOf(count: Instant): void {
    const { lo, hi } = count
    count.lo = 0
    count.hi = this.#ns.word(hi, 0)
    count.add(this.#ns.word(lo, this.#ns.remainder) + (this.#ns.remainder === 0 ? 0 : 1))
  }
}
