import { SLOW_STACK } from '../../state/host.ts'
import { VECTOR_GP, VECTOR_NP } from '../../state/vectors.ts'
import { CS, SEG_BASE, SEG_HIGH, SEG_SELECTOR, SS, S_EA, S_RIP } from '../../state/state-layout.ts'
import * as architecture from '../../state/architecture.ts'
import {
  CodeTarget,
  Descriptor,
  isNull,
  requireDescriptor,
  requireUpperHalf,
  selectorIndex,
  setSegmentFrom,
} from './descriptors.ts'
import { immediate, secondImmediate, type Handler } from '../operands.ts'
import {
  REAL_MODE_CODE_ATTRIBUTES,
  isUsable,
  setNullSegment,
  setRealModeSegment,
  setSegment,
  setV86Segment,
} from './segment-cache.ts'
import { PushStack, TssStack, checkInnerStack } from './stack-frames.ts'
import type { System } from '../system.ts'
import { TASK_CALL, TASK_JUMP, switchTask } from './task-switch.ts'

const gate = new Descriptor()
const target = new CodeTarget()
const stackDescriptor = new Descriptor()
const stack = new PushStack()
const tssStack = new TssStack()

/** Where a far pointer operand points: selector, and offset of `size` bytes. */
let pointerLo = 0
let pointerHi = 0
let pointerSelector = 0

/** Reads the far pointer: m16:16, m16:32, m16:64 at the effective address, or in the record. */
function readPointer(s: System, record: number, memory: boolean, size: number): void {
  if (memory) {
    const lo = s.get(S_EA)
    const hi = s.get(S_EA + 4)
    s.read(lo, hi, size, 0)
    pointerLo = s.lo
    pointerHi = s.hi
    pointerSelector = s.readAt(lo, hi, size, 2) & 0xffff
  } else {
    pointerLo = immediate(s, record)
    pointerHi = 0
    pointerSelector = secondImmediate(s, record) & 0xffff
  }
}

/** Loads CS as real mode or virtual-8086 mode does. */
export function setRealCode(s: System, selector: number, offset: number): void {
  if (s.v86) setV86Segment(s, CS, selector)
  else if (isUsable(s, CS)) {
    // The limit stays, as in "unreal" mode; a 32-bit segment left by protected mode becomes a 16-bit one.
    const limit = s.segmentField(CS, SEG_HIGH)
    setSegment(s, CS, selector, (selector << 4) >>> 0, 0, limit, REAL_MODE_CODE_ATTRIBUTES)
    setRealModeSegment(s, CS, selector)
  } else setRealModeSegment(s, CS, selector)
  s.set64(S_RIP, offset, 0)
  s.cpu.modeChanged()
}

/** Reads the descriptor that the pointer's selector names. @throws #GP for a null selector, and for one without a descriptor */
function readTarget(s: System): Descriptor {
  if (isNull(pointerSelector)) s.raise(VECTOR_GP, 0)
  requireDescriptor(s, pointerSelector, target.descriptor, VECTOR_GP)
  return target.descriptor
}

// @isa: complete   EA, FF /5   JMP far   "SDM vol. 2A, JMP"
const jumpFar: Handler = (s, record, form) => {
  const size = form.size
  readPointer(s, record, form.operands[0]?.kind === 'mem', size)
  if (s.realSegments) {
    const offset = size === 2 ? pointerLo & 0xffff : pointerLo
    if (offset > s.segmentField(CS, SEG_HIGH)) s.raise(VECTOR_GP, 0)
    setRealCode(s, pointerSelector, offset)
    return s.retired()
  }
  const d = readTarget(s)
  if (d.isSegment) {
    target.setOffset(pointerLo, pointerHi, size)
    checkDirect(s, pointerSelector)
    target.checkEntry(s)
    target.queueAccessed(s)
    s.commit()
    target.enter(s, pointerSelector, s.cpl)
    return s.retired()
  }
  const type = d.type
  if (type === architecture.SYSTEM_CALL_GATE || (type === architecture.SYSTEM_CALL_GATE16 && !s.longMode)) {
    openGate(s, pointerSelector)
    if (!(target.descriptor.isConforming || target.descriptor.dpl === s.cpl)) {
      s.raise(VECTOR_GP, selectorIndex(gate.gateSelector))
    }
    target.checkEntry(s)
    target.queueAccessed(s)
    s.commit()
    target.enter(s, gate.gateSelector, s.cpl)
    return s.retired()
  }
  return toTask(s, record, TASK_JUMP)
}

