import { SLOW_IMPLICIT } from '../../state/host.ts'
import { VECTOR_GP, VECTOR_NP } from '../../state/vectors.ts'
import * as S from '../../state/state-layout.ts'
import * as architecture from '../../state/architecture.ts'
import { CodeTarget, Descriptor, isNull, requireDescriptor, selectorIndex, setSegmentFrom } from './descriptors.ts'
import { setRealCode } from './far-transfer.ts'
import { setNullSegment } from './segment-cache.ts'
import { PushStack, TssStack, checkInnerStack } from './stack-frames.ts'
import type { System } from '../system.ts'
import { TASK_INTERRUPT, switchTask } from './task-switch.ts'

const gate = new Descriptor()
const target = new CodeTarget()
const stackDescriptor = new Descriptor()
const stack = new PushStack()
const tssStack = new TssStack()

/** INT n: gate DPL is checked, and in virtual-8086 mode IOPL and the redirection map. */
export const SOURCE_INT_N = 1
/** INT3, INTO: gate DPL is checked. */
export const SOURCE_INT3 = 2
/** Everything else: interrupts, exceptions, NMI, INT1. */
export const SOURCE_EVENT = 0

/** The values that delivery pushes, and their origin; filled in by the caller of {@link deliver}. */
export class Delivery {
  vector = 0
  source: number = SOURCE_EVENT
  hasError = false
  errorCode = 0
  /** Of an event, what CR2 is to hold. */
  addressLo = 0
  addressHi = 0
  /** RIP to return to. */
  returnLo = 0
  returnHi = 0
  /** RF in the pushed image is set. */
  resume = false
}

/**
 * Delivers an interrupt or exception: the gate, the stack, the pushes, CS:RIP and RFLAGS. A failure is raised as an exception of
 * its own, before anything has changed; `s.ext` goes into its error code.
 *
 * Source: SDM vol. 2A, "INT n/INTO/INT3/INT1"; vol. 3A, "Exception- or Interrupt-Handler Procedures", "64-Bit Mode Stack
 * Frame", "Stack Switching in IA-32e Mode".
 */
export function deliver(s: System, what: Delivery): void {
  if (!s.protectedMode) {
    throughVectorTable(s, what, s.segmentField(S.IDTR, S.SEG_BASE), s.segmentField(S.IDTR, S.SEG_LIMIT))
    return
  }
  if (s.v86 && what.source === SOURCE_INT_N && !isForIdt(s, what.vector)) {
    throughVectorTable(s, what, 0, 0x3ff)
    return
  }
  throughIdt(s, what)
}

function image(s: System, what: Delivery): number {
  const flags = s.cpu.materialiseFlags()
  return what.resume ? flags | S.FLAG_RF : flags
}

/**
 * INT n in virtual-8086 mode: whether the protected-mode handler is called (else the 8086 program's own).
 *
 * Source: SDM vol. 3B, "Handling Interrupts and Exceptions in Virtual-8086 Mode", table "Software Interrupt Handling".
 */
function isForIdt(s: System, vector: number): boolean {
  if ((s.get(S.S_CR4) & architecture.CR4_VME) === 0) {
    if (s.iopl < 3) s.raise(VECTOR_GP, 0)
    return true
  }
  const limit = s.segmentField(S.TR, S.SEG_LIMIT)
  const base = s.segmentField(S.TR, S.SEG_BASE)
  if ((s.attributes(S.TR) & architecture.ATTR_TYPE) < architecture.SYSTEM_TSS || limit < 0x67) s.raise(VECTOR_GP, 0)
  const map = s.readSystem((base + 0x66) >>> 0, 0, 2)
  const at = map - 32 + (vector >>> 3)
  if (at > limit || at < 0) s.raise(VECTOR_GP, 0)
  const redirected = ((s.readSystem((base + at) >>> 0, 0, 1) >>> (vector & 7)) & 1) === 0
  if (redirected) return false
  if (s.iopl < 3) s.raise(VECTOR_GP, 0)
  return true
}

