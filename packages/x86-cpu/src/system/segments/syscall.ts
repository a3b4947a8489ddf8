import { VECTOR_GP } from '../../state/vectors.ts'
import {
  CS,
  FLAG_IF,
  FLAG_RF,
  FLAG_TF,
  FLAG_VM,
  FS,
  GS,
  SEG_BASE,
  SEG_BYTES,
  SEG_LIMIT,
  SS,
  STATUS_DONE,
  S_CR4,
  S_CSTAR,
  S_EFER,
  S_GPR,
  S_KERNEL_GS_BASE,
  S_LSTAR,
  S_RIP,
  S_SEGMENTS,
  S_SFMASK,
  S_STAR,
  S_SYSENTER_CS,
  S_SYSENTER_EIP,
  S_SYSENTER_ESP,
} from '../../state/state-layout.ts'
import {
  ATTR_DB,
  ATTR_DPL_SHIFT,
  ATTR_L,
  CR4_FSGSBASE,
  EFER_SCE,
  FLAG_FIXED,
  FLAT_CODE,
  FLAT_STACK,
  R11,
  RCX,
  RDX,
  RSP,
} from '../../state/architecture.ts'
import { registerOffset, type Handler } from '../operands.ts'
import { setSegment, setSegmentBase } from './segment-cache.ts'
import type { System } from '../system.ts'
import { S_STEPPING, S_STEP_SUPPRESSED } from '../../state/system-state.ts'

/** RFLAGS that SYSRET takes from R11 (SDM vol. 2B, "SYSRET"): RF, VM and reserved bits are not among them. */
const SYSRET_FLAGS = 0x003c_7fd7

/** Flat CS of a level, as the fast system calls set it without reading a table. `long`: 64-bit code. */
function setFlatCode(s: System, selector: number, level: number, long: boolean): void {
  const attributes = FLAT_CODE | (level << ATTR_DPL_SHIFT) | (long ? ATTR_L : ATTR_DB)
  setSegment(s, CS, selector & 0xffff, 0, 0, 0xffff_ffff, attributes)
}

/** The same for SS. */
function setFlatStack(s: System, selector: number, level: number): void {
  setSegment(s, SS, selector & 0xffff, 0, 0, 0xffff_ffff, FLAT_STACK | (level << ATTR_DPL_SHIFT))
}

function setFlatSegments(s: System, cs: number, ss: number, level: number, long: boolean): void {
  setFlatCode(s, cs, level, long)
  setFlatStack(s, ss, level)
}

/** SYSCALL and SYSRET: on Intel's processors in 64-bit mode alone, on AMD's in every mode; #UD where they are off. */
function requireSyscall(s: System): void {
  if ((!s.mode64 && !s.cpu.processor.amd) || (s.get(S_EFER) & EFER_SCE) === 0) s.undefinedOpcode()
}

// @isa: complete   0F 05   SYSCALL   "SDM vol. 2B, SYSCALL; AMD APM vol. 3, SYSCALL"
export const syscall: Handler = (s, record) => {
  requireSyscall(s)
  const flags = s.cpu.materialiseFlags()
  const cs = s.get(S_STAR + 4) & 0xfffc
  s.nextRip(record)
  let flagsAfter: number
  if (s.longMode) {
    const target = s.mode64 ? S_LSTAR : S_CSTAR
    s.set64(S_GPR + 8 * RCX, s.lo, s.hi)
    s.set64(S_GPR + 8 * R11, flags & ~FLAG_RF, 0)
    s.set64(S_RIP, s.get(target), s.get(target + 4))
    flagsAfter = (flags & ~s.get(S_SFMASK) & ~FLAG_RF) | FLAG_FIXED
  } else {
    // AMD's legacy mode: STAR has the target, and R11 does not exist.
    s.setGpr(RCX, 4, s.lo)
    s.set64(S_RIP, s.get(S_STAR), 0)
    flagsAfter = (flags & ~(FLAG_VM | FLAG_IF | FLAG_RF)) | FLAG_FIXED
  }
  s.cpu.setRflags(flagsAfter)
  setFlatSegments(s, cs, cs + 8, 0, s.longMode)
  s.cpu.modeChanged()
  // A single-step trap that SFMASK masks is not taken at the kernel's entry.
  if ((flags & ~flagsAfter & FLAG_TF) !== 0) s.set(S_STEP_SUPPRESSED, 1)
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
  if (long && !amd && !s.isCanonical(s.gprHi(RCX))) s.raise(VECTOR_GP, 0)
  const base = s.get(S_STAR + 4) >>> 16
  const flags = s.mode64 ? s.gpr(R11) & SYSRET_FLAGS & s.cpu.processor.rflags : s.cpu.materialiseFlags() | FLAG_IF
  s.set64(S_RIP, s.gpr(RCX), long ? s.gprHi(RCX) : 0)
  s.cpu.setRflags(flags | FLAG_FIXED)
  setFlatCode(s, (base + (long ? 16 : 0)) | 3, 3, long)
  if (amd) setStackSelector(s, base + 8)
  else setFlatStack(s, (base + 8) | 3, 3)
  s.cpu.modeChanged()
  // Unlike IRET and POPF, it is trapped itself where it sets TF.
  if ((flags & FLAG_TF) !== 0) s.set(S_STEPPING, 1)
  return s.retired()
}

