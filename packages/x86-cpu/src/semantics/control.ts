import { I32, I64 } from '@retrap/wasm-emitter'
import { R_IMM } from '../state/record.ts'
import * as S from '../state/state-layout.ts'
import { SLOW_STACK, SLOW_WRITE } from '../state/host.ts'
import { VECTOR_GP } from '../state/vectors.ts'
import { loadOp, storeOp, zeroExtend } from './integer.ts'
import type { Context, Semantics, SemanticsTable } from './context.ts'
import { CONDITIONS } from './move.ts'

/** Stack and near control flow. Source: Intel SDM vol. 2, the pages of each instruction; vol. 1, "Stack Behavior in 64-Bit Mode". */

const RCX = 1
const RSP = 4
const RBP = 5
/** Bit 14 of SEG_ATTRIBUTES: D/B. */
const ATTRIBUTE_BIG = 1 << 14

/** Where the stack pointer goes, and how it is written: ESP or SP outside 64-bit mode. */
export interface StackSlot {
  /** Linear address of the slot. */
  readonly ea: I64
  /** Writes the stack pointer; last thing to do. */
  commit(): void
}

/** Mask of the stack pointer: SS.B decides. */
function stackMask(c: Context): I64 {
  const attributes = c.f.loadExpression('i32.load', c.state, S.S_SEGMENTS + S.SEG_BYTES * S.SS + S.SEG_ATTRIBUTES)
  return c.let(
    c.f.ifElse(
      'i64',
      attributes.and(ATTRIBUTE_BIG),
      () => I64.of(0xffff_ffffn),
      () => I64.of(0xffffn),
    ),
  )
}

function setMaskedPointer(c: Context, register: number, mask: I64, value: I64): void {
  c.f.if(
    mask.eq(0xffffn),
    () => c.f.store('i64.store16', c.state, value, S.S_GPR + 8 * register),
    () => c.f.store('i64.store', c.state, value.and(0xffff_ffffn), S.S_GPR + 8 * register),
  )
}

function checkStack(c: Context, offset: I64, size: number, write: boolean): I64 {
  const ea = c.f.call(
    c.library.checkSegment,
    c.state,
    I32.of(S.SS),
    offset,
    I32.of(size | (write ? SLOW_WRITE : 0)),
  ) as I64
  c.f.if(c.f.loadExpression('i32.load', c.state, S.S_FAULT_VECTOR).ne(-1), () => c.fail(S.STATUS_FAULT))
  return ea
}

/** A slot outside 64-bit mode: a flat stack segment, which is nearly all there is, or one whose size and limit are looked at. */
function legacySlot(c: Context, pointer: I64, size: number, write: boolean): { mask: I64; offset: I64; ea: I64 } {
  const f = c.f
  const flat = f
    .loadExpression('i32.load8_u', c.state, S.S_SEGMENTS + S.SEG_BYTES * S.SS + S.SEG_RIGHTS)
    .and(S.SEG_FLAT)
  if ((flat.known ?? 0) !== 0) {
    const known = c.let(pointer.and(0xffff_ffffn))
    return { mask: I64.of(0xffff_ffffn), offset: known, ea: known }
  }
  const [mask, offset, ea] = [f.local('i64'), f.local('i64'), f.local('i64')]
  f.if(
    flat,
    () => {
      f.set(mask, I64.of(0xffff_ffffn))
      f.set(offset, pointer.and(0xffff_ffffn))
      f.set(ea, offset.get)
    },
    () => {
      f.set(mask, stackMask(c))
      f.set(offset, pointer.and(mask.get))
      f.set(ea, checkStack(c, offset.get, size, write))
    },
  )
  return { mask: mask.get, offset: offset.get, ea: ea.get }
}

