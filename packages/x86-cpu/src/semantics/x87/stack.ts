import { I32, I64, select, type FunctionBuilder } from '@retrap/wasm-emitter'
import {
  FC_X87,
  FE_DENORMAL,
  FE_INVALID,
  FE_ROUNDED_UP,
  FE_STACK,
  FE_ZERO_DIVIDE,
  unpack80,
  type SharedFunction,
  finish80,
  Slot,
} from '@retrap/soft-float'
import { R_IMM, R_OFFSET, R_REG2, R_SEGMENT } from '../../state/record.ts'
import * as S from '../../state/state-layout.ts'
import { VECTOR_MF } from '../../state/vectors.ts'
import type { Context } from '../context.ts'
import { F_CONTROL, F_FLAGS, F_WORD, INDEFINITE, raiseFlags, SLOT_A, SLOT_B, SLOT_R } from '../float-scratch.ts'

/**
 * The x87 register stack, and what surrounds every instruction: pending exceptions, the status word, the pointers to the
 * last instruction and its operand.
 *
 * Source: Intel SDM vol. 1, "x87 FPU Data Registers", "x87 FPU Status Register", "x87 FPU Floating-Point Exception
 * Handling", "Stack Overflow or Underflow Exception (#IS)".
 */

// The status word (TOP is kept apart).
export const FSW_C0 = 0x0100
export const FSW_C1 = 0x0200
export const FSW_C2 = 0x0400
export const FSW_C3 = 0x4000
/** ES and B: an unmasked exception is pending. */
export const FSW_SUMMARY = 0x8080
const FSW_ES = 0x80
const EXCEPTIONS = 0x3f
/** Rounding control, precision control and masks of the control word. */
const FCW_CONTROL = 0x0f3f

/**
 * The beginning of every x87 instruction but the non-waiting ones: #NM, then #MF for what an earlier one left pending.
 * With CR0.NE clear `Vcpu` makes FERR# of it, where its host has a wire for that.
 */
export function enterX87(c: Context): void {
  c.requireX87()
  c.f.if(c.f.loadExpression('i32.load', c.state, S.S_FSW).and(FSW_ES), () => c.raise(VECTOR_MF))
}

/** Notes this instruction, and its memory operand, for exception handlers. After everything that can fault. */
export function notePointers(c: Context): void {
  const { f, state, record } = c
  const memory = c.form.operands.some((operand) => operand.kind === 'mem')
  if (c.isSpecialised) {
    writeInstructionPointer(f, state, record)
    if (memory) writeDataPointer(f, state, record, c.offset())
    return
  }
  f.call(instructionPointer(c), state, record)
  if (memory) f.call(dataPointer(c), state, record)
}

/** (state, record): FIP, FCS and FOP. */
function instructionPointer(c: Context): SharedFunction {
  return c.shared('x87.instructionPointer', ['i32', 'i32'], undefined, (f) =>
    writeInstructionPointer(f, f.param(0, 'i32').get, f.param(1, 'i32').get),
  )
}

function writeInstructionPointer(f: FunctionBuilder, state: I32, record: I32): void {
  const code = S.S_SEGMENTS + S.SEG_BYTES * S.CS
  const linear = f
    .loadExpression('i64.load', state, S.S_PAGE_BASE)
    .add(f.loadExpression('i64.load16_u', record, R_OFFSET))
  const offset = linear.sub(f.loadExpression('i64.load', state, code + S.SEG_BASE))
  f.store('i64.store', state, offset.and(f.loadExpression('i64.load', state, S.S_RIP_MASK)), S.S_FIP)
  f.store('i32.store', state, f.loadExpression('i32.load', state, code + S.SEG_SELECTOR), S.S_FCS)
  f.store('i32.store', state, f.loadExpression('i32.load16_u', record, R_REG2), S.S_FOP)
}

