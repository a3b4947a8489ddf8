import type { System } from './system.ts'
import * as systemState from '../state/system-state.ts'

// Memory-type range registers. Source: SDM vol. 3A, "Memory Type Range Registers (MTRRs)".
export const IA32_MTRRCAP = 0xfe
const IA32_MTRR_PHYSBASE0 = 0x200
const IA32_MTRR_FIX64K_00000 = 0x250
const IA32_MTRR_FIX16K_80000 = 0x258
const IA32_MTRR_FIX4K_C0000 = 0x268
export const IA32_MTRR_DEF_TYPE = 0x2ff

/** IA32_MTRRCAP: 8 variable ranges, fixed ranges, write-combining. */
export const MTRRCAP: number = systemState.MTRR_VARIABLE_COUNT | (1 << 8) | (1 << 10)

/** State offset of a variable or fixed range; −1: the MSR is none. */
export function mtrrField(index: number): number {
  if (index >= IA32_MTRR_PHYSBASE0 && index < IA32_MTRR_PHYSBASE0 + 2 * systemState.MTRR_VARIABLE_COUNT) {
    return systemState.S_MTRR_VARIABLE + 8 * (index - IA32_MTRR_PHYSBASE0)
  }
  if (index === IA32_MTRR_FIX64K_00000) return systemState.S_MTRR_FIXED
  if (index === IA32_MTRR_FIX16K_80000 || index === IA32_MTRR_FIX16K_80000 + 1) {
    return systemState.S_MTRR_FIXED + 8 * (1 + index - IA32_MTRR_FIX16K_80000)
  }
  if (index >= IA32_MTRR_FIX4K_C0000 && index < IA32_MTRR_FIX4K_C0000 + 8) {
    return systemState.S_MTRR_FIXED + 8 * (3 + index - IA32_MTRR_FIX4K_C0000)
  }
  return -1
}

/** Memory types 0, 1, 4, 5, 6. */
export function isMtrrType(type: number): boolean {
  return type === 0 || type === 1 || (type >= 4 && type <= 6)
}

/** The four bytes of a fixed-range MTRR, or with `pat` of IA32_PAT, where 7 (UC−) is a type too. */
export function areTypes(word: number, pat: boolean): boolean {
  for (let shift = 0; shift < 32; shift += 8) {
    const type = (word >>> shift) & 0xff
    if (!(isMtrrType(type) || (pat && type === 7))) return false
  }
  return true
}

/** Tells whether a range can hold a value (SDM vol. 3A, "MTRR Feature Identification"). */
export function mtrrHolds(s: System, index: number, lo: number, hi: number): boolean {
  if (index >= IA32_MTRR_PHYSBASE0 && index < IA32_MTRR_PHYSBASE0 + 2 * systemState.MTRR_VARIABLE_COUNT) {
    if ((hi & s.cpu.processor.abovePhysicalHi) !== 0) return false
    return (index & 1) === 0 ? (lo & 0xf00) === 0 && isMtrrType(lo & 0xff) : (lo & 0x7ff) === 0
  }
  return areTypes(lo, false) && areTypes(hi, false)
}

/** First MSR of the first bank. Source: SDM vol. 3B, "Machine-Check Architecture". */
const IA32_MC0_CTL = 0x400

/** Tells whether an MSR belongs to a bank. */
export function isMachineCheckBank(index: number): boolean {
  return index >= IA32_MC0_CTL && index < IA32_MC0_CTL + 4 * systemState.MC_BANKS
}

/** State offset of a bank's control, address or miscellaneous register; −1 for its status register. */
function machineCheckField(index: number): number {
  const field = [systemState.S_MC_CTL, -1, systemState.S_MC_ADDR, systemState.S_MC_MISC][(index - IA32_MC0_CTL) & 3]!
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
