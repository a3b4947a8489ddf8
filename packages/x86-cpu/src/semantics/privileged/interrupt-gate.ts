import { I32, type I64 } from '@retrap/wasm-emitter'
import * as S from '../../state/state-layout.ts'
import { ATTR_DB, ATTR_L, ATTR_TYPE, FLAG_FIXED, FLAT_STACK, RSP } from '../../state/architecture.ts'
import type { Context } from '../context.ts'
import { hasBreakpoints, isWhole, leaveIf, requireCanonical, requireCode, requireMode } from './flat-segments.ts'
import {
  field,
  implicitAddress,
  requireExecuteMode,
  segmentAt,
  setFlags,
  setFlatCode,
  supervisorSet,
  useSet,
} from './privilege.ts'
import { attributesOf, dataSegmentSetter, descriptorReader, nullSegmentSetter } from './segment-registers.ts'

/**
 * The delivery of exceptions and interrupts to privilege level 0, from there or from level 3, through a gate of the current
 * size: where all that is read and written lies in the TLB, code and stack are flat, and no stack of the interrupt stack
 * table is used. All other cases are in `system/segments/interrupt-delivery.ts`.
 */

/** A gate's upper word: present, a system descriptor, type 14 or 15. */
const GATE_MASK = 0x9e00
const GATE = 0x8e00
/** Bit of the type that a trap gate has and an interrupt gate has not. */
const GATE_TRAP = 0x100
const GATE_IST = 7
/** A bit of the type of 32-bit task-state segments. */
const TSS_32 = 8
/** Bytes below the stack pointer that hold the longest frame. */
const FRAME_WORDS = 6

function implicit(c: Context, at: I64, bytes: number, table: number): I32 {
  return implicitAddress(c.f, c.state, c.let(at), bytes, table, () => c.useHandler())
}

function base(c: Context, segment: number): I64 {
  return c.f.loadExpression('i64.load', c.state, segmentAt(segment, S.SEG_BASE))
}

/** A selector of the GDT with an RPL of 0 that is not null. */
function requirePlainSelector(c: Context, selector: I32): void {
  leaveIf(c, selector.and(7).ne(0).or(selector.eqz()))
}

/** Where RSP of level 0 is, from the task-state segment. */
function innerPointer(c: Context): I64 {
  leaveIf(c, field(c, segmentAt(S.TR, S.SEG_LIMIT)).ltU(11))
  return c.let(c.f.loadExpression('i64.load', implicit(c, base(c, S.TR).add(4), 8, S.TLB_READ)))
}

/** SS:ESP of level 0: the descriptor of a flat stack, and the pointer. */
function innerStack(c: Context): { readonly selector: I32; readonly descriptor: I64; readonly pointer: I64 } {
  const { f } = c
  const type = field(c, segmentAt(S.TR, S.SEG_ATTRIBUTES)).and(ATTR_TYPE)
  leaveIf(c, field(c, segmentAt(S.TR, S.SEG_LIMIT)).ltU(9).or(type.and(TSS_32).eqz()))
  const at = c.let(implicit(c, base(c, S.TR).add(4), 6, S.TLB_READ))
  const selector = c.let(f.loadExpression('i32.load16_u', at, 4))
  requirePlainSelector(c, selector)
  const descriptor = c.let(f.call(descriptorReader(c), c.state, selector) as I64)
  leaveIf(c, attributesOf(descriptor).ne(FLAT_STACK).or(isWhole(descriptor).eqz()))
  return { selector, descriptor, pointer: c.let(f.loadExpression('i64.load32_u', at)) }
}