/** (state, record): FDP and FDS. */
function dataPointer(c: Context): SharedFunction {
  return c.shared('x87.dataPointer', ['i32', 'i32'], undefined, (f) => {
    const [state, record] = [f.param(0, 'i32').get, f.param(1, 'i32').get]
    writeDataPointer(f, state, record, f.call(c.library.offset, state, record))
  })
}

function writeDataPointer(f: FunctionBuilder, state: I32, record: I32, offset: I64): void {
  f.store('i64.store', state, offset, S.S_FDP)
  const segment = f.loadExpression('i32.load8_u', record, R_SEGMENT).and(7).mul(S.SEG_BYTES)
  f.store('i32.store', state, f.loadExpression('i32.load', state.add(segment), S.S_SEGMENTS + S.SEG_SELECTOR), S.S_FDS)
}

/** i of the ST(i) that an instruction names. */
export function stackIndex(c: Context): I32 {
  return c.f.load('i32.load', c.record, R_IMM)
}

/** (state): nothing raised yet; F_CONTROL from the control word. */
export function begin(c: Context): SharedFunction {
  return c.shared('x87.begin', ['i32'], undefined, (f) => {
    const state = f.param(0, 'i32').get
    f.store('i32.store', state, I32.of(0), F_FLAGS)
    f.store('i32.store', state, f.loadExpression('i32.load', state, S.S_FCW).and(FCW_CONTROL).or(FC_X87), F_CONTROL)
  })
}

/**
 * (state) → 1 if the instruction delivers its result, 0 if an unmasked exception that is found before the computation keeps
 * it from doing so. The exceptions are in the status word then, and so is C1.
 */
export function commit(c: Context): SharedFunction<'i32'> {
  return c.shared('x87.commit', ['i32'], 'i32', (f) => {
    const state = f.param(0, 'i32').get
    const flags = f.local('i32')
    f.set(flags, f.loadExpression('i32.load', state, F_FLAGS))
    const unmasked = f.let(unmaskedFlags(f, state))
    const stopped = f.let(unmasked.and(FE_INVALID | FE_DENORMAL | FE_ZERO_DIVIDE))
    f.if(stopped, () => {
      const kept = FE_INVALID | FE_DENORMAL | FE_ZERO_DIVIDE | FE_STACK
      // C1 tells overflow from underflow of the stack, else it is about rounding, which has not happened.
      const c1 = select(flags.get.and(FE_STACK), flags.get.and(FE_ROUNDED_UP), I32.of(0))
      f.set(flags, flags.get.and(kept).or(c1))
    })
    const status = f.loadExpression('i32.load', state, S.S_FSW).and(~FSW_C1).or(flags.get)
    f.store('i32.store', state, status.or(select(unmasked, I32.of(FSW_SUMMARY), I32.of(0))), S.S_FSW)
    f.return(stopped.eqz())
  })
}

/** Gives C1 back what it was before the instruction, unless that raised a stack fault. */
export function keepC1(f: FunctionBuilder, state: I32, before: I32): void {
  f.if(f.loadExpression('i32.load', state, F_FLAGS).and(FE_STACK).eqz(), () => {
    f.store('i32.store', state, f.loadExpression('i32.load', state, S.S_FSW).or(before.and(FSW_C1)), S.S_FSW)
  })
}

/** Exceptions raised by this instruction that the control word does not mask. */
export function unmaskedFlags(f: FunctionBuilder, state: I32): I32 {
  return f
    .loadExpression('i32.load', state, F_FLAGS)
    .and(f.loadExpression('i32.load', state, F_CONTROL).xor(-1))
    .and(EXCEPTIONS)
}

/** Physical number of ST(i). */
function physical(f: FunctionBuilder, state: I32, i: I32 | number): I32 {
  return f.loadExpression('i32.load', state, S.S_FTOP).add(i).and(7)
}

/** Machine address, less S_FPR, of ST(i). */
export function stackAddress(f: FunctionBuilder, state: I32, i: I32 | number): I32 {
  return state.add(physical(f, state, i).shl(4))
}

