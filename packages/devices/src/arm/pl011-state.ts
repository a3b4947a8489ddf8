import type { Word64 } from '@retrap/device'
import type { ByteBatchState } from '../byte-batch.ts'

/** Saved form of a `Pl011`. Registers have the names of the manual without the prefix UART. */
export interface Pl011State {
  /** Layout of the state. */
  readonly version: 1
  /** Error bits of the character that was read last, and the overrun. */
  readonly rsr: number
  /** A character was lost, and the next one will tell of it. */
  readonly overrun: boolean
  /** IrDA low-power counter. */
  readonly ilpr: number
  /** Integer part of the baud rate divisor. */
  readonly ibrd: number
  /** Fraction of the baud rate divisor. */
  readonly fbrd: number
  /** Line control. */
  readonly lcrH: number
  /** Control. */
  readonly cr: number
  /** Trigger levels of the FIFOs. */
  readonly ifls: number
  /** Interrupt mask. */
  readonly imsc: number
  /** Raw interrupts. */
  readonly ris: number
  /** DMA control. */
  readonly dmacr: number
  /** Lines of the far end as bits of the flag register. */
  readonly modem: number
  /** The host holds the transmitter. */
  readonly paused: boolean
  /** Characters in the receive FIFO, with their error bits. */
  readonly received: readonly number[]
  /** Characters from the host that the FIFO has had no room for. */
  readonly waiting: readonly number[]
  /** Characters in the transmit FIFO. */
  readonly sending: readonly number[]
  /** The bytes that were sent just now, and are handed over together; absent: none were. */
  readonly batch?: ByteBatchState
  /** Time of the receive timeout: nanoseconds of the machine's clock, 64 bits; null: none is due. */
  readonly timeoutAt: Word64 | null
}
