import type { Word64 } from './access.ts'

/** A wire to the interrupt controllers. */
export interface InterruptLine {
  /** Drives the wire; driving it to the level that it has changes nothing. */
  set(level: boolean): void
  /** Drives low, high, low: for edge-triggered inputs. */
  pulse(): void
}

/** The machine's virtual time. */
export interface Clock {
  /**
   * Whether time passes by the host's clock, so that no two runs agree: an answer that is there may be given at once.
   * Default false.
   */
  readonly realTime?: boolean
  /**
   * Nanoseconds from power-on as a number: exact for 104 days (2^53), then rounded. Never goes back.
   *
   * A guest on deterministic time can sleep for years at once. A model that counts reads the exact time with `read`.
   */
  now(): number
  /** Reads the exact time: whole nanoseconds from power-on, 64 bits. Never goes back, and stops at 2^64 − 1. */
  read(into: Word64): void
}

/**
 * Takes an expiry: its deadline as a number, rounded above 2^53, and exactly.
 *
 * The exact deadline is valid during the call; copy it to keep it.
 */
export type TimerCallback = (deadlineNs: number, deadline: Readonly<Word64>) => void

/** One timer on the machine's clock. */
export interface Timer {
  /** The deadline in nanoseconds on the machine's clock, rounded above 2^53; `Infinity` while not armed. */
  readonly deadlineNs: number
  /**
   * Sets the deadline, replacing an earlier one. A past deadline fires when the machine next looks at its timers.
   *
   * A number is exact below 2^53 only. `armAfter` is exact at any time.
   *
   * @throws DeviceError `ERR_INVALID` for NaN and values that are not numbers
   */
  arm(deadlineNs: number): void
  /**
   * Sets the deadline to `delayNs` after an instant, replacing an earlier one. Exact for whole delays up to 2^53.
   *
   * A periodic model passes the deadline that its callback was given, so that no period is lost.
   *
   * @param delayNs - nanoseconds; a fraction is rounded up; `Infinity` disarms the timer
   * @param from - default the present time of the clock
   * @throws DeviceError `ERR_INVALID` for NaN and values that are not numbers
   */
  armAfter(delayNs: number, from?: Readonly<Word64>): void
  /** Reads the exact deadline. @returns false while not armed: then `into` becomes 2^64 − 1 */
  readDeadline(into: Word64): boolean
  /** Disarms the timer. */
  cancel(): void
}