// @isa: complete   9A, FF /3   CALL far   "SDM vol. 2A, CALL"
const callFar: Handler = (s, record, form) => {
  const size = form.size
  readPointer(s, record, form.operands[0]?.kind === 'mem', size)
  const oldCs = s.segmentField(CS, SEG_SELECTOR)
  if (s.realSegments) {
    const offset = size === 2 ? pointerLo & 0xffff : pointerLo
    stack.useCurrent(s)
    stack.push(s, size, oldCs)
    s.nextRip(record)
    stack.push(s, size, s.lo)
    stack.finish(s)
    if (offset > s.segmentField(CS, SEG_HIGH)) s.raise(VECTOR_GP, 0)
    s.commit()
    stack.store(s)
    setRealCode(s, pointerSelector, offset)
    return s.retired()
  }
  const d = readTarget(s)
  if (d.isSegment) {
    target.setOffset(pointerLo, pointerHi, size)
    checkDirect(s, pointerSelector)
    target.checkPresent(s)
    stack.useCurrent(s)
    pushReturn(s, record, size, oldCs)
    target.checkOffset(s)
    target.queueAccessed(s)
    s.commit()
    stack.store(s)
    target.enter(s, pointerSelector, s.cpl)
    return s.retired()
  }
  const type = d.type
  if (type === architecture.SYSTEM_CALL_GATE || (type === architecture.SYSTEM_CALL_GATE16 && !s.longMode)) {
    openGate(s, pointerSelector)
    return callThroughGate(s, record, oldCs)
  }
  return toTask(s, record, TASK_CALL)
}

function pushReturn(s: System, record: number, size: number, oldCs: number): void {
  stack.push(s, size, oldCs)
  s.nextRip(record)
  stack.push(s, size, s.lo, s.hi)
  stack.finish(s)
}

/** A code segment that is named directly. */
function checkDirect(s: System, selector: number): void {
  const d = target.descriptor
  const error = selectorIndex(selector)
  if (!d.isCode) s.raise(VECTOR_GP, error)
  target.checkLongBits(s)
  if (d.isConforming ? d.dpl > s.cpl : (selector & 3) > s.cpl || d.dpl !== s.cpl) s.raise(VECTOR_GP, error)
}

/**
 * Takes what `target` has read for a call gate, checks it, and reads the code segment that it leads to.
 *
 * Source: SDM vol. 3A, "Call Gates", "IA-32e Mode Call Gates", "Accessing a Code Segment Through a Call Gate".
 */
function openGate(s: System, selector: number): void {
  const error = selectorIndex(selector)
  const d = target.descriptor
  gate.selector = d.selector
  gate.addressLo = d.addressLo
  gate.addressHi = d.addressHi
  gate.low = d.low
  gate.high = d.high
  gate.upper = 0
  if (gate.dpl < s.cpl || gate.dpl < (selector & 3)) s.raise(VECTOR_GP, error)
  if (s.longMode) requireUpperHalf(s, gate, VECTOR_GP)
  if (!gate.present) s.raise(VECTOR_NP, error)
  const inner = gate.gateSelector
  if (isNull(inner)) s.raise(VECTOR_GP, 0)
  requireDescriptor(s, inner, d, VECTOR_GP)
  if (!d.isCode || d.dpl > s.cpl) s.raise(VECTOR_GP, selectorIndex(inner))
  if (s.longMode && (!d.isLong || d.isBig)) s.raise(VECTOR_GP, selectorIndex(inner))
  target.setOffset(gate.gateOffset, gate.upper, s.longMode ? 8 : gate.type === architecture.SYSTEM_CALL_GATE16 ? 2 : 4)
}