export function pushSlot(c: Context, size: number): StackSlot {
  if (c.form.long) {
    const ea = c.let(c.gprU(RSP, 8).sub(size))
    return { ea, commit: () => c.setGpr(RSP, 8, ea) }
  }
  const { mask, offset, ea } = legacySlot(c, c.gprU(RSP, 4).sub(size), size, true)
  return { ea, commit: () => setMaskedPointer(c, RSP, mask, offset) }
}

/** `extra` bytes are released beyond the slot (RET imm16). */
export function popSlot(c: Context, size: number, extra: I64 = I64.of(0)): StackSlot {
  if (c.form.long) {
    const ea = c.gprU(RSP, 8)
    return { ea, commit: () => c.setGpr(RSP, 8, ea.add(size).add(extra)) }
  }
  const { mask, offset, ea } = legacySlot(c, c.gprU(RSP, 4), size, false)
  return {
    ea,
    commit: () => setMaskedPointer(c, RSP, mask, offset.add(size).add(extra)),
  }
}

export function storeStack(c: Context, ea: I64, size: number, value: I64): void {
  c.storeMemory(storeOp(size), ea, size, value, SLOW_STACK)
}

export function loadStack(c: Context, ea: I64, size: number): I64 {
  return c.loadMemory(loadOp(size, false), ea, size, SLOW_STACK)
}

function push(c: Context): void {
  const size = c.form.size
  if (c.kindOf(0) === 'mem') c.reserve(c.address(0), () => pushSlot(c, size).ea, size, SLOW_STACK)
  const value = c.readS(0)
  const slot = pushSlot(c, size)
  storeStack(c, slot.ea, size, value)
  slot.commit()
}

/** The pointer moves before the destination is written, so that POP RSP keeps what was popped. A memory operand based on RSP has the size in its displacement already. */
function pop(c: Context): void {
  const size = c.form.size
  const slot = popSlot(c, size)
  const value = loadStack(c, slot.ea, size)
  if (c.kindOf(0) === 'mem') {
    c.write(0, value)
    slot.commit()
  } else {
    slot.commit()
    c.write(0, value)
  }
}

/** Raises #GP(0) unless a computed target may be jumped to: canonical in 64-bit mode, within the code segment else. */
export function checkTarget(c: Context, target: I64): void {
  if (c.form.long) {
    const shift = c.let(c.f.loadExpression('i64.load', c.state, S.S_CANONICAL_SHIFT))
    c.f.if(target.shl(shift).shrS(shift).ne(target), () => c.raise(VECTOR_GP, 0))
  } else {
    const limit = c.f.loadExpression('i64.load32_u', c.state, S.S_SEGMENTS + S.SEG_BYTES * S.CS + S.SEG_LIMIT)
    c.f.if(target.gtU(limit), () => c.raise(VECTOR_GP, 0))
  }
}

/** Linear address of an offset in the code segment that has been checked. */
function linearOf(c: Context, target: I64): I64 {
  return c.form.long ? target : c.let(c.segmentBase(S.CS).add(target).and(0xffff_ffffn))
}

/** The target of a relative branch outside the page: an offset in the code segment, checked; in 64-bit mode a linear address. */
function relativeTarget(c: Context): I64 {
  if (c.form.long) {
    const linear = c.pageBase().add(c.immediate())
    // AMD's processors take an operand-size prefix here as elsewhere: the target is 16 bits wide. Intel's ignore it.
    return c.let(c.form.size === 2 ? zeroExtend(linear, 2) : linear)
  }
  const target = c.let(zeroExtend(c.nextRip().add(c.immediate()), c.form.size))
  checkTarget(c, target)
  return target
}

function isInPage(c: Context): boolean {
  return c.kindOf(0) === 'relp' || c.kindOf(0) === 'relf'
}

function jumpRelative(c: Context): void {
  if (isInPage(c)) c.jumpInPage(c.f.loadExpression('i32.load', c.record, R_IMM), c.kindOf(0) === 'relf')
  else c.jumpFar(linearOf(c, relativeTarget(c)))
}

