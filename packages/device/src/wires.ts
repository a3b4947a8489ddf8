/** A wire to the interrupt controllers. */
export interface InterruptLine {
  /** Drives the wire; driving it to the level that it has changes nothing. */
  set(level: boolean): void
  /** Drives low, high, low: for edge-triggered inputs. */
  pulse(): void
}

/** The machine's virtual time. */
export interface Clock {
  /** Nanoseconds from power-on: whole and exact for 104 days (2^53), then rounded to what a number holds. Never goes back. */
  now(): number
}

/** One deadline on the machine's clock. */
export interface Timer {
  /** Nanoseconds on the machine's clock, or `Infinity` while not armed. */
  readonly deadlineNs: number
  /**
   * Sets the deadline, replacing an earlier one. A past deadline fires when the machine next looks at its timers.
   *
   * @throws DeviceError `ERR_INVALID` for NaN and what is not a number
   */
  arm(deadlineNs: number): void
  /** Disarms the timer. */
  cancel(): void
}