/** 1 if ST(i) is empty. */
export function isEmpty(f: FunctionBuilder, state: I32, i: I32 | number): I32 {
  return f
    .loadExpression('i32.load', state, S.S_FTAG_EMPTY)
    .shrU(physical(f, state, i))
    .and(1)
}

/** Significand, and sign and exponent, of the register at a {@link stackAddress}. */
export function registerAt(f: FunctionBuilder, at: I32): readonly [significand: I64, word: I32] {
  return [f.loadExpression('i64.load', at, S.S_FPR), f.loadExpression('i32.load16_u', at, S.S_FPR + 8)]
}

/** (state, slot address, i): ST(i) unpacked. */
export function loadStack(c: Context): SharedFunction {
  return c.shared('x87.loadStack', ['i32', 'i32', 'i32'], undefined, (f) => {
    const [state, slot, i] = [f.param(0, 'i32').get, f.param(1, 'i32').get, f.param(2, 'i32').get]
    const at = f.let(stackAddress(f, state, i))
    f.call(unpack80(c), state, slot, ...registerAt(f, at))
  })
}

/** (state, i, significand, sign and exponent): ST(i) is written and no longer empty. */
export function storeStack(c: Context): SharedFunction {
  return c.shared('x87.storeStack', ['i32', 'i32', 'i64', 'i32'], undefined, (f) => {
    const [state, i] = [f.param(0, 'i32').get, f.param(1, 'i32').get]
    const at = f.let(stackAddress(f, state, i))
    f.store('i64.store', at, f.param(2, 'i64').get, S.S_FPR)
    f.store('i32.store16', at, f.param(3, 'i32').get, S.S_FPR + 8)
    const tags = f.loadExpression('i32.load', state, S.S_FTAG_EMPTY).and(
      I32.of(1)
        .shl(physical(f, state, i))
        .xor(-1),
    )
    f.store('i32.store', state, tags, S.S_FTAG_EMPTY)
  })
}

/** ST(0) becomes empty, and the stack one shorter. */
export function quickPop(f: FunctionBuilder, state: I32): void {
  const top = f.load('i32.load', state, S.S_FTOP)
  const tags = f.loadExpression('i32.load', state, S.S_FTAG_EMPTY).or(I32.of(1).shl(top))
  f.store('i32.store', state, tags, S.S_FTAG_EMPTY)
  f.store('i32.store', state, top.add(1).and(7), S.S_FTOP)
}

/** (state): {@link quickPop}. */
export function pop(c: Context): SharedFunction {
  return c.shared('x87.pop', ['i32'], undefined, (f) => quickPop(f, f.param(0, 'i32').get))
}

/** (state, significand, sign and exponent): a new ST(0). */
export function push(c: Context): SharedFunction {
  return c.shared('x87.push', ['i32', 'i64', 'i32'], undefined, (f) => {
    const state = f.param(0, 'i32').get
    f.store('i32.store', state, f.loadExpression('i32.load', state, S.S_FTOP).sub(1).and(7), S.S_FTOP)
    f.call(storeStack(c), state, I32.of(0), f.param(1, 'i64').get, f.param(2, 'i32').get)
  })
}

/** Sign and exponent of the default NaN, a negative one. */
export const INDEFINITE_WORD = 0xffff

/** Stack underflow: the response to an empty operand. */
export function raiseStackUnderflow(f: FunctionBuilder, state: I32): void {
  f.store('i32.store', state, f.loadExpression('i32.load', state, F_FLAGS).or(FE_INVALID | FE_STACK), F_FLAGS)
}

/** Computes R, unless an operand is missing: R is the default NaN then, after a stack underflow. */
export function unlessMissing(f: FunctionBuilder, state: I32, isMissing: I32, compute: () => void): void {
  f.if(
    isMissing,
    () => {
      raiseStackUnderflow(f, state)
      new Slot(f, state, SLOT_R).setDefaultNan(1)
    },
    compute,
  )
}

