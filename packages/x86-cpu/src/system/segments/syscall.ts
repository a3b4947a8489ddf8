import { VECTOR_GP } from '../../state/vectors.ts'
import * as S from '../../state/state-layout.ts'
import * as architecture from '../../state/architecture.ts'
import { registerOffset, type Handler } from '../operands.ts'
import { setSegment, setSegmentBase } from './segment-cache.ts'
import type { System } from '../system.ts'
import { S_STEPPING, S_STEP_SUPPRESSED } from '../../state/system-state.ts'

/** RFLAGS that SYSRET takes from R11 (SDM vol. 2B, "SYSRET"): RF, VM and reserved bits are not among them. */
const SYSRET_FLAGS = 0x003c_7fd7

/** Flat CS of a level, as the fast system calls set it without reading a table. `long`: 64-bit code. */
function setFlatCode(s: System, selector: number, level: number, long: boolean): void {
  const attributes =
    architecture.FLAT_CODE |
    (level << architecture.ATTR_DPL_SHIFT) |
    (long ? architecture.ATTR_L : architecture.ATTR_DB)
  setSegment(s, S.CS, selector & 0xffff, 0, 0, 0xffff_ffff, attributes)
}

/** The same for SS. */
function setFlatStack(s: System, selector: number, level: number): void {
  setSegment(
    s,
    S.SS,
    selector & 0xffff,
    0,
    0,
    0xffff_ffff,
    architecture.FLAT_STACK | (level << architecture.ATTR_DPL_SHIFT),
  )
}

function setFlatSegments(s: System, cs: number, ss: number, level: number, long: boolean): void {
  setFlatCode(s, cs, level, long)
  setFlatStack(s, ss, level)
}

/** SYSCALL and SYSRET: on Intel's processors in 64-bit mode alone, on AMD's in every mode; #UD where they are off. */
function requireSyscall(s: System): void {
  if ((!s.mode64 && !s.cpu.processor.amd) || (s.get(S.S_EFER) & architecture.EFER_SCE) === 0) s.undefinedOpcode()
}

// @isa: complete   0F 05   SYSCALL   "SDM vol. 2B, SYSCALL; AMD APM vol. 3, SYSCALL"
export const syscall: Handler = (s, record) => {
  requireSyscall(s)
  const flags = s.cpu.materialiseFlags()
  const cs = s.get(S.S_STAR + 4) & 0xfffc
  s.nextRip(record)
  let flagsAfter: number
  if (s.longMode) {
    const target = s.mode64 ? S.S_LSTAR : S.S_CSTAR
    s.set64(S.S_GPR + 8 * architecture.RCX, s.lo, s.hi)
    s.set64(S.S_GPR + 8 * architecture.R11, flags & ~S.FLAG_RF, 0)
    s.set64(S.S_RIP, s.get(target), s.get(target + 4))
    flagsAfter = (flags & ~s.get(S.S_SFMASK) & ~S.FLAG_RF) | architecture.FLAG_FIXED
  } else {
    // AMD's legacy mode: STAR has the target, and R11 does not exist.
    s.setGpr(architecture.RCX, 4, s.lo)
    s.set64(S.S_RIP, s.get(S.S_STAR), 0)
    flagsAfter = (flags & ~(S.FLAG_VM | S.FLAG_IF | S.FLAG_RF)) | architecture.FLAG_FIXED
  }
  s.cpu.setRflags(flagsAfter)
  setFlatSegments(s, cs, cs + 8, 0, s.longMode)
  s.cpu.modeChanged()
  // A single-step trap that SFMASK masks is not taken at the kernel's entry.
  if ((flags & ~flagsAfter & S.FLAG_TF) !== 0) s.set(S_STEP_SUPPRESSED, 1)
  return s.retired()
}

// @isa: complete   0F 07   SYSRET   "SDM vol. 2B, SYSRET; AMD APM vol. 3, SYSRET"
const sysret: Handler = (s, _record, form) => {
  requireSyscall(s)
  const { amd } = s.cpu.processor
  if (!s.protectedMode) s.raise(VECTOR_GP, 0)
  s.requireCpl0()
  const long = s.mode64 && form.size === 8
  // AMD's processors take any RCX: the fetch at the outer level faults.
  if (long && !amd && !s.isCanonical(s.gprHi(architecture.RCX))) s.raise(VECTOR_GP, 0)
  const base = s.get(S.S_STAR + 4) >>> 16
  const flags = s.mode64
    ? s.gpr(architecture.R11) & SYSRET_FLAGS & s.cpu.processor.rflags
    : s.cpu.materialiseFlags() | S.FLAG_IF
  s.set64(S.S_RIP, s.gpr(architecture.RCX), long ? s.gprHi(architecture.RCX) : 0)
  s.cpu.setRflags(flags | architecture.FLAG_FIXED)
  setFlatCode(s, (base + (long ? 16 : 0)) | 3, 3, long)
  if (amd) setStackSelector(s, base + 8)
  else setFlatStack(s, (base + 8) | 3, 3)
  s.cpu.modeChanged()
  // Unlike IRET and POPF, it is trapped itself where it sets TF.
  if ((flags & S.FLAG_TF) !== 0) s.set(S_STEPPING, 1)
  return s.retired()
}

