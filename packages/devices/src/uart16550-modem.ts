import type { ModemInputs } from '@retrap/device'
import {
  MCR_DTR,
  MCR_LOOP,
  MCR_OUT1,
  MCR_OUT2,
  MCR_RTS,
  MCR_WRITABLE,
  MSR_CTS,
  MSR_DCD,
  MSR_DELTA_RI,
  MSR_DSR,
  MSR_RI,
} from './uart16550-registers.ts'

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
