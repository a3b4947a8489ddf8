import type { System } from './system.ts'
import { MC_BANKS, S_MC_ADDR, S_MC_CTL, S_MC_MISC } from './system-state.ts'

/** First MSR of the first bank. Source: SDM vol. 3B, "Machine-Check Architecture". */
const IA32_MC0_CTL = 0x400

/** Tells whether an MSR belongs to a bank. */
export function isMachineCheckBank(index: number): boolean {
  return index >= IA32_MC0_CTL && index < IA32_MC0_CTL + 4 * MC_BANKS
}

/** State offset of a bank's control, address or miscellaneous register; −1 for its status register. */
function machineCheckField(index: number): number {
  const field = [S_MC_CTL, -1, S_MC_ADDR, S_MC_MISC][(index - IA32_MC0_CTL) & 3]!
  return field < 0 ? field : field + 8 * ((index - IA32_MC0_CTL) >> 2)
}

/** Reads an MSR of a bank into `s.lo` and `s.hi`. */
export function readMachineCheck(s: System, index: number): void {
  const at = machineCheckField(index)
  // No error is ever logged in a status register.
  s.lo = at < 0 ? 0 : s.get(at)
  s.hi = at < 0 ? 0 : s.get(at + 4)
}

/** Writes an MSR of a bank. @returns false for a value that it cannot hold */
export function writeMachineCheck(s: System, index: number, lo: number, hi: number): boolean {
  const at = machineCheckField(index)
  const control = ((index - IA32_MC0_CTL) & 3) === 0
  const zeros = (lo | hi) === 0
  if (at < 0) return zeros
  const ones = (lo & hi) >>> 0 === 0xffff_ffff
  if (control && !zeros && !ones) return false
  s.set64(at, lo, hi)
  return true
}