/** AMD's SYSRET: the selector of SS, and nothing else of it. Its DPL tells the privilege level here, and so is 3. */
function setStackSelector(s: System, selector: number): void {
  const at = S.S_SEGMENTS + S.SS * S.SEG_BYTES
  const attributes = s.attributes(S.SS) | (3 << architecture.ATTR_DPL_SHIFT)
  setSegment(
    s,
    S.SS,
    selector & 0xffff,
    s.get(at + S.SEG_BASE),
    s.get(at + S.SEG_BASE + 4),
    s.get(at + S.SEG_LIMIT),
    attributes,
  )
}

/** SYSENTER and SYSEXIT: not in long mode on AMD's processors (APM vol. 3, SYSENTER). */
function requireSysenter(s: System): void {
  if (s.longMode && s.cpu.processor.amd) s.undefinedOpcode()
}

// @isa: complete   0F 34   SYSENTER   "SDM vol. 2B, SYSENTER"
const sysenter: Handler = (s) => {
  requireSysenter(s)
  const cs = s.get(S.S_SYSENTER_CS) & 0xfffc
  if (!s.protectedMode || cs === 0) s.raise(VECTOR_GP, 0)
  const long = s.longMode
  s.cpu.setRflags(s.cpu.materialiseFlags() & ~(S.FLAG_VM | S.FLAG_IF | S.FLAG_RF))
  s.set64(S.S_GPR + 8 * architecture.RSP, s.get(S.S_SYSENTER_ESP), long ? s.get(S.S_SYSENTER_ESP + 4) : 0)
  s.set64(S.S_RIP, s.get(S.S_SYSENTER_EIP), long ? s.get(S.S_SYSENTER_EIP + 4) : 0)
  setFlatSegments(s, cs, cs + 8, 0, long)
  s.cpu.modeChanged()
  return s.retired()
}

// @isa: complete   0F 35   SYSEXIT   "SDM vol. 2B, SYSEXIT"
const sysexit: Handler = (s, _record, form) => {
  requireSysenter(s)
  const cs = s.get(S.S_SYSENTER_CS) & 0xfffc
  if (!s.protectedMode || s.cpl !== 0 || cs === 0) s.raise(VECTOR_GP, 0)
  const long = form.size === 8
  if (long && !(s.isCanonical(s.gprHi(architecture.RCX)) && s.isCanonical(s.gprHi(architecture.RDX))))
    s.raise(VECTOR_GP, 0)
  s.set64(S.S_GPR + 8 * architecture.RSP, s.gpr(architecture.RCX), long ? s.gprHi(architecture.RCX) : 0)
  s.set64(S.S_RIP, s.gpr(architecture.RDX), long ? s.gprHi(architecture.RDX) : 0)
  setFlatSegments(s, (cs + (long ? 32 : 16)) | 3, (cs + (long ? 40 : 24)) | 3, 3, long)
  s.cpu.modeChanged()
  return s.retired()
}

// @isa: complete   0F 01 F8   SWAPGS   "SDM vol. 2B, SWAPGS"
export const swapgs: Handler = (s) => {
  if (!s.mode64) s.undefinedOpcode()
  s.requireCpl0()
  const base = S.S_SEGMENTS + S.GS * S.SEG_BYTES + S.SEG_BASE
  const lo = s.get(base)
  const hi = s.get(base + 4)
  setSegmentBase(s, S.GS, s.get(S.S_KERNEL_GS_BASE), s.get(S.S_KERNEL_GS_BASE + 4))
  s.set64(S.S_KERNEL_GS_BASE, lo, hi)
  return S.STATUS_DONE
}

function requireFsGsBase(s: System): void {
  if (!s.mode64 || (s.get(S.S_CR4) & architecture.CR4_FSGSBASE) === 0) s.undefinedOpcode()
}

/** RDFSBASE, RDGSBASE. */
function readBase(segment: number): Handler {
  return (s, record, form) => {
    requireFsGsBase(s)
    const base = S.S_SEGMENTS + segment * S.SEG_BYTES + S.SEG_BASE
    s.writeRegister(registerOffset(s, record, 0), form.operands[0]?.size ?? 8, s.get(base), s.get(base + 4))
    return S.STATUS_DONE
  }
}

/** WRFSBASE, WRGSBASE. */
function writeBase(segment: number): Handler {
  return (s, record, form) => {
    requireFsGsBase(s)
    const from = registerOffset(s, record, 0)
    const hi = form.operands[0]?.size === 4 ? 0 : s.get(from + 4)
    if (!s.isCanonicalBase(hi)) s.raise(VECTOR_GP, 0)
    setSegmentBase(s, segment, s.get(from), hi)
    return S.STATUS_DONE
  }
}

export const syscallHandlers: Readonly<Record<string, Handler>> = {
  SYSCALL: syscall,
  SYSRET: sysret,
  SYSRETQ: sysret,
  SYSENTER: sysenter,
  SYSEXIT: sysexit,
  SYSEXITQ: sysexit,
  SWAPGS: swapgs,
  RDFSBASE: readBase(S.FS),
  RDGSBASE: readBase(S.GS),
  WRFSBASE: writeBase(S.FS),
  WRGSBASE: writeBase(S.GS),
}
