import { SLOW_STACK } from '../../state/host.ts'
import { VECTOR_GP, VECTOR_NP, VECTOR_SS } from '../../state/vectors.ts'
import * as S from '../../state/state-layout.ts'
import * as architecture from '../../state/architecture.ts'
import {
  Descriptor,
  isNull,
  queueTypeByte,
  readDescriptor,
  requireDescriptor,
  requireUpperHalf,
  selectorIndex,
  setSegmentFrom,
  SegmentLoad,
} from './descriptors.ts'
import {
  gated,
  isMemory,
  kernelOnly,
  readOperand,
  registerOffset,
  segmentOf,
  sizeOf,
  writeOperand,
  type Handler,
} from '../operands.ts'
import { setNullLdt, setTableRegister } from './segment-cache.ts'
import type { System } from '../system.ts'

const load = new SegmentLoad()
const descriptor = new Descriptor()

/** Number of the segment register at a state offset. */
function segmentNumber(offset: number): number {
  return (offset - S.S_SEGMENTS) / S.SEG_BYTES
}

/** SLDT, STR, SMSW, SGDT and SIDT are for the kernel where CR4.UMIP says so (SDM vol. 3A, "CR4.UMIP"). */
export function checkUmip(s: System): void {
  if ((s.get(S.S_CR4) & architecture.CR4_UMIP) !== 0 && s.cpl > 0) s.raise(VECTOR_GP, 0)
}

/** LLDT, LTR, SLDT, STR, LAR, LSL, VERR, VERW, ARPL: undefined outside protected mode. */
function requireProtected(s: System): void {
  if (s.realSegments) s.undefinedOpcode()
}

/** The same, and for the kernel. */
function requireProtectedCpl0(s: System): void {
  requireProtected(s)
  s.requireCpl0()
}

/** SLDT and STR: {@link requireProtected} and {@link checkUmip}. */
function requireProtectedUmip(s: System): void {
  requireProtected(s)
  checkUmip(s)
}

function loadSegment(s: System, record: number, segment: number): number {
  load.loadDataSegment(s, segment)
  if (segment !== S.SS) return S.STATUS_DONE
  // Interrupts and debug traps wait for the instruction that loads ESP (SDM vol. 3A, "Masking Exceptions and Interrupts
  // When Switching Stacks").
  s.set(S.S_SHADOW, s.get(S.S_SHADOW) | S.SHADOW_MOV_SS)
  return s.retireNext(record)
}

// @isa: complete   8E /r   MOV Sreg, r/m16   "SDM vol. 2B, MOV"
const movToSegment: Handler = (s, record, form) => {
  const segment = segmentNumber(registerOffset(s, record, 0))
  load.checkDataSegment(s, segment, readOperand(s, record, form, 1, 2) & 0xffff)
  s.commit()
  return loadSegment(s, record, segment)
}

// @isa: complete   8C /r   MOV r/m, Sreg   "SDM vol. 2B, MOV"
const movFromSegment: Handler = (s, record, form) => {
  const selector = s.get(registerOffset(s, record, 1) + S.SEG_SELECTOR)
  writeOperand(s, record, form, 0, selector, isMemory(form, 0) ? 2 : sizeOf(form, 0))
  return S.STATUS_DONE
}

// @isa: complete   06 0E 16 1E 0FA0 0FA8   PUSH Sreg   "SDM vol. 2B, PUSH"
export const pushSegment: Handler = (s, record, form) => {
  const size = form.size
  const selector = s.get(registerOffset(s, record, 0) + S.SEG_SELECTOR)
  const width = s.stackAddressSize
  const lo = s.gpr(architecture.RSP) - size
  const hi = (s.gprHi(architecture.RSP) - (lo < 0 ? 1 : 0)) >>> 0
  // A 32-bit push of a selector moves ESP by 4 and writes 2 bytes on Intel processors.
  s.linear(S.SS, width === 2 ? lo & 0xffff : lo >>> 0, hi, size === 4 ? 2 : size, true)
  s.write(s.linLo, s.linHi, size === 4 ? 2 : size, selector, 0, SLOW_STACK)
  s.commit()
  s.setStackPointer(width, lo >>> 0, hi)
  return S.STATUS_DONE
}

// @isa: complete   07 17 1F 0FA1 0FA9   POP Sreg   "SDM vol. 2B, POP"
export const popSegment: Handler = (s, record, form) => {
  const segment = segmentNumber(registerOffset(s, record, 0))
  s.readStack(0, form.size === 4 ? 2 : form.size)
  load.checkDataSegment(s, segment, s.lo & 0xffff)
  s.commit()
  s.releaseStack(form.size)
  return loadSegment(s, record, segment)
}