/** Emits the delivery; the size of the form is that of a word on the stack. */
export function deliverThroughGate(c: Context): void {
  const { f, state } = c
  const { size } = c.form
  const isLong = size === 8
  requireMode(c, size)
  const level = field(c, S.S_CPL)
  leaveIf(
    c,
    field(c, S.S_LOGGED)
      .or(hasBreakpoints(c))
      .or(level.ne(0).and(level.ne(3))),
  )

  const entry = c.let(field(c, S.EVENT_VECTOR).mul(2 * size))
  leaveIf(c, entry.add(2 * size - 1).gtU(field(c, segmentAt(S.IDTR, S.SEG_LIMIT))))
  const gate = c.let(implicit(c, base(c, S.IDTR).add(entry.toI64U()), 2 * size, S.TLB_READ))
  const low = c.let(f.loadExpression('i32.load', gate))
  const high = c.let(f.loadExpression('i32.load', gate, 4))
  leaveIf(c, high.and(GATE_MASK).ne(GATE))
  if (isLong) leaveIf(c, high.and(GATE_IST))
  const selector = c.let(low.shrU(16))
  requirePlainSelector(c, selector)
  requireCode(c, selector, size)
  const offset = low.and(0xffff).or(high.and(0xffff_0000)).toI64U()
  const target = c.let(isLong ? offset.or(f.loadExpression('i64.load32_u', gate, 8).shl(32)) : offset)
  requireCanonical(c, target, size)

  const image = c.let(field(c, S.S_EFLAGS).or(c.allFlags()).or(FLAG_FIXED))
  const masked = high
    .and(GATE_TRAP)
    .eqz()
    .mul(S.FLAG_IF)
    .or(S.FLAG_TF | S.FLAG_NT | S.FLAG_VM | S.FLAG_RF)
  const after = c.let(image.and(masked.xor(-1)))
  const set = supervisorSet(c, after)
  requireExecuteMode(c, set)

  const pointer = f.local('i64')
  f.set(pointer, c.gprU(RSP, size))
  const before = c.let(pointer.get)
  const inner = c.let(level.ne(0))
  const stackSelector = f.local('i32')
  const stackDescriptor = f.local('i64')
  f.if(inner, () => {
    if (isLong) {
      f.set(pointer, innerPointer(c))
      return
    }
    const stack = innerStack(c)
    f.set(stackSelector, stack.selector)
    f.set(stackDescriptor, stack.descriptor)
    f.set(pointer, stack.pointer)
  })
  // In IA-32e mode the frame is aligned, and has SS:RSP always.
  const top = c.let(isLong ? pointer.get.and(-16n) : pointer.get)
  const lowest = c.let(top.sub(FRAME_WORDS * size))
  const bottom = c.let(implicit(c, isLong ? lowest : lowest.and(0xffff_ffffn), FRAME_WORDS * size, S.TLB_WRITE_OFFSET))

  // Nothing can fail from here on.
  const flags = c.let(field(c, S.EVENT_FLAGS))
  const pushed = image.or(flags.and(S.EVENT_RESUMES).ne(0).mul(S.FLAG_RF))
  const outer = isLong ? I32.of(0) : inner.eqz().mul(2 * size)
  // SS:RSP are not there without a change of level outside IA-32e mode: the rest lies higher by as much.
  const frame = c.let(bottom.add(outer))
  const put = (i: number, value: I64): void => f.store(isLong ? 'i64.store' : 'i64.store32', frame, value, i * size)
  const selectorOf = (segment: number): I64 =>
    f.loadExpression('i64.load32_u', state, segmentAt(segment, S.SEG_SELECTOR))
  const putStack = (): void => {
    put(5, selectorOf(S.SS))
    put(4, before)
  }
  if (isLong) putStack()
  else f.if(inner, putStack)
  put(3, pushed.toI64U())
  put(2, selectorOf(S.CS))
  put(1, f.loadExpression('i64.load', state, S.S_RIP))
  const hasError = c.let(flags.and(S.EVENT_HAS_ERROR))
  f.if(hasError, () => put(0, f.loadExpression('i64.load32_u', state, S.EVENT_ERROR)))
  const distance = c.let(outer.add(hasError.eqz().mul(size)).toI64U())
  c.setGpr(RSP, size, lowest.add(distance))

  f.if(inner, () => {
    const stack = state.add(segmentAt(S.SS, 0))
    if (isLong) f.call(nullSegmentSetter(c), stack, I32.of(0))
    else f.call(dataSegmentSetter(c), stack, stackSelector.get, stackDescriptor.get)
  })
  setFlatCode(c, 0, selector, isLong ? ATTR_L : ATTR_DB)
  f.store('i32.store', state, I32.of(0), S.S_CPL)
  setFlags(c, after)
  useSet(c, set)
  c.jumpLinear(target)
}
