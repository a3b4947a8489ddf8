import * as S from '../state/state-layout.ts'
import { ATTR_P, CR0_CD, CR0_ET, CR0_NW, FLAG_FIXED, RDX, SYSTEM_LDT, SYSTEM_TSS_BUSY } from '../state/architecture.ts'
import { MXCSR_INITIAL, initialiseX87 } from './fpu/fpu-image.ts'
import { MISC_ENABLE_RESET } from './msr.ts'
import {
  REAL_MODE_ATTRIBUTES,
  REAL_MODE_CODE_ATTRIBUTES,
  openSegmentsForRealMode,
  setSegment,
  setTableRegister,
} from './segments/segment-cache.ts'
import type { System } from './system.ts'
import * as systemState from '../state/system-state.ts'

/** Power-on and RESET. */
export const RESET_POWER_ON = 0
/** INIT: x87, vectors, masks, tiles, APX's registers, MSRs, XCR0, SMBASE, CR0.CD and CR0.NW keep their values. */
export const RESET_INIT = 1

/** Write back everywhere until software says otherwise: entries WB, WT, UC−, UC, twice. */
const PAT_RESET_LO = 0x0007_0406
const DR6_RESET = 0xffff_0ff0
const DR7_RESET = 0x400

/**
 * Puts the processor into the state after power-on or INIT.
 *
 * Source: SDM vol. 3A, table "IA-32 and Intel 64 Processor States Following Power-up, Reset, or INIT".
 *
 * @param kind - RESET_POWER_ON or RESET_INIT
 * @param bootstrap - false leaves it waiting for a start-up IPI
 */
export function resetState(s: System, kind: number, bootstrap: boolean): void {
  const powerOn = kind === RESET_POWER_ON
  s.u32.fill(0, S.S_GPR >>> 2, (S.S_GPR + 128) >>> 2)
  s.set64(S.S_GPR + 8 * RDX, s.cpu.processor.model.signature, 0)
  s.set64(S.S_RIP, 0xfff0, 0)
  s.cpu.setRflags(FLAG_FIXED)
  setSegment(s, S.CS, 0xf000, 0xffff_0000, 0, 0xffff, REAL_MODE_CODE_ATTRIBUTES)
  for (const segment of [S.ES, S.SS, S.DS, S.FS, S.GS]) setSegment(s, segment, 0, 0, 0, 0xffff, REAL_MODE_ATTRIBUTES)
  openSegmentsForRealMode(s)
  setSegment(s, S.LDTR, 0, 0, 0, 0xffff, ATTR_P | SYSTEM_LDT)
  // The manual's type is that of a 16-bit TSS, with which long mode could not be entered; kernels do so without loading TR.
  setSegment(s, S.TR, 0, 0, 0, 0xffff, ATTR_P | SYSTEM_TSS_BUSY)
  setTableRegister(s, S.GDTR, 0, 0, 0xffff)
  setTableRegister(s, S.IDTR, 0, 0, 0xffff)
  const cache = powerOn ? CR0_CD | CR0_NW : s.get(S.S_CR0) & (CR0_CD | CR0_NW)
  s.set64(S.S_CR0, cache | CR0_ET, 0)
  s.set64(S.S_CR2, 0, 0)
  s.set64(S.S_CR3, 0, 0)
  s.set64(S.S_CR4, 0, 0)
  s.set64(S.S_CR8, 0, 0)
  s.u32.fill(0, S.S_PDPTE >>> 2, (S.S_PDPTE + 32) >>> 2)
  s.u32.fill(0, S.S_DR >>> 2, (S.S_DR + 64) >>> 2)
  s.set(S.S_DR + 48, DR6_RESET)
  s.set(S.S_DR + 56, DR7_RESET)
  s.set64(S.S_EFER, 0, 0)
  s.set64(S.S_DEBUGCTL, 0, 0)
  for (const offset of [
    S.S_SHADOW,
    systemState.S_NMI_BLOCKED,
    systemState.S_PENDING_DEBUG,
    systemState.S_PENDING_FAULT,
    systemState.S_STEP_SUPPRESSED,
    systemState.S_SMM,
    systemState.S_IO_STATE,
  ])
    s.set(offset, 0)
  s.set(systemState.S_ACTIVITY, bootstrap ? systemState.ACTIVITY_RUNNING : systemState.ACTIVITY_WAIT_FOR_SIPI)
  if (powerOn) resetRest(s)
  s.host.controlChanged()
  s.cpu.flushTlb(true)
  s.cpu.modeChanged()
}

/** Resets the state that INIT leaves alone. */
function resetRest(s: System): void {
  initialiseX87(s)
  // Power-on leaves the x87 unit as FINIT does not: FCW 40H, tags valid.
  s.set(S.S_FCW, 0x40)
  s.set(S.S_FTAG_EMPTY, 0)
  s.u32.fill(0, S.S_FPR >>> 2, (S.S_FPR + 128) >>> 2)
  s.u32.fill(0, S.S_XMM >>> 2, (S.S_XMM + 32 * 64) >>> 2)
  s.u32.fill(0, S.S_EGPR >>> 2, S.VCPU_BYTES >>> 2)
  s.set64(S.S_NO_MASK, -1, -1)
  s.set(S.S_MXCSR, MXCSR_INITIAL)
  s.set64(S.S_XCR0, 1, 0)
  s.set64(S.S_XSS, 0, 0)
  s.set(S.S_PKRU, 0)
  s.set(S.S_PKRS, 0)
  for (const offset of [S.S_STAR, S.S_LSTAR, S.S_CSTAR, S.S_SFMASK, S.S_KERNEL_GS_BASE, S.S_TSC_AUX])
    s.set64(offset, 0, 0)
  for (const offset of [S.S_SYSENTER_CS, S.S_SYSENTER_ESP, S.S_SYSENTER_EIP]) s.set64(offset, 0, 0)
  s.set64(S.S_PAT, PAT_RESET_LO, PAT_RESET_LO)
  s.set64(systemState.S_MISC_ENABLE, MISC_ENABLE_RESET, 0)
  s.set64(systemState.S_BIOS_SIGN_ID, 0, 1)
  s.set(systemState.S_SMBASE, systemState.SMBASE_RESET)
  s.set64(systemState.S_TSC_ADJUST, 0, 0)
  for (const offset of [systemState.S_MCG_STATUS, systemState.S_SYSCFG, systemState.S_HWCR]) s.set64(offset, 0, 0)
  s.set64(systemState.S_MTRR_DEF_TYPE, 0, 0)
  s.u32.fill(0, systemState.S_MTRR_FIXED >>> 2, systemState.S_MC_CTL >>> 2)
  for (const bank of [systemState.S_MC_CTL, systemState.S_MC_ADDR, systemState.S_MC_MISC])
    s.u32.fill(0, bank >>> 2, (bank >>> 2) + 2 * systemState.MC_BANKS)
  s.set(S.S_EVENTS, 0)
}

/** Does the work of a start-up IPI: real mode at vector × 4096. */
export function startAt(s: System, vector: number): void {
  setSegment(s, S.CS, (vector & 0xff) << 8, (vector & 0xff) << 12, 0, 0xffff, REAL_MODE_CODE_ATTRIBUTES)
  openSegmentsForRealMode(s)
  s.set64(S.S_RIP, 0, 0)
  s.set(systemState.S_ACTIVITY, systemState.ACTIVITY_RUNNING)
  s.cpu.modeChanged()
}
