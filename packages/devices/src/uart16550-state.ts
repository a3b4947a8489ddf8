import type { ByteStreamBackend, Word64 } from '@retrap/device'
import type { ByteBatchState } from './byte-batch.ts'
import { MODEM_READY } from './uart16550-modem.ts'

/** Options of a `Uart16550`. */
export interface Uart16550Options {
  /** Names the port in errors and snapshots; default `serial` and the first port number. */
  readonly name?: string
  /** First of eight ports; default 0x3F8 (COM1). */
  readonly iobase?: number
  /** ISA line; default 4. */
  readonly irq?: number
  /** The other end of the line; default nothing is connected. */
  readonly stream?: ByteStreamBackend
  /** Interrupts pass only while MCR's OUT2 is set, as on a PC's board. Default false: always, as in QEMU. */
  readonly strict?: boolean
}

/** Saved form of a `Uart16550`. */
export interface Uart16550State {
  /** Layout of the state. */
  readonly version: 2
  /** Interrupt Enable Register. */
  readonly ier: number
  /** Whether the FIFOs are on. */
  readonly fifos: boolean
  /** Receive trigger level in characters. */
  readonly trigger: number
  /** Line Control Register. */
  readonly lcr: number
  /** Modem Control Register. */
  readonly mcr: number
  /** Error bits of the Line Status Register and the latched overrun; the rest is worked out. */
  readonly lsr: number
  /** Delta bits of the Modem Status Register. */
  readonly msr: number
  /** Scratch Register. */
  readonly scr: number
  /** Divisor latch. */
  readonly divisor: number
  /** The transmitter-empty interrupt is pending. */
  readonly thrEmptyPending: boolean
  /** The character timeout interrupt is pending. */
  readonly timeoutPending: boolean
  /** Time of the next character timeout: nanoseconds of the machine's clock, 64 bits; null: none is due. */
  readonly timeoutAt: Word64 | null
  /** Lines of the far end as bits 7:4 of the Modem Status Register. */
  readonly modem: number
  /** The host holds the transmitter. */
  readonly paused: boolean
  /** Characters with their error bits above the byte. */
  readonly received: readonly number[]
  /** Characters from the host that the FIFO has had no room for. */
  readonly waiting: readonly number[]
  /** Characters in the transmit FIFO. */
  readonly sending: readonly number[]
  /** The bytes that were sent just now, and are handed over together; absent: none were. */
  readonly batch?: ByteBatchState
}

/** Registers other than the receiver's; see {@link Uart16550State}. */
export const POWER_ON = {
  ier: 0,
  lcr: 0,
  mcr: 0,
  msr: 0,
  scr: 0,
  divisor: 12,
  thrEmptyPending: false,
  modem: MODEM_READY as number,
  paused: false,
}