/** AMD's SYSRET: the selector of SS, and nothing else of it. Its DPL tells the privilege level here, and so is 3. */
function setStackSelector(s: System, selector: number): void {
  const at = S_SEGMENTS + SS * SEG_BYTES
  const attributes = s.attributes(SS) | (3 << ATTR_DPL_SHIFT)
  setSegment(
    s,
    SS,
    selector & 0xffff,
    s.get(at + SEG_BASE),
    s.get(at + SEG_BASE + 4),
    s.get(at + SEG_LIMIT),
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
  const cs = s.get(S_SYSENTER_CS) & 0xfffc
  if (!s.protectedMode || cs === 0) s.raise(VECTOR_GP, 0)
  const long = s.longMode
  s.cpu.setRflags(s.cpu.materialiseFlags() & ~(FLAG_VM | FLAG_IF | FLAG_RF))
  s.set64(S_GPR + 8 * RSP, s.get(S_SYSENTER_ESP), long ? s.get(S_SYSENTER_ESP + 4) : 0)
  s.set64(S_RIP, s.get(S_SYSENTER_EIP), long ? s.get(S_SYSENTER_EIP + 4) : 0)
  setFlatSegments(s, cs, cs + 8, 0, long)
  s.cpu.modeChanged()
  return s.retired()
}

// @isa: complete   0F 35   SYSEXIT   "SDM vol. 2B, SYSEXIT"
const sysexit: Handler = (s, _record, form) => {
  requireSysenter(s)
  const cs = s.get(S_SYSENTER_CS) & 0xfffc
  if (!s.protectedMode || s.cpl !== 0 || cs === 0) s.raise(VECTOR_GP, 0)
  const long = form.size === 8
  if (long && !(s.isCanonical(s.gprHi(RCX)) && s.isCanonical(s.gprHi(RDX)))) s.raise(VECTOR_GP, 0)
  s.set64(S_GPR + 8 * RSP, s.gpr(RCX), long ? s.gprHi(RCX) : 0)
  s.set64(S_RIP, s.gpr(RDX), long ? s.gprHi(RDX) : 0)
  setFlatSegments(s, (cs + (long ? 32 : 16)) | 3, (cs + (long ? 40 : 24)) | 3, 3, long)
  s.cpu.modeChanged()
  return s.retired()
}

// @isa: complete   0F 01 F8   SWAPGS   "SDM vol. 2B, SWAPGS"
export const swapgs: Handler = (s) => {
  if (!s.mode64) s.undefinedOpcode()
  s.requireCpl0()
  const base = S_SEGMENTS + GS * SEG_BYTES + SEG_BASE
  const lo = s.get(base)
  const hi = s.get(base + 4)
  setSegmentBase(s, GS, s.get(S_KERNEL_GS_BASE), s.get(S_KERNEL_GS_BASE + 4))
  s.set64(S_KERNEL_GS_BASE, lo, hi)
  return STATUS_DONE
}

function requireFsGsBase(s: System): void {
  if (!s.mode64 || (s.get(S_CR4) & CR4_FSGSBASE) === 0) s.undefinedOpcode()
}

/** RDFSBASE, RDGSBASE. */
function readBase(segment: number): Handler {
  return (s, record, form) => {
    requireFsGsBase(s)
    const base = S_SEGMENTS + segment * SEG_BYTES + SEG_BASE
    s.writeRegister(registerOffset(s, record, 0), form.operands[0]?.size ?? 8, s.get(base), s.get(base + 4))
    return STATUS_DONE
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
    return STATUS_DONE
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
  RDFSBASE: readBase(FS),
  RDGSBASE: readBase(GS),
  WRFSBASE: writeBase(FS),
  WRGSBASE: writeBase(GS),
}