/** Real mode, and redirected software interrupts of virtual-8086 mode: a table of far pointers. */
function throughVectorTable(s: System, what: Delivery, base: number, limit: number): void {
  const entry = what.vector * 4
  if (entry + 3 > limit) s.raise(VECTOR_GP, entry | architecture.ERROR_IDT)
  const offset = s.readSystem((base + entry) >>> 0, 0, 2)
  const selector = s.readSystem((base + entry + 2) >>> 0, 0, 2)
  const v86 = s.v86
  const virtual = v86 && s.iopl < 3
  const flags = image(s, what)
  let pushed = flags
  if (virtual) {
    // The program sees its virtual IF, and an IOPL of 3.
    pushed = (flags & ~S.FLAG_IF) | ((flags & S.FLAG_VIF) === 0 ? 0 : S.FLAG_IF) | S.FLAG_IOPL
  }
  stack.useCurrent(s)
  stack.push(s, 2, pushed & 0xffff)
  stack.push(s, 2, s.segmentField(S.CS, S.SEG_SELECTOR))
  stack.push(s, 2, what.returnLo & 0xffff)
  stack.finish(s)
  if (offset > s.segmentField(S.CS, S.SEG_LIMIT)) s.raise(VECTOR_GP, 0)
  s.commit()
  stack.store(s)
  let cleared = S.FLAG_TF | S.FLAG_RF | (virtual ? S.FLAG_VIF : S.FLAG_IF)
  cleared |= v86 ? S.FLAG_NT : S.FLAG_AC
  s.cpu.setRflags((flags & ~cleared) | architecture.FLAG_FIXED)
  setRealCode(s, selector, offset)
}

function readGate(s: System, what: Delivery): void {
  const long = s.longMode
  const entry = what.vector * (long ? 16 : 8)
  const error = what.vector * 8 + architecture.ERROR_IDT
  if (entry + (long ? 15 : 7) > s.segmentField(S.IDTR, S.SEG_LIMIT)) s.raise(VECTOR_GP, error)
  const baseLo = s.segmentField(S.IDTR, S.SEG_BASE)
  const baseHi = s.segmentField(S.IDTR, S.SEG_BASE + 4)
  const at = (baseLo + entry) >>> 0
  const atHi = s.carryHi(baseLo, baseHi, entry)
  if (long) {
    // Bits 12:8 of the upper half are not checked for IDT gates.
    s.check(s.cpu.access(at, atHi, 16 | SLOW_IMPLICIT))
    gate.low = s.get(S.S_DATA)
    gate.high = s.get(S.S_DATA + 4)
    gate.upper = s.get(S.S_DATA + 8)
  } else {
    s.read(at, atHi, 8, SLOW_IMPLICIT)
    gate.low = s.lo
    gate.high = s.hi
    gate.upper = 0
  }
  const type = gate.type
  const known =
    type === architecture.SYSTEM_INTERRUPT_GATE ||
    type === architecture.SYSTEM_TRAP_GATE ||
    (!long &&
      (type === architecture.SYSTEM_INTERRUPT_GATE16 ||
        type === architecture.SYSTEM_TRAP_GATE16 ||
        type === architecture.SYSTEM_TASK_GATE))
  if (gate.isSegment || !known) s.raise(VECTOR_GP, error)
  if (what.source !== SOURCE_EVENT && gate.dpl < s.cpl) s.raise(VECTOR_GP, error)
  if (!gate.present) s.raise(VECTOR_NP, error)
}