function callThroughGate(s: System, record: number, oldCs: number): number {
  const d = target.descriptor
  const size = s.longMode ? 8 : gate.type === architecture.SYSTEM_CALL_GATE16 ? 2 : 4
  target.checkPresent(s)
  if (d.isConforming || d.dpl === s.cpl) {
    if (s.longMode) stack.useLong(s, s.gpr(architecture.RSP), s.mode64 ? s.gprHi(architecture.RSP) : 0, false)
    else stack.useCurrent(s)
    pushReturn(s, record, size, oldCs)
    target.checkOffset(s)
    target.queueAccessed(s)
    s.commit()
    stack.store(s)
    target.enter(s, gate.gateSelector, s.cpl)
    return s.retired()
  }
  const level = d.dpl
  const oldSs = s.segmentField(SS, SEG_SELECTOR)
  if (s.longMode) {
    tssStack.readLong(s, level)
    stack.useLong(s, tssStack.lo, tssStack.hi, true)
    stack.push(s, 8, oldSs)
    stack.push(s, 8, s.gpr(architecture.RSP), s.mode64 ? s.gprHi(architecture.RSP) : 0)
  } else {
    tssStack.readLegacy(s, level)
    checkInnerStack(s, tssStack.selector, level, stackDescriptor)
    stack.useDescriptor(s, stackDescriptor, tssStack.lo)
    stack.push(s, size, oldSs)
    stack.push(s, size, s.gpr(architecture.RSP))
    copyParameters(s, gate.gateParameters, size)
  }
  pushReturn(s, record, size, oldCs)
  target.checkOffset(s)
  target.queueAccessed(s)
  s.commit()
  if (s.longMode) setNullSegment(s, SS, level)
  else setSegmentFrom(s, SS, tssStack.selector, stackDescriptor)
  stack.store(s)
  target.enter(s, gate.gateSelector, level)
  return s.retired()
}

/** Copies `count` parameters from the caller's stack to the new one, the deepest first. */
function copyParameters(s: System, count: number, size: number): void {
  const base = s.segmentField(SS, SEG_BASE)
  const narrow = s.stackAddressSize === 2
  for (let i = count - 1; i >= 0; i--) {
    const offset = s.gpr(architecture.RSP) + i * size
    s.linear(SS, narrow ? offset & 0xffff : offset >>> 0, 0, size, false)
    s.read((base + (narrow ? offset & 0xffff : offset)) >>> 0, 0, size, SLOW_STACK)
    stack.push(s, size, s.lo)
  }
}

/** JMP or CALL to a TSS or a task gate; `target` holds its descriptor. */
function toTask(s: System, record: number, kind: number): number {
  const d = target.descriptor
  const error = selectorIndex(d.selector)
  const type = d.type
  const isGate = type === architecture.SYSTEM_TASK_GATE
  const isTss = type === architecture.SYSTEM_TSS || type === architecture.SYSTEM_TSS16
  if (s.longMode || !(isGate || isTss)) s.raise(VECTOR_GP, error)
  if (d.dpl < s.cpl || d.dpl < (d.selector & 3)) s.raise(VECTOR_GP, error)
  if (!d.present) s.raise(VECTOR_NP, error)
  s.nextRip(record)
  return switchTask(s, { selector: isGate ? d.gateSelector : d.selector, kind, returnIp: s.lo })
}

export const farHandlers: Readonly<Record<string, Handler>> = { JMPF: jumpFar, CALLF: callFar }
