import { I32, I64, select, type FunctionBuilder } from '@retrap/wasm-emitter'
import type { Context } from '../context.ts'
import {
  add,
  compare,
  convert,
  divide,
  EQUAL,
  FC_DAZ,
  FE_PRECISION,
  finish,
  GREATER,
  LESS,
  multiply,
  N_DENORMAL,
  ROUND_ZERO,
  squareRoot,
  toInteger,
  toIntegral,
  UNORDERED,
  unpack,
  unpackInteger,
} from '@retrap/soft-float'
import type { SharedFunction } from '@retrap/soft-float'
import { F_CONTROL, F_FLAGS, roundingMode, SLOT_A, SLOT_B } from '../float-scratch.ts'
import type { Bits } from './vector-elements.ts'

/** One element of each SSE operation by software: exact in results, flags and exceptions. */

export type BinaryOperation = 'add' | 'sub' | 'mul' | 'div' | 'min' | 'max'

export function unpackInto(c: Context, f: FunctionBuilder, state: I32, slot: number, bits: Bits, value: I64): void {
  f.call(unpack(c, bits), state, state.add(slot), value)
}

/** (state, a, b) → one element of a binary operation. */
export function binaryElement(c: Context, operation: BinaryOperation, bits: Bits): SharedFunction<'i64'> {
  return c.shared(`sse.${operation}${bits}`, ['i32', 'i64', 'i64'], 'i64', (f) => {
    const state = f.param(0, 'i32').get
    const [a, b] = [f.param(1, 'i64').get, f.param(2, 'i64').get]
    unpackInto(c, f, state, SLOT_A, bits, a)
    unpackInto(c, f, state, SLOT_B, bits, b)
    switch (operation) {
      case 'add':
      case 'sub':
        f.call(add(c), state, I32.of(operation === 'sub' ? 1 : 0))
        break
      case 'mul':
        f.call(multiply(c), state)
        break
      case 'div':
        f.call(divide(c), state)
        break
      default: {
        // The second operand, unless the first is less (greater): so for NaNs and for zeros of either sign.
        const wanted = operation === 'min' ? LESS : GREATER
        const first = f.call(compare(c), state, I32.of(0)).eq(wanted)
        f.return(flushed(f, state, bits, f.let(select(first, a, b))))
        f.unreachable()
        return
      }
    }
    f.return(f.call(finish(c, bits), state))
  })
}

/** Returns the value that a denormal operand reads as: zero under DAZ. */
function flushed(f: FunctionBuilder, state: I32, bits: Bits, value: I64): I64 {
  const exponentMask = bits === 32 ? 0x7f80_0000n : 0x7ff0_0000_0000_0000n
  const signMask = 1n << BigInt(bits - 1)
  const zero = f.loadExpression('i32.load', state, F_CONTROL).and(FC_DAZ).ne(0).and(value.and(exponentMask).eqz())
  return select(zero, value.and(signMask), value)
}

export function squareRootElement(c: Context, bits: Bits): SharedFunction<'i64'> {
  return c.shared(`sse.sqrt${bits}`, ['i32', 'i64'], 'i64', (f) => {
    const state = f.param(0, 'i32').get
    unpackInto(c, f, state, SLOT_A, bits, f.param(1, 'i64').get)
    f.call(squareRoot(c), state)
    f.return(f.call(finish(c, bits), state))
  })
}

/** (state, a, control): ROUNDSS and its like; control is the instruction's immediate. */
export function integralElement(c: Context, bits: Bits): SharedFunction<'i64'> {
  return c.shared(`sse.round${bits}`, ['i32', 'i64', 'i32'], 'i64', (f) => {
    const state = f.param(0, 'i32').get
    const control = f.param(2, 'i32').get
    unpackInto(c, f, state, SLOT_A, bits, f.param(1, 'i64').get)
    // No denormal-operand exception here.
    f.store('i32.store', state, I32.of(0), SLOT_A + N_DENORMAL)
    const mode = select(control.and(4), roundingMode(f, state), control.and(3))
    f.call(toIntegral(c), state, mode)
    // Bit 3 keeps the precision exception quiet.
    f.if(control.and(8), () => {
      f.store('i32.store', state, f.loadExpression('i32.load', state, F_FLAGS).and(~FE_PRECISION), F_FLAGS)
    })
    // The result has at most as many significant bits as the operand: nothing is rounded.
    f.return(f.call(finish(c, bits), state))
  })
}

/** (state, a) → a in the other format. */
export function convertElement(c: Context, from: Bits): SharedFunction<'i64'> {
  return c.shared(`sse.convert${from}`, ['i32', 'i64'], 'i64', (f) => {
    const state = f.param(0, 'i32').get
    unpackInto(c, f, state, SLOT_A, from, f.param(1, 'i64').get)
    f.call(convert(c), state)
    f.return(f.call(finish(c, from === 32 ? 64 : 32), state))
  })
}

/** (state, a, bits of the integer, 1 to truncate) → integer, sign-extended. */
export function integerElement(c: Context, from: Bits): SharedFunction<'i64'> {
  return c.shared(`sse.toInteger${from}`, ['i32', 'i64', 'i32', 'i32'], 'i64', (f) => {
    const state = f.param(0, 'i32').get
    unpackInto(c, f, state, SLOT_A, from, f.param(1, 'i64').get)
    const mode = select(f.param(3, 'i32').get, I32.of(ROUND_ZERO), roundingMode(f, state))
    f.return(f.call(toInteger(c), state, f.param(2, 'i32').get, mode))
  })
}

/** (state, integer) → floating point. */
export function fromIntegerElement(c: Context, to: Bits): SharedFunction<'i64'> {
  return c.shared(`sse.fromInteger${to}`, ['i32', 'i64'], 'i64', (f) => {
    const state = f.param(0, 'i32').get
    f.call(unpackInteger(c), state, state.add(SLOT_A), f.param(1, 'i64').get)
    f.call(convert(c), state)
    f.return(f.call(finish(c, to), state))
  })
}

/** Truth of the first sixteen predicates, four bits each: less, equal, greater, unordered. The others repeat them. */
export const PREDICATES = 0xf465_0b9a_7ced_8312n
/** Of the first sixteen those that take quiet NaNs quietly: EQ, UNORD, NEQ, ORD…; of the others just those that do not. */
export const QUIET_PREDICATES = 0x9999

/** (state, a, b, predicate) → all ones or zero. */
export function compareElement(c: Context, bits: Bits): SharedFunction<'i64'> {
  return c.shared(`sse.compare${bits}`, ['i32', 'i64', 'i64', 'i32'], 'i64', (f) => {
    const state = f.param(0, 'i32').get
    const predicate = f.param(3, 'i32').get
    unpackInto(c, f, state, SLOT_A, bits, f.param(1, 'i64').get)
    unpackInto(c, f, state, SLOT_B, bits, f.param(2, 'i64').get)
    const quiet = I32.of(QUIET_PREDICATES).shrU(predicate.and(15)).xor(predicate.shrU(4)).and(1)
    const relation = f.call(compare(c), state, quiet)
    const bit = select(
      relation.eq(LESS),
      I32.of(1),
      select(relation.eq(EQUAL), I32.of(2), select(relation.eq(UNORDERED), I32.of(8), I32.of(4))),
    )
    const holds = I64.of(PREDICATES).shrU(predicate.and(15).shl(2).toI64U()).toI32().and(bit).ne(0)
    f.return(I64.of(0).sub(holds.toI64U()))
  })
}
