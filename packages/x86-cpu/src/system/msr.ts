import type { Words } from '../state/host.ts'
import { VECTOR_GP } from '../state/vectors.ts'
import * as S from '../state/state-layout.ts'
import { CR0_PG, EFER_LMA, EFER_LME, EFER_NXE, RAX, RCX, RDX } from '../state/architecture.ts'
import {
  isMachineCheckBank,
  readMachineCheck,
  writeMachineCheck,
  areTypes,
  IA32_MTRR_DEF_TYPE,
  IA32_MTRRCAP,
  isMtrrType,
  MTRRCAP,
  mtrrField,
  mtrrHolds,
} from './msr-banks.ts'
import type { Handler } from './operands.ts'
import * as systemState from '../state/system-state.ts'
import { setPkrs } from './protection-keys.ts'
import type { System } from './system.ts'
import { setSegmentBase } from './segments/segment-cache.ts'
import { readTimeStamp, writeTimeStamp, writeTscAdjust } from './time-stamp.ts'

// Model-specific registers by their names in SDM vol. 4, "Architectural MSRs".
const IA32_P5_MC_ADDR = 0
const IA32_P5_MC_TYPE = 1
const IA32_MONITOR_FILTER_SIZE = 6
const IA32_TIME_STAMP_COUNTER = 0x10
const IA32_PLATFORM_ID = 0x17
/** How the processor was configured at power-on. */
const EBL_CR_POWERON = 0x2a
export const IA32_TSC_ADJUST = 0x3b
const IA32_BIOS_UPDT_TRIG = 0x79
export const IA32_BIOS_SIGN_ID = 0x8b
/** The speed of the front-side bus. */
const FSB_FREQ = 0xcd
/** Ratios of the core's clock to the bus's, and what of them software may change. */
const PLATFORM_INFO = 0xce
/** How deep the package may sleep, and what demotes a request for that. */
const PKG_CST_CONFIG_CONTROL = 0xe2
const IA32_ARCH_CAPABILITIES = 0x10a
/** The control register of the L2 cache. */
const BBL_CR_CTL3 = 0x11e
const IA32_SYSENTER_CS = 0x174
const IA32_SYSENTER_ESP = 0x175
const IA32_SYSENTER_EIP = 0x176
export const IA32_MCG_CAP = 0x179
export const IA32_MCG_STATUS = 0x17a
export const IA32_MISC_ENABLE = 0x1a0
const IA32_DEBUGCTL = 0x1d9
const POWER_CTL = 0x1fc
export const IA32_PAT = 0x277
const IA32_PKRS = 0x6e1
const IA32_XSS = 0xda0
export const IA32_EFER = 0xc000_0080
const IA32_STAR = 0xc000_0081
const IA32_LSTAR = 0xc000_0082
const IA32_CSTAR = 0xc000_0083
const IA32_FMASK = 0xc000_0084
const IA32_FS_BASE = 0xc000_0100
const IA32_GS_BASE = 0xc000_0101
const IA32_KERNEL_GS_BASE = 0xc000_0102
const IA32_TSC_AUX = 0xc000_0103

// AMD's (AMD publication 32559, "BIOS and Kernel Developer's Guide for AMD NPT Family 0Fh Processors").
/** PerfEvtSel0 to PerfEvtSel3, PerfCtr0 to PerfCtr3. */
const PERFORMANCE = 0xc001_0000
const PERFORMANCE_LAST = 0xc001_0007
const SYSCFG = 0xc001_0010
const HWCR = 0xc001_0015
const NB_CFG = 0xc001_001f
const INTERRUPT_PENDING = 0xc001_0055

