import { TWO_32 } from '@retrap/basics'
import type { Word64 } from './access.ts'

const HIGHEST = 0xffff_ffff

/**
 * Holds a time on a machine's clock: whole nanoseconds from power-on, exact for all 64 bits (584 years).
 *
 * The object is mutable so that hot paths need no allocation. The last instant, 2^64 − 1, stands for “never”: no deadline
 * there is reached. A model's own arithmetic may go below 0, where `hi` is negative.
 */
export class Instant implements Word64 {
  /** Bits 31:0, unsigned. */
  lo: number
  /** Bits 63:32. */
  hi: number

  constructor(lo = 0, hi = 0) {
    this.lo = lo
    this.hi = hi
  }

  /** Makes an instant of a number of nanoseconds, for tests and people; a fraction is rounded up. */
  static from(ns: number | bigint): Instant {
    if (typeof ns === 'number') return new Instant().add(ns)
    return new Instant(Number(BigInt.asUintN(32, ns)), Number(ns >> 32n)).add(0)
  }

  /** Copies another instant. */
  set(from: Readonly<Word64>): this {
    this.lo = from.lo
    this.hi = from.hi
    return this
  }

  /**
   * Moves on by `ns` nanoseconds, or back by a negative number. A fraction is rounded up, so that a deadline is never early.
   *
   * A result beyond the last instant becomes “never”.
   */
  add(ns: number): this {
    const whole = Math.ceil(ns)
    const high = Math.floor(whole / TWO_32)
    let lo = this.lo + (whole - high * TWO_32)
    let hi = this.hi + high
    if (lo >= TWO_32) {
      lo -= TWO_32
      hi++
    }
    // `hi` may be Infinity: then `lo` is not a number.
    const never = hi > HIGHEST
    this.lo = never ? HIGHEST : lo
    this.hi = never ? HIGHEST : hi
    return this
  }

  /** Nanoseconds from `from` to this instant: exact up to 2^53 either way, then rounded. */
  since(from: Readonly<Word64>): number {
    return (this.hi - from.hi) * TWO_32 + (this.lo - from.lo)
  }

  /** Whether this instant is before another one. */
  isBefore(other: Readonly<Word64>): boolean {
    return this.hi < other.hi || (this.hi === other.hi && this.lo < other.lo)
  }

  /** Whether both instants are equal. */
  equals(other: Readonly<Word64>): boolean {
    return this.lo === other.lo && this.hi === other.hi
  }

  /** Whether this is the last instant, which stands for “never”. */
  get isNever(): boolean {
    return this.hi === HIGHEST && this.lo === HIGHEST
  }

  /** Nanoseconds from power-on as a number, rounded above 2^53; `Infinity` for “never”. */
  toNumber(): number {
    return this.isNever ? Infinity : this.hi * TWO_32 + this.lo
  }

  /** Returns the exact instant, for people and wire formats. */
  toBigInt(): bigint {
    return BigInt(this.hi) * 0x1_0000_0000n + BigInt(this.lo)
  }

  /** Becomes “never”. */
  clear(): this {
    this.lo = HIGHEST
    this.hi = HIGHEST
    return this
  }

  /** The two words as plain data, for a saved state. */
  save(): Word64 {
    return { lo: this.lo, hi: this.hi }
  }
}