/** LES, LDS, LSS, LFS, LGS: offset, then selector, at the effective address. */
function loadFarPointer(segment: number): Handler {
  return (s, record, form) => {
    const size = form.size
    const lo = s.get(S.S_EA)
    const hi = s.get(S.S_EA + 4)
    s.read(lo, hi, size, 0)
    const offsetLo = s.lo
    const offsetHi = s.hi
    load.checkDataSegment(s, segment, s.readAt(lo, hi, size, 2))
    s.commit()
    load.loadDataSegment(s, segment)
    s.writeRegister(registerOffset(s, record, 0), size, offsetLo, offsetHi)
    return S.STATUS_DONE
  }
}

/** Sets ZF as given and leaves the other flags. */
function setZero(s: System, zero: boolean): void {
  const flags = s.cpu.materialiseFlags()
  s.cpu.setRflags(zero ? flags | S.FLAG_ZF : flags & ~S.FLAG_ZF)
}

/** Whether CPL and RPL may see a segment: conforming code always, anything else if neither is above DPL. */
function visible(s: System, selector: number, d: Descriptor): boolean {
  if (d.isCode && d.isConforming) return true
  return s.cpl <= d.dpl && (selector & 3) <= d.dpl
}

/** System types that LAR accepts; LSL accepts those with a limit (SDM vol. 2A, "LAR", table "Segment and Gate Types"). */
function isLarType(s: System, type: number, forLimit: boolean): boolean {
  switch (type) {
    case architecture.SYSTEM_TSS16:
    case architecture.SYSTEM_TSS16_BUSY:
      return !s.longMode
    case architecture.SYSTEM_LDT:
    case architecture.SYSTEM_TSS:
    case architecture.SYSTEM_TSS_BUSY:
      return true
    case architecture.SYSTEM_CALL_GATE16:
    case architecture.SYSTEM_TASK_GATE:
      return !s.longMode && !forLimit
    case architecture.SYSTEM_CALL_GATE:
      return !forLimit
    default:
      return false
  }
}

function describe(s: System, selector: number, forLimit: boolean): boolean {
  if (isNull(selector) || !readDescriptor(s, selector, descriptor)) return false
  if (!descriptor.isSegment && !isLarType(s, descriptor.type, forLimit)) return false
  return visible(s, selector, descriptor)
}

// @isa: complete   0F 02 /r   LAR   "SDM vol. 2A, LAR"
const lar: Handler = (s, record, form) => {
  const ok = describe(s, readOperand(s, record, form, 1, 2) & 0xffff, false)
  if (ok) s.writeRegister(registerOffset(s, record, 0), form.size, descriptor.high & 0x00ff_ff00, 0)
  setZero(s, ok)
  return S.STATUS_DONE
}

// @isa: complete   0F 03 /r   LSL   "SDM vol. 2A, LSL"
const lsl: Handler = (s, record, form) => {
  const ok = describe(s, readOperand(s, record, form, 1, 2) & 0xffff, true)
  if (ok) s.writeRegister(registerOffset(s, record, 0), form.size, descriptor.limit, 0)
  setZero(s, ok)
  return S.STATUS_DONE
}

/** VERR and VERW. */
function verify(write: boolean): Handler {
  return (s, record, form) => {
    const selector = readOperand(s, record, form, 0, 2) & 0xffff
    const ok =
      !isNull(selector) &&
      readDescriptor(s, selector, descriptor) &&
      descriptor.isSegment &&
      visible(s, selector, descriptor) &&
      (write ? descriptor.isWritableData : descriptor.isReadable)
    setZero(s, ok)
    return S.STATUS_DONE
  }
}

/** The operand has been checked for reading alone: segment limits are the same for a write, rights need not be. */
function requireWritable(s: System, segment: number): void {
  if ((s.segmentField(segment, S.SEG_RIGHTS) & S.SEG_CAN_WRITE) === 0)
    s.raise(segment === S.SS ? VECTOR_SS : VECTOR_GP, 0)
}

// @isa: complete   63 /r   ARPL   "SDM vol. 2A, ARPL"
const arpl: Handler = (s, record, form) => {
  const destination = readOperand(s, record, form, 0, 2) & 0xffff
  const source = s.u16[registerOffset(s, record, 1) >>> 1]! & 3
  const raise = (destination & 3) < source
  if (raise) {
    if (isMemory(form, 0)) requireWritable(s, segmentOf(s, record))
    writeOperand(s, record, form, 0, (destination & 0xfffc) | source, 2)
  }
  setZero(s, raise)
  return S.STATUS_DONE
}

/**
 * Reads and checks the upper half of a 16-byte descriptor: its base must be canonical.
 *
 * Source: AMD APM vol. 3, "LLDT" and "LTR": #GP(selector) for a base in non-canonical form; the SDM does not say.
 */
function requireSystemBase(s: System, d: Descriptor, error: number): void {
  requireUpperHalf(s, d, VECTOR_GP)
  if (!s.isCanonicalBase(d.upper)) s.raise(VECTOR_GP, error)
}