/**
 * The effect of a write to an MSR (SDM vol. 4, "Architectural MSRs"; vol. 3B, "Machine-Check MSRs"; vol. 2C, "WRMSR": reserved
 * bits are #GP(0)). Others are kept as they are written, and checked where {@link writeMsr} says so.
 *
 * | MSR | hardware | here |
 * | --- | --- | --- |
 * | IA32_MISC_ENABLE 0, 3, 16, 23 | R/W: fast strings, thermal control, EIST, xTPR messages | R/W, without effect |
 * | IA32_MISC_ENABLE 18 | R/W: MONITOR and MWAIT exist, and CPUID says so | the same |
 * | IA32_MISC_ENABLE 22 | R/W: CPUID leaf 0 says 2 | the same |
 * | IA32_MISC_ENABLE 34 | R/W: no execute-disable, in CPUID and EFER | the same |
 * | IA32_MISC_ENABLE 7, 11, 12 | read-only: performance monitoring 0, no BTS 1, no PEBS 1 | writes are ignored |
 * | IA32_MISC_ENABLE, others | reserved | #GP(0) |
 * | IA32_MCi_CTL | R/W; some processors take all zeros and all ones alone | all zeros, all ones; else #GP(0) |
 * | IA32_MCi_STATUS | zero clears it, anything else is #GP(0) | the same; always zero |
 * | IA32_MCi_ADDR, IA32_MCi_MISC | R/W where the bank has them | R/W |
 * | IA32_MCG_STATUS | bits 2:0, others are reserved | the same |
 * | IA32_P5_MC_ADDR, IA32_P5_MC_TYPE | read-only: the bus cycle of a machine check | zero; writes are #GP(0) |
 * | IA32_MONITOR_FILTER_SIZE | R/W: firmware tells the size of monitored lines | zero; writes are ignored |
 * | IA32_SMBASE | read in SMM alone, where IA32_VMX_MISC bit 15 says so: that needs VMX | absent: #GP(0) |
 * | MSR_EBL_CR_POWERON (Core) | R/W: error checks of the bus; read-only: bus ratio, APIC cluster | zero; writes are ignored |
 * | MSR_FSB_FREQ (Core) | read-only: speed of the front-side bus, 000B for 267 MHz | 000B; writes are #GP(0) |
 * | MSR_BBL_CR_CTL3 (Core) | bit 8 R/W: L2 enabled; read-only: bit 0 L2 there, bit 23 absent | 101H; writes are ignored |
 * | MSR_PLATFORM_INFO | ratios of clocks; bit 31: CPUID can be made to fault | zero; writes are #GP(0) |
 * | IA32_DEBUGCTL | R/W for what the processor has: here nothing | zero; else #GP(0) |
 * | IA32_XSS | R/W for the supervisor state that XSAVES manages: here none | zero; else #GP(0) |
 * | IA32_BIOS_SIGN_ID, IA32_BIOS_UPDT_TRIG | written to load and identify a microcode update | writes are ignored |
 * | MSR_PKG_CST_CONFIG_CONTROL, MSR_POWER_CTL | R/W: C-states of the package, promotion to C1E | zero; writes are ignored |
 * | SYSCFG 17 to 22 | R/W: buses, and which MTRRs divide DRAM from MMIO | R/W, without effect |
 * | PerfEvtSel0-3, PerfCtr0-3 | R/W: events to count, their numbers | zero; writes are ignored |
 * | NB_CFG, interrupt pending message | R/W: settings of the northbridge | zero; writes are ignored |
 * | HWCR 31:0 | R/W: SMM lock, caches, wrap-around | R/W, without effect |
 * | IA32_MTRRCAP, IA32_MCG_CAP, IA32_ARCH_CAPABILITIES, IA32_PLATFORM_ID | read-only | writes are #GP(0) |
 */

/** IA32_MISC_ENABLE: fast strings, MONITOR; BTS and PEBS are not available. */
export const MISC_ENABLE_RESET: number = (1 << 0) | (1 << 11) | (1 << 12) | systemState.MISC_ENABLE_MONITOR
/** Bits of IA32_MISC_ENABLE that software may change, and those that it cannot although they exist. */
const MISC_ENABLE_WRITABLE =
  (1 << 0) | (1 << 3) | (1 << 16) | systemState.MISC_ENABLE_MONITOR | systemState.MISC_ENABLE_LIMIT_CPUID | (1 << 23)
