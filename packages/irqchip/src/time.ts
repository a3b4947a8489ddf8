import type { Word64 } from '@retrap/device'

/** One deadline on the machine's clock. */
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
