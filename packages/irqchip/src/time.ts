/** One deadline on the machine's clock. */
export interface ApicTimer {
  /** Sets the deadline in nanoseconds, replacing an earlier one. */
  arm(deadlineNs: number): void
  /** Drops the deadline. */
  cancel(): void
}

/** The machine's virtual time, as the interrupt controllers need it. */
export interface ApicClock {
  /** Nanoseconds from power-on. */
  now(): number
  /** Makes a timer that calls `callback` when its deadline has passed. */
  timer(callback: () => void): ApicTimer
}

/** Where a chip's state lives: inside machine memory, or in a buffer of its own. */
export interface StateRegion {
  /** Buffer that holds the state. */
  readonly buffer: ArrayBufferLike
  /** A multiple of 8. */
  readonly byteOffset: number
}

/** A buffer of its own for a chip that was given no region. */
export function ownRegion(bytes: number): StateRegion {
  return { buffer: new ArrayBuffer(bytes), byteOffset: 0 }
}
