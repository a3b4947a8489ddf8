import type { ModemInputs } from '@retrap/device'
import {
  CR_DTR,
  CR_LBE,
  CR_OUT1,
  CR_OUT2,
  CR_RTS,
  FR_CTS,
  FR_DCD,
  FR_DSR,
  FR_RI,
  INT_CTS,
  INT_DCD,
  INT_DSR,
  INT_RI,
} from './pl011-registers.ts'

/** Each input: its flag, its interrupt, and the output that it is connected to in loopback. */
const INPUTS = [
  { flag: FR_CTS, interrupt: INT_CTS, output: CR_RTS },
  { flag: FR_DSR, interrupt: INT_DSR, output: CR_DTR },
  { flag: FR_DCD, interrupt: INT_DCD, output: CR_OUT1 },
  { flag: FR_RI, interrupt: INT_RI, output: CR_OUT2 },
] as const

/** Modem lines of a far end that is there and ready, as bits of the flag register. */
export const MODEM_READY: number = FR_CTS | FR_DSR | FR_DCD

/** The far end's lines as bits of the flag register. */
export const modemFlags = (lines: ModemInputs): number =>
  (lines.clearToSend ? FR_CTS : 0) |
  (lines.dataSetReady ? FR_DSR : 0) |
  (lines.carrierDetect ? FR_DCD : 0) |
  (lines.ringIndicator ? FR_RI : 0)

/** Modem status inputs as the guest sees them: the far end's, or in loopback its own outputs. */
export function modemInputs(control: number, lines: number): number {
  if ((control & CR_LBE) === 0) return lines
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
