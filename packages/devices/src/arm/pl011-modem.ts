import type { ModemInputs } from '@retrap/device'
import * as pl011Registers from './pl011-registers.ts'

/** Each modem input: its flag, its interrupt, and the output that drives it in loopback. */
const INPUTS = [
  { flag: pl011Registers.FR_CTS, interrupt: pl011Registers.INT_CTS, output: pl011Registers.CR_RTS },
  { flag: pl011Registers.FR_DSR, interrupt: pl011Registers.INT_DSR, output: pl011Registers.CR_DTR },
  { flag: pl011Registers.FR_DCD, interrupt: pl011Registers.INT_DCD, output: pl011Registers.CR_OUT1 },
  { flag: pl011Registers.FR_RI, interrupt: pl011Registers.INT_RI, output: pl011Registers.CR_OUT2 },
] as const

/** Modem lines of a far end that is there and ready, as bits of the flag register. */
export const MODEM_READY: number = pl011Registers.FR_CTS | pl011Registers.FR_DSR | pl011Registers.FR_DCD

/** The far end's lines as bits of the flag register. */
export const modemFlags = (lines: ModemInputs): number =>
  (lines.clearToSend ? pl011Registers.FR_CTS : 0) |
  (lines.dataSetReady ? pl011Registers.FR_DSR : 0) |
  (lines.carrierDetect ? pl011Registers.FR_DCD : 0) |
  (lines.ringIndicator ? pl011Registers.FR_RI : 0)

/** Returns the modem status inputs for the guest: the far end's, or in loopback its own outputs. */
export function modemInputs(control: number, lines: number): number {
  if ((control & pl011Registers.CR_LBE) === 0) return lines
  let flags = 0
  for (const { flag, output } of INPUTS) if ((control & output) !== 0) flags |= flag
  return flags
}

/** Raw interrupts of inputs that have changed. */
export function modemInterrupts(before: number, now: number): number {
  let interrupts = 0
  for (const { flag, interrupt } of INPUTS) if (((before ^ now) & flag) !== 0) interrupts |= interrupt
  return interrupts
}