const MISC_ENABLE_READ_ONLY = (1 << 7) | (1 << 11) | (1 << 12)
/**
 * IA32_ARCH_CAPABILITIES. This processor executes nothing speculatively, so it has none of the vulnerabilities that the
 * NO bits stand for: RDCL, RSB fill on L1D (SKIP_L1DFL), SSB, MDS, page-size change, TAA, SBDR/SSDP, FBSDP, PSDP,
 * BHI (20), PBRSB (24), GDS (26), RFDS (27).
 */
const ARCH_CAPABILITIES =
  (1 << 0) |
  (1 << 3) |
  (1 << 4) |
  (1 << 5) |
  (1 << 6) |
  (1 << 8) |
  (1 << 13) |
  (1 << 14) |
  (1 << 15) |
  (1 << 20) |
  (1 << 24) |
  (1 << 26) |
  (1 << 27)
/** IA32_ARCH_CAPABILITIES, high word: ITS_NO (62). */
const ARCH_CAPABILITIES_HI = 1 << 30

/** MSR_BBL_CR_CTL3: the L2 cache is there, and enabled. */
const L2_ENABLED = (1 << 8) | (1 << 0)

/** Bits of SYSCFG that exist: 17 to 22. */
const SYSCFG_DEFINED = 0x7e_0000

const words: Words = { lo: 0, hi: 0 }

/** State offsets of the MSRs that are plain 64-bit fields. */
const FIELDS: ReadonlyMap<number, number> = new Map([
  [IA32_SYSENTER_CS, S.S_SYSENTER_CS],
  [IA32_SYSENTER_ESP, S.S_SYSENTER_ESP],
  [IA32_SYSENTER_EIP, S.S_SYSENTER_EIP],
  [IA32_TSC_ADJUST, systemState.S_TSC_ADJUST],
  [IA32_BIOS_SIGN_ID, systemState.S_BIOS_SIGN_ID],
  [IA32_MCG_STATUS, systemState.S_MCG_STATUS],
  [IA32_MISC_ENABLE, systemState.S_MISC_ENABLE],
  [IA32_DEBUGCTL, S.S_DEBUGCTL],
  [IA32_PAT, S.S_PAT],
  [IA32_MTRR_DEF_TYPE, systemState.S_MTRR_DEF_TYPE],
  [IA32_EFER, S.S_EFER],
  [IA32_STAR, S.S_STAR],
  [IA32_LSTAR, S.S_LSTAR],
  [IA32_CSTAR, S.S_CSTAR],
  [IA32_FMASK, S.S_SFMASK],
  [IA32_FS_BASE, S.S_SEGMENTS + S.FS * S.SEG_BYTES + S.SEG_BASE],
  [IA32_GS_BASE, S.S_SEGMENTS + S.GS * S.SEG_BYTES + S.SEG_BASE],
  [IA32_KERNEL_GS_BASE, S.S_KERNEL_GS_BASE],
  [IA32_TSC_AUX, S.S_TSC_AUX],
  [IA32_XSS, S.S_XSS],
  [SYSCFG, systemState.S_SYSCFG],
  [HWCR, systemState.S_HWCR],
])

/** AMD's MSRs of performance monitoring. */
const isPerformance = (index: number): boolean => index >= PERFORMANCE && index <= PERFORMANCE_LAST

/** State offset of an MSR that is a plain 64-bit field, or −1. */
function fieldOf({ cpu: { processor } }: System, index: number): number {
  return FIELDS.get(index) ?? processor.extension?.msr(processor, index)?.field ?? mtrrField(index)
}

function give(s: System, lo: number, hi: number): void {
  s.lo = lo >>> 0
  s.hi = hi >>> 0
}