function throughIdt(s: System, what: Delivery): void {
  readGate(s, what)
  const type = gate.type
  if (type === architecture.SYSTEM_TASK_GATE) {
    switchTask(s, {
      selector: gate.gateSelector,
      kind: TASK_INTERRUPT,
      returnIp: what.returnLo,
      errorCode: what.hasError ? what.errorCode : undefined,
      resume: what.resume,
    })
    return
  }
  const selector = gate.gateSelector
  if (isNull(selector)) s.raise(VECTOR_GP, 0)
  const error = selectorIndex(selector)
  const d = target.descriptor
  requireDescriptor(s, selector, d, VECTOR_GP)
  const cpl = s.cpl
  if (!d.isCode || d.dpl > cpl) s.raise(VECTOR_GP, error)
  const long = s.longMode
  if (long && (!d.isLong || d.isBig)) s.raise(VECTOR_GP, error)
  if (!d.present) s.raise(VECTOR_NP, error)
  const inner = !d.isConforming && d.dpl < cpl
  if (s.v86 && (!inner || d.dpl !== 0)) s.raise(VECTOR_GP, error)
  const size = long ? 8 : type === architecture.SYSTEM_INTERRUPT_GATE || type === architecture.SYSTEM_TRAP_GATE ? 4 : 2
  const level = inner ? d.dpl : cpl
  target.setOffset(gate.gateOffset, gate.upper, size)
  const flags = image(s, what)
  if (long) pushLong(s, inner, level)
  else pushLegacy(s, inner, level, size)
  stack.push(s, size, flags)
  stack.push(s, size, s.segmentField(S.CS, S.SEG_SELECTOR))
  stack.push(s, size, what.returnLo, what.returnHi)
  if (what.hasError) stack.push(s, size, what.errorCode)
  stack.finish(s)
  target.checkOffset(s)
  target.queueAccessed(s)
  s.commit()
  const v86 = s.v86
  const interrupt = (type & 1) === 0
  s.cpu.setRflags(
    (flags & ~(S.FLAG_TF | S.FLAG_NT | S.FLAG_VM | S.FLAG_RF | (interrupt ? S.FLAG_IF : 0))) | architecture.FLAG_FIXED,
  )
  if (inner) {
    if (long) setNullSegment(s, S.SS, level)
    else setSegmentFrom(s, S.SS, tssStack.selector, stackDescriptor)
  }
  if (v86) {
    setNullSegment(s, S.ES, 0)
    setNullSegment(s, S.DS, 0)
    setNullSegment(s, S.FS, 0)
    setNullSegment(s, S.GS, 0)
  }
  stack.store(s)
  target.enter(s, selector, level)
}

/** IA-32e mode: SS:RSP are pushed whatever happens, on a stack aligned to 16 bytes. */
function pushLong(s: System, inner: boolean, level: number): void {
  const ist = gate.high & 7
  const oldLo = s.gpr(architecture.RSP)
  const oldHi = s.mode64 ? s.gprHi(architecture.RSP) : 0
  if (ist !== 0) {
    tssStack.readLong(s, 3 + ist)
    stack.useLong(s, tssStack.lo, tssStack.hi, inner)
  } else if (inner) {
    tssStack.readLong(s, level)
    stack.useLong(s, tssStack.lo, tssStack.hi, true)
  } else stack.useLong(s, oldLo, oldHi, false)
  stack.align16()
  stack.push(s, 8, s.segmentField(S.SS, S.SEG_SELECTOR))
  stack.push(s, 8, oldLo, oldHi)
}

function pushLegacy(s: System, inner: boolean, level: number, size: number): void {
  if (!inner) {
    stack.useCurrent(s)
    return
  }
  tssStack.readLegacy(s, level)
  checkInnerStack(s, tssStack.selector, level, stackDescriptor)
  stack.useDescriptor(s, stackDescriptor, tssStack.lo)
  if (s.v86) {
    stack.push(s, size, s.segmentField(S.GS, S.SEG_SELECTOR))
    stack.push(s, size, s.segmentField(S.FS, S.SEG_SELECTOR))
    stack.push(s, size, s.segmentField(S.DS, S.SEG_SELECTOR))
    stack.push(s, size, s.segmentField(S.ES, S.SEG_SELECTOR))
  }
  stack.push(s, size, s.segmentField(S.SS, S.SEG_SELECTOR))
  stack.push(s, size, s.gpr(architecture.RSP))
}
