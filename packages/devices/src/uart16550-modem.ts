import type { ModemInputs } from '@retrap/device'

// Registers of the 16550A and their bits.
// Source: National Semiconductor PC16550D data sheet (June 1995), "Registers".

// Offsets.
export const RBR_THR_DLL = 0
export const IER_DLM = 1
export const IIR_FCR = 2
export const LCR = 3
export const MCR = 4
export const LSR = 5
export const MSR = 6

export const IER_RDA = 0x01
export const IER_THRE = 0x02
export const IER_RLS = 0x04
export const IER_MODEM = 0x08
export const IER_WRITABLE = 0x0f

export const IIR_MODEM = 0x00
export const IIR_NONE = 0x01
export const IIR_THRE = 0x02
export const IIR_RDA = 0x04
export const IIR_RLS = 0x06
export const IIR_TIMEOUT = 0x0c
export const IIR_FIFOS = 0xc0

export const FCR_ENABLE = 0x01
export const FCR_CLEAR_RX = 0x02
export const FCR_CLEAR_TX = 0x04

export const LCR_BREAK = 0x40
export const LCR_DLAB = 0x80

export const MCR_DTR = 0x01
export const MCR_RTS = 0x02
const MCR_OUT1 = 0x04
const MCR_OUT2 = 0x08
const MCR_LOOP = 0x10
const MCR_WRITABLE = 0x1f

export const LSR_DR = 0x01
export const LSR_OE = 0x02
export const LSR_PE = 0x04
export const LSR_FE = 0x08
export const LSR_BI = 0x10
export const LSR_THRE = 0x20
export const LSR_TEMT = 0x40
export const LSR_FIFO_ERROR = 0x80
export const LSR_ERRORS: number = LSR_OE | LSR_PE | LSR_FE | LSR_BI

const MSR_CTS = 0x10
const MSR_DSR = 0x20
const MSR_RI = 0x40
const MSR_DCD = 0x80
const MSR_DELTA_RI = 0x04

/** Modem control and status of a 16550A. */
export class Modem {
  /** Modem Control Register. */
  control = 0
  /** Delta bits of the Modem Status Register. */
  delta = 0
  /** Lines of the far end as bits 7:4 of the Modem Status Register. */
  lines: number = MSR_CTS | MSR_DSR | MSR_DCD

  /** Whether the transmitter is connected to the receiver, and the outputs to the inputs. */
  loopback(): boolean {
    return (this.control & MCR_LOOP) !== 0
  }

  /** Whether the interrupt output is connected: on a PC OUT2 gates it. In loopback OUT2's pin is inactive. */
  interruptConnected(): boolean {
    return (this.control & (MCR_OUT2 | MCR_LOOP)) === MCR_OUT2
  }

  /** Sets the far end's lines. */
  setLines(lines: ModemInputs): void {
    const before = this.inputs()
    this.lines =
      (lines.clearToSend ? MSR_CTS : 0) |
      (lines.dataSetReady ? MSR_DSR : 0) |
      (lines.ringIndicator ? MSR_RI : 0) |
      (lines.carrierDetect ? MSR_DCD : 0)
    this.#noteChange(before)
  }

  /** Writes the Modem Control Register. @returns whether an output may have changed */
  write(value: number): boolean {
    const before = this.inputs()
    const changed = (this.control ^ value) & (MCR_DTR | MCR_RTS | MCR_LOOP)
    this.control = value & MCR_WRITABLE
    this.#noteChange(before)
    return changed !== 0
  }

  /** Outputs that leave the chip, as bits of the Modem Control Register; none in loopback. */
  outputs(): number {
    return this.loopback() ? 0 : this.control
  }

  /** Bits 7:4 of the Modem Status Register; in loopback they are the modem control outputs. */
  inputs(): number {
    if (!this.loopback()) return this.lines
    return (
      ((this.control & MCR_RTS) === 0 ? 0 : MSR_CTS) |
      ((this.control & MCR_DTR) === 0 ? 0 : MSR_DSR) |
      ((this.control & MCR_OUT1) === 0 ? 0 : MSR_RI) |
      ((this.control & MCR_OUT2) === 0 ? 0 : MSR_DCD)
    )
  }

  /** Reads the Modem Status Register, which clears its delta bits. */
  readStatus(): number {
    const status = this.inputs() | this.delta
    this.delta = 0
    return status
  }

  #noteChange(before: number): void {
    const now = this.inputs()
    // The ring indicator's delta is its trailing edge only.
    let delta = ((before ^ now) >> 4) & ~MSR_DELTA_RI
    if ((before & ~now & MSR_RI) !== 0) delta |= MSR_DELTA_RI
    this.delta |= delta
  }
}