/** Reads an MSR into `s.lo` and `s.hi`. @throws #GP(0) for one that does not exist */
export function readMsr(s: System, index: number): void {
  refuse(s, s.cpu.processor.lacksMsr(index >>> 0))
  const field = fieldOf(s, index)
  if (field >= 0) {
    give(s, s.get(field), s.get(field + 4))
    return
  }
  switch (index) {
    case IA32_TIME_STAMP_COUNTER:
      readTimeStamp(s)
      return
    case IA32_MTRRCAP:
      give(s, MTRRCAP, 0)
      return
    case IA32_ARCH_CAPABILITIES:
      give(s, ARCH_CAPABILITIES, ARCH_CAPABILITIES_HI)
      return
    case IA32_PKRS:
      give(s, s.get(S.S_PKRS), 0)
      return
    case IA32_MCG_CAP:
      give(s, systemState.MC_BANKS, 0)
      return
    case BBL_CR_CTL3:
      give(s, L2_ENABLED, 0)
      return
    case IA32_P5_MC_ADDR:
    case IA32_P5_MC_TYPE:
    case IA32_MONITOR_FILTER_SIZE:
    case IA32_PLATFORM_ID:
    case EBL_CR_POWERON:
    case FSB_FREQ:
    case PLATFORM_INFO:
    case PKG_CST_CONFIG_CONTROL:
    case POWER_CTL:
    case NB_CFG:
    case INTERRUPT_PENDING:
      give(s, 0, 0)
      return
    default:
  }
  if (isPerformance(index)) {
    give(s, 0, 0)
    return
  }
  if (isMachineCheckBank(index)) {
    readMachineCheck(s, index)
    return
  }
  const status = s.host.readMsr(index, words)
  if (status === S.STATUS_FAULT) s.raise(VECTOR_GP, 0)
  s.check(status)
  give(s, words.lo, words.hi)
}

function refuse(s: System, when: boolean): void {
  if (when) s.raise(VECTOR_GP, 0)
}

function writeEfer(s: System, lo: number, hi: number): void {
  refuse(s, hi !== 0 || (lo & ~s.cpu.processor.efer) !== 0)
  refuse(s, (lo & EFER_NXE) !== 0 && (s.get(systemState.S_MISC_ENABLE + 4) & systemState.MISC_ENABLE_HI_NO_XD) !== 0)
  const old = s.get(S.S_EFER)
  refuse(s, ((lo ^ old) & EFER_LME) !== 0 && (s.get(S.S_CR0) & CR0_PG) !== 0)
  // LMA is read-only: writes of it are ignored.
  const value = (lo & ~EFER_LMA) | (old & EFER_LMA)
  s.set(S.S_EFER, value)
  if (value === old) return
  s.host.controlChanged()
  if (((value ^ old) & EFER_NXE) !== 0) s.cpu.flushTlb(true)
  s.cpu.modeChanged()
}

function writeMiscEnable(s: System, lo: number, hi: number): void {
  const reserved = (lo & ~(MISC_ENABLE_WRITABLE | MISC_ENABLE_READ_ONLY)) | (hi & ~systemState.MISC_ENABLE_HI_NO_XD)
  refuse(s, reserved !== 0)
  const kept = s.get(systemState.S_MISC_ENABLE) & MISC_ENABLE_READ_ONLY
  s.set64(systemState.S_MISC_ENABLE, kept | (lo & MISC_ENABLE_WRITABLE), hi)
}