/** A computed target, zero-extended from the operand size. */
function computedTarget(c: Context): I64 {
  const target = c.readU(0)
  checkTarget(c, target)
  return target
}

function call(c: Context): void {
  const size = c.form.size
  const kind = c.kindOf(0)
  const target = isInPage(c) ? undefined : kind === 'rel' ? relativeTarget(c) : computedTarget(c)
  const returnTo = c.let(c.nextRip())
  const slot = pushSlot(c, size)
  storeStack(c, slot.ea, size, returnTo)
  slot.commit()
  c.noteReturn()
  if (target === undefined) jumpRelative(c)
  else if (kind === 'rel') c.jumpFar(linearOf(c, target))
  else c.jumpLinear(linearOf(c, target))
}

function ret(c: Context): void {
  const size = c.form.size
  const release = c.form.operands.length === 0 ? I64.of(0) : c.let(c.immediate())
  const slot = popSlot(c, size, release)
  const target = loadStack(c, slot.ea, size)
  checkTarget(c, target)
  slot.commit()
  c.jumpBack(linearOf(c, target))
}

function leave(c: Context): void {
  const size = c.form.size
  if (c.form.long) {
    const frame = c.gprU(RBP, 8)
    const value = loadStack(c, frame, size)
    c.setGpr(RSP, 8, frame.add(size))
    c.setGpr(RBP, size, value)
    return
  }
  const mask = stackMask(c)
  const offset = c.let(c.gprU(RBP, 4).and(mask))
  const value = loadStack(c, checkStack(c, offset, size, false), size)
  setMaskedPointer(c, RSP, mask, offset.add(size))
  c.setGpr(RBP, size, value)
}

function jumpIf(c: Context, condition: I32): void {
  c.f.if(condition, () => jumpRelative(c))
}

/** LOOP, LOOPE, LOOPNE: the count is CX, ECX or RCX by address size, written only when the branch is known to be legal. */
function loop(c: Context, zero: boolean | undefined): void {
  const size = c.form.addressSize
  const count = c.let(zeroExtend(c.gprU(RCX, size).sub(1), size))
  let taken = count.ne(0)
  if (zero !== undefined) taken = taken.and(zero ? c.condition(4) : c.condition(5))
  taken = c.let(taken)
  if (c.kindOf(0) === 'rel') {
    const target = c.f.local('i64')
    c.f.if(taken, () => c.f.set(target, relativeTarget(c)))
    c.setGpr(RCX, size, count)
    c.f.if(taken, () => c.jumpFar(linearOf(c, target.get)))
  } else {
    c.setGpr(RCX, size, count)
    c.f.if(taken, () => jumpRelative(c))
  }
}

export const control: SemanticsTable = {
  PUSH: { emit: push },
  POP: { emit: pop },
  LEAVE: { direct: true, emit: leave },
  CALL: { emit: call },
  RET: { emit: ret },
  JMP: {
    emit: (c) => {
      const kind = c.kindOf(0)
      if (kind === 'rel' || isInPage(c)) jumpRelative(c)
      else c.jumpLinear(linearOf(c, computedTarget(c)))
    },
  },
  ...Object.fromEntries(
    CONDITIONS.map((suffix, code): [string, Semantics] => [
      `J${suffix}`,
      { emit: (c) => jumpIf(c, c.condition(code)) },
    ]),
  ),
  JCXZ: { emit: (c) => jumpIf(c, c.gprU(RCX, 2).eqz()) },
  JECXZ: { emit: (c) => jumpIf(c, c.gprU(RCX, 4).eqz()) },
  JRCXZ: { emit: (c) => jumpIf(c, c.gprU(RCX, 8).eqz()) },
  LOOP: { emit: (c) => loop(c, undefined) },
  LOOPE: { emit: (c) => loop(c, true) },
  LOOPNE: { emit: (c) => loop(c, false) },
}