/** Returns from a function that has computed R by `compute`, if `condition` holds. */
export function returnIf(f: FunctionBuilder, condition: I32, compute: () => void): void {
  f.if(condition, () => {
    compute()
    f.return()
  })
}

/** Returns with the NaN of an invalid operation in R. */
export function invalid(f: FunctionBuilder, state: I32, r: Slot): void {
  raiseFlags(f, state, FE_INVALID)
  r.setDefaultNan(1)
  f.return()
}

/**
 * (state, significand, sign and exponent): pushes a result whose exceptions are in F_FLAGS; a full stack overflows, and
 * takes the default NaN where that is masked.
 */
export function pushResult(c: Context): SharedFunction {
  return c.shared('x87.pushResult', ['i32', 'i64', 'i32'], undefined, (f) => {
    const state = f.param(0, 'i32').get
    const significand = f.param(1, 'i64')
    const word = f.param(2, 'i32')
    // A source register that is empty comes first (FLD ST(i)).
    const faulted = f.loadExpression('i32.load', state, F_FLAGS).and(FE_STACK)
    f.if(isEmpty(f, state, 7).or(faulted).eqz(), () => {
      f.store('i32.store', state, I32.of(FE_INVALID | FE_STACK | FE_ROUNDED_UP), F_FLAGS)
      f.set(significand, I64.of(INDEFINITE))
      f.set(word, I32.of(INDEFINITE_WORD))
    })
    // An unmasked denormal operand is loaded all the same.
    f.call(commit(c), state)
    f.if(unmaskedFlags(f, state).and(FE_INVALID).eqz(), () => f.call(push(c), state, significand.get, word.get))
  })
}

/** (state, i, significand): writes a result, its sign and exponent in F_WORD, to ST(i) unless an exception prevents it. → 1 if written. */
export function storeResult(c: Context): SharedFunction<'i32'> {
  return c.shared('x87.storeResult', ['i32', 'i32', 'i64'], 'i32', (f) => {
    const [state, i, significand] = [f.param(0, 'i32').get, f.param(1, 'i32').get, f.param(2, 'i64').get]
    const word = f.load('i32.load', state, F_WORD)
    const delivered = f.call(commit(c), state)
    f.if(delivered, () => f.call(storeStack(c), state, i, significand, word))
    f.return(delivered)
  })
}

/** ST(0) as it is, or the default NaN and a stack fault in F_FLAGS where it is empty. */
export function topOrIndefinite(c: Context): { readonly significand: I64; readonly word: I32 } {
  const f = c.f
  f.call(begin(c), c.state)
  const at = f.let(stackAddress(f, c.state, 0))
  const empty = f.let(isEmpty(f, c.state, 0))
  f.if(empty, () => raiseStackUnderflow(f, c.state))
  return {
    significand: f.let(select(empty, I64.of(INDEFINITE), f.loadExpression('i64.load', at, S.S_FPR))),
    word: f.let(select(empty, I32.of(INDEFINITE_WORD), f.loadExpression('i32.load16_u', at, S.S_FPR + 8))),
  }
}

/** ST(1) = an operation on ST(1) and ST(0), which it finds in A and B; then pop. */
export function onTopTwoThenPop(c: Context, name: string, compute: (f: FunctionBuilder, state: I32) => void): void {
  notePointers(c)
  const operation = c.shared(`x87.${name}`, ['i32'], undefined, (f) => {
    const state = f.param(0, 'i32').get
    f.call(begin(c), state)
    unlessMissing(f, state, isEmpty(f, state, 0).or(isEmpty(f, state, 1)), () => {
      f.call(loadStack(c), state, state.add(SLOT_A), I32.of(1))
      f.call(loadStack(c), state, state.add(SLOT_B), I32.of(0))
      compute(f, state)
    })
    const significand = f.call(finish80(c), state, I32.of(64))
    f.if(f.call(storeResult(c), state, I32.of(1), significand), () => f.call(pop(c), state))
  })
  c.f.call(operation, c.state)
}