/** Writes an MSR. @throws #GP(0) for one that does not exist, and for values that it cannot hold */
export function writeMsr(s: System, index: number, lo: number, hi: number): void {
  refuse(s, s.cpu.processor.lacksMsr(index >>> 0))
  switch (index) {
    case IA32_EFER:
      writeEfer(s, lo, hi)
      return
    case IA32_TIME_STAMP_COUNTER:
      writeTimeStamp(s, lo, hi)
      return
    case IA32_TSC_ADJUST:
      writeTscAdjust(s, lo, hi)
      return
    case IA32_FS_BASE:
    case IA32_GS_BASE:
      refuse(s, !s.isCanonicalBase(hi))
      setSegmentBase(s, index === IA32_FS_BASE ? S.FS : S.GS, lo, hi)
      return
    case IA32_LSTAR:
    case IA32_CSTAR:
    case IA32_KERNEL_GS_BASE:
    case IA32_SYSENTER_ESP:
    case IA32_SYSENTER_EIP:
      refuse(s, !s.isCanonicalBase(hi))
      break
    case IA32_FMASK:
    case IA32_TSC_AUX:
      refuse(s, hi !== 0)
      break
    case IA32_PKRS:
      refuse(s, hi !== 0)
      setPkrs(s, lo)
      return
    case SYSCFG:
      refuse(s, hi !== 0 || (lo & ~SYSCFG_DEFINED) !== 0)
      break
    case HWCR:
      refuse(s, hi !== 0)
      break
    case IA32_PAT:
      refuse(s, !areTypes(lo, true) || !areTypes(hi, true))
      break
    case IA32_MTRR_DEF_TYPE:
      refuse(s, hi !== 0 || (lo & ~0xcff) !== 0 || !isMtrrType(lo & 0xff))
      break
    case IA32_MISC_ENABLE:
      writeMiscEnable(s, lo, hi)
      return
    case IA32_XSS:
      // XSAVES manages no supervisor state: no bit exists.
      refuse(s, lo !== 0 || hi !== 0)
      return
    case IA32_DEBUGCTL:
      // No last-branch records, no branch-single-step: no bit exists.
      refuse(s, lo !== 0 || hi !== 0)
      return
    case IA32_BIOS_SIGN_ID:
      // Software writes zero and CPUID then reports the update's revision; it never changes.
      return
    case IA32_BIOS_UPDT_TRIG:
    case IA32_MONITOR_FILTER_SIZE:
    case EBL_CR_POWERON:
    case BBL_CR_CTL3:
    case PKG_CST_CONFIG_CONTROL:
    case POWER_CTL:
    case NB_CFG:
    case INTERRUPT_PENDING:
      return
    case IA32_MCG_STATUS:
      refuse(s, hi !== 0 || (lo & ~7) !== 0)
      break
    case IA32_MTRRCAP:
    case IA32_ARCH_CAPABILITIES:
    case IA32_MCG_CAP:
    case IA32_P5_MC_ADDR:
    case IA32_P5_MC_TYPE:
    case IA32_PLATFORM_ID:
    case FSB_FREQ:
    case PLATFORM_INFO:
      s.raise(VECTOR_GP, 0)
      break
    default:
  }
  const field = fieldOf(s, index)
  if (field >= 0) {
    const { processor } = s.cpu
    refuse(s, processor.extension?.msr(processor, index)?.takes(processor, lo, hi) === false)
    refuse(s, mtrrField(index) >= 0 && !mtrrHolds(s, index, lo, hi))
    s.set64(field, lo, hi)
    return
  }
  if (isPerformance(index)) return
  if (isMachineCheckBank(index)) {
    refuse(s, !writeMachineCheck(s, index, lo, hi))
    return
  }
  const status = s.host.writeMsr(index, lo, hi)
  if (status === S.STATUS_FAULT) s.raise(VECTOR_GP, 0)
  s.check(status)
}

/** Has an instruction that a debugger is to stop after start again, alone. */
function stopAlone(s: System, index: number): void {
  const { places } = s.cpu
  if (places.msrs && s.get(S.S_LOGGED) !== 1 && places.matches('msr', index >>> 0, 1)) s.check(S.STATUS_RESTART)
}

function noteStop(s: System, index: number, write: boolean, lo: number, hi: number): void {
  const { places } = s.cpu
  if (places.msrs) places.note('msr', index >>> 0, 8, write, lo, hi)
}

// @isa: complete   0F 32   RDMSR   "SDM vol. 2B, RDMSR"
export const rdmsr: Handler = (s) => {
  s.requireCpl0()
  const index = s.gpr(RCX)
  stopAlone(s, index)
  readMsr(s, index)
  noteStop(s, index, false, s.lo, s.hi)
  s.setGpr(RAX, 4, s.lo)
  s.setGpr(RDX, 4, s.hi)
  return S.STATUS_DONE
}

// @isa: complete   0F 30   WRMSR   "SDM vol. 2C, WRMSR"
export const wrmsr: Handler = (s, record) => {
  s.requireCpl0()
  const index = s.gpr(RCX)
  stopAlone(s, index)
  writeMsr(s, index, s.gpr(RAX), s.gpr(RDX))
  noteStop(s, index, true, s.gpr(RAX), s.gpr(RDX))
  return s.retireNext(record)
}

export const msrHandlers: Readonly<Record<string, Handler>> = { RDMSR: rdmsr, WRMSR: wrmsr }