// @isa: complete   0F 00 /2   LLDT   "SDM vol. 2A, LLDT"
const lldt: Handler = (s, record, form) => {
  const selector = readOperand(s, record, form, 0, 2) & 0xffff
  if (isNull(selector)) {
    setNullLdt(s, selector)
    return S.STATUS_DONE
  }
  const error = selectorIndex(selector)
  if ((selector & 4) !== 0) s.raise(VECTOR_GP, error)
  requireDescriptor(s, selector, descriptor, VECTOR_GP)
  if (descriptor.isSegment || descriptor.type !== architecture.SYSTEM_LDT) s.raise(VECTOR_GP, error)
  if (!descriptor.present) s.raise(VECTOR_NP, error)
  if (s.longMode) requireSystemBase(s, descriptor, error)
  s.commit()
  setSegmentFrom(s, S.LDTR, selector, descriptor)
  return S.STATUS_DONE
}

// @isa: complete   0F 00 /3   LTR   "SDM vol. 2A, LTR"
const ltr: Handler = (s, record, form) => {
  const selector = readOperand(s, record, form, 0, 2) & 0xffff
  if (isNull(selector)) s.raise(VECTOR_GP, 0)
  const error = selectorIndex(selector)
  if ((selector & 4) !== 0) s.raise(VECTOR_GP, error)
  requireDescriptor(s, selector, descriptor, VECTOR_GP)
  const type = descriptor.type
  const fits = type === architecture.SYSTEM_TSS || (type === architecture.SYSTEM_TSS16 && !s.longMode)
  if (descriptor.isSegment || !fits) s.raise(VECTOR_GP, error)
  if (!descriptor.present) s.raise(VECTOR_NP, error)
  if (s.longMode) requireSystemBase(s, descriptor, error)
  descriptor.high |= architecture.TSS_BUSY_BIT << 8
  queueTypeByte(s, descriptor)
  s.commit()
  setSegmentFrom(s, S.TR, selector, descriptor)
  return S.STATUS_DONE
}

/** SLDT and STR. A register destination of 32 or 64 bits is zero-extended. */
function storeSystemSelector(segment: number): Handler {
  return (s, record, form) => {
    const size = isMemory(form, 0) ? 2 : sizeOf(form, 0)
    writeOperand(s, record, form, 0, s.segmentField(segment, S.SEG_SELECTOR), size)
    return S.STATUS_DONE
  }
}

/** LGDT and LIDT. With 16-bit operand size the base has 24 bits. */
function loadTable(segment: number): Handler {
  return (s, _record, form) => {
    const lo = s.get(S.S_EA)
    const hi = s.get(S.S_EA + 4)
    const limit = s.readAt(lo, hi, 0, 2)
    s.readAt(lo, hi, 2, s.mode64 ? 8 : 4)
    const baseHi = s.mode64 ? s.hi : 0
    if (s.mode64 && !s.isCanonicalBase(baseHi)) s.raise(VECTOR_GP, 0)
    setTableRegister(s, segment, form.size === 2 && !s.mode64 ? s.lo & 0xff_ffff : s.lo, baseHi, limit)
    return S.STATUS_DONE
  }
}

/** SGDT and SIDT. Outside 64-bit mode all 32 bits of the base are stored, whatever the operand size. */
function storeTable(segment: number): Handler {
  return (s) => {
    const lo = s.get(S.S_EA)
    const hi = s.get(S.S_EA + 4)
    const at = S.S_SEGMENTS + segment * S.SEG_BYTES
    s.writeAt(lo, hi, 0, 2, s.get(at + S.SEG_LIMIT))
    s.writeAt(lo, hi, 2, s.mode64 ? 8 : 4, s.get(at + S.SEG_BASE), s.get(at + S.SEG_BASE + 4))
    s.commit()
    return S.STATUS_DONE
  }
}

export const segmentHandlers: Readonly<Record<string, Handler>> = {
  LES: loadFarPointer(0),
  LDS: loadFarPointer(3),
  LSS: loadFarPointer(S.SS),
  LFS: loadFarPointer(4),
  LGS: loadFarPointer(5),
  LAR: gated(requireProtected, lar),
  LSL: gated(requireProtected, lsl),
  VERR: gated(requireProtected, verify(false)),
  VERW: gated(requireProtected, verify(true)),
  ARPL: gated(requireProtected, arpl),
  LLDT: gated(requireProtectedCpl0, lldt),
  LTR: gated(requireProtectedCpl0, ltr),
  SLDT: gated(requireProtectedUmip, storeSystemSelector(S.LDTR)),
  STR: gated(requireProtectedUmip, storeSystemSelector(S.TR)),
  LGDT: gated(kernelOnly, loadTable(S.GDTR)),
  LIDT: gated(kernelOnly, loadTable(S.IDTR)),
  SGDT: gated(checkUmip, storeTable(S.GDTR)),
  SIDT: gated(checkUmip, storeTable(S.IDTR)),
}

/** MOV to and from. */
export const segmentMoves: { readonly to: Handler; readonly from: Handler } = { to: movToSegment, from: movFromSegment }
