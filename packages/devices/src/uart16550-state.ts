import type { ByteStreamBackend } from '@retrap/device'
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

/** Registers other than the receiver's, at power-on. */
export const POWER_ON = {
  ier: 0,
  lcr: 0,
  mcr: 0,
  /** Delta bits. */
  msr: 0,
  scr: 0,
  divisor: 12,
  thrEmptyPending: false,
  /** Lines of the far end as bits 7:4 of the Modem Status Register. */
  modem: MODEM_READY as number,
  /** The host holds the transmitter. */
  paused: false,
}
