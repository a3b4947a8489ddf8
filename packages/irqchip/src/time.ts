import { TWO_32 } from '@retrap/basics'
import type { Instant, Word64 } from '@retrap/device'

/** One timer on the machine's clock. */
export interface ApicTimer {
  /** Sets the deadline to `delayNs` nanoseconds after an instant, replacing an earlier one. */
  armAfter(delayNs: number, from: Readonly<Word64>): void
  /** Drops the deadline. */
  cancel(): void
}

/** The machine's virtual time, as the interrupt controllers need it. `Clock` and `TimerQueue` of `@retrap/device` have it. */
export interface ApicClock {
  /** Reads the time: whole nanoseconds from power-on, 64 bits. */
  read(into: Word64): void
  /** Makes a timer that calls `callback` after its deadline. */
  timer(callback: () => void): ApicTimer
}

const TWO_16 = 0x1_0000

/**
 * Multiplies whole numbers by a fraction, exactly: quotient and remainder, with no product beyond 2^53.
 *
 * Long multiplication and division in digits of 16 bits: numerator and denominator together are at most 2^37, so that
 * a remainder and a digit together stay below 2^53.
 */
export class Ratio {
  readonly numerator: number
  readonly denominator: number
  /** Remainder of the last operation, in parts of the denominator. */
  remainder = 0

  /** Shortens the fraction. */
  constructor(numerator: number, denominator: number) {
    let a = numerator
    let b = denominator
    while (b !== 0) [a, b] = [b, a % b]
    this.numerator = numerator / a
    this.denominator = denominator / a
  }

  /** floor(value × ratio). @param value - up to 2^53, as is the result */
  of(value: number): number {
    if (this.denominator === 1) {
      this.remainder = 0
      return value * this.numerator
    }
    if (this.numerator === 1) {
      const quotient = Math.floor(value / this.denominator)
      this.remainder = value - quotient * this.denominator
      return quotient
    }
    const high = this.word(Math.floor(value / TWO_32), 0)
    return high * TWO_32 + this.word(value >>> 0, this.remainder)
  }

  /** The quotient of a further 32 bits. @param remainder - of the bits before */
  word(value: number, remainder: number): number {
    const high = this.#digit(value >>> 16, remainder)
    return high * TWO_16 + this.#digit(value & 0xffff, this.remainder)
  }

  #digit(value: number, remainder: number): number {
    const sum = remainder * TWO_16 + value * this.numerator
    const quotient = Math.floor(sum / this.denominator)
    this.remainder = sum - quotient * this.denominator
    return quotient
  }
}

/** Converts between the machine's time and a counter that was 0 at time 0, exactly. */
export class Counter {
  readonly #ticks: Ratio
  readonly #ns: Ratio

  /** @param hz - a whole frequency, 1 MHz to 1 GHz */
  constructor(hz: number) {
    this.#ticks = new Ratio(hz, 1e9)
    this.#ns = new Ratio(1e9, hz)
  }

  countAt(time: Readonly<Word64>, into: Word64): void {
    const { lo, hi } = time
    const high = this.#ticks.word(hi, 0)
    // The remainder of the high word and the low word together may come to 2^32.
    const low = this.#ticks.word(lo, this.#ticks.remainder)
    into.hi = high + (low > 0xffff_ffff ? 1 : 0)
    into.lo = low >>> 0
  }

  /** Converts a count to the first time at which the clock reaches it; “never” if the clock ends before. */
  timeOf(count: Instant): void {
    const { lo, hi } = count
    count.lo = 0
    count.hi = this.#ns.word(hi, 0)
    count.add(this.#ns.word(lo, this.#ns.remainder) + (this.#ns.remainder === 0 ? 0 : 1))
  }
}
