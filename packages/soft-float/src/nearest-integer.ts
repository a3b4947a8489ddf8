import { I32, I64, select } from '@retrap/wasm-emitter'
import * as X from './scratch.ts'
import type { FloatModule, SharedFunction } from './float-module.ts'
import { roundsUp } from './round.ts'

// Conversions from and to integers of which a program of x86 without AVX-512 has none: a module of their own, so that its bundle has
// none either.

/**
 * (state, bits: up to 64; rounding mode, 1 of unsigned integers) → A as an integer, sign-extended unless it is unsigned: a
 * number that is too large gives the nearest integer, a NaN 0. Both are invalid.
 */
export function toNearestInteger(c: FloatModule): SharedFunction<'i64'> {
  return c.shared('float.toNearestInteger', ['i32', 'i32', 'i32', 'i32'], 'i64', (f) => {
    const state = f.param(0, 'i32').get
    const bits = f.param(1, 'i32').get
    const mode = f.param(2, 'i32').get
    const unsigned = f.param(3, 'i32').get
    const a = X.slotAt(c, f, state, X.SLOT_A)
    const kind = a.class
    f.if(kind.eq(X.CLASS_ZERO), () => f.return(I64.of(0)))
    const invalid = (value: I64): void => {
      X.raiseFlags(c, f, state, X.FE_INVALID)
      f.return(value)
    }
    f.if(kind.geU(X.CLASS_QNAN), () => invalid(I64.of(0)))
    const sign = a.sign
    const ones = I64.of(-1n).shrU(I64.of(64).sub(bits.toI64U()))
    const most = f.let(select(unsigned, select(sign, I64.of(0), ones), ones.shrU(1).add(sign.toI64U())))
    const tooLarge = (): void => invalid(select(sign, I64.of(0).sub(most), most))
    const exponent = a.exponent
    f.if(kind.ne(X.CLASS_FINITE).or(exponent.gtS(63)), tooLarge)
    const { high, low } = X.shiftRightSticky(f, a.significand, I64.of(0), I32.of(63).sub(exponent))
    const up = f.let(roundsUp(f, mode, sign, high.toI32().and(1), low))
    const magnitude = f.let(high.add(up.toI64U()))
    f.if(magnitude.gtU(most), tooLarge)
    f.if(low.ne(0), () => X.raiseFlags(c, f, state, X.FE_PRECISION))
    f.return(select(sign, I64.of(0).sub(magnitude), magnitude))
  })
}

/** (state, slot address, integer): an unsigned 64-bit integer. */
export function unpackUnsigned(c: FloatModule): SharedFunction {
  return c.shared('float.unpackUnsigned', ['i32', 'i32', 'i64'], undefined, (f) => {
    const slot = new X.Slot(f, f.param(1, 'i32').get, 0)
    const value = f.param(2, 'i64').get
    slot.denormal = I32.of(0)
    slot.low = I64.of(0)
    slot.sign = I32.of(0)
    slot.class = value.ne(0)
    const zeros = f.let(value.clz())
    slot.significand = value.shl(zeros)
    slot.exponent = I32.of(63).sub(zeros.toI32())
  })
}
