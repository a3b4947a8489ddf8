import { I32, I64, select } from '@retrap/wasm-emitter'
import * as X from './scratch.ts'
import type { FloatModule, SharedFunction } from './float-module.ts'
import { setNormalised } from './arithmetic.ts'
import { roundsUp } from './round.ts'
import { propagateNanUnary } from './unpack.ts'

/**
 * Comparison and conversion of unpacked numbers.
 *
 * Source: Intel SDM vol. 1, "Invalid Arithmetic Operand Exception", "Converting Values Between ... Formats"; vol. 2,
 * COMISD, CVTSD2SI, FIST, FRNDINT.
 */

// The results of {@link compare}, as the flags that COMISS and FCOMI set. Shifted left by 8 they are C0, C2 and C3.
export const LESS = 0x01
/** The result of {@link compare} for equal numbers. */
export const EQUAL = 0x40
/** The result of {@link compare} where the first number is greater. */
export const GREATER = 0
/** The result of {@link compare} if one number is a NaN. */
export const UNORDERED = 0x45

/** (state, 1 where a quiet NaN is no exception) → A compared with B. */
export function compare(c: FloatModule): SharedFunction<'i32'> {
  return c.shared('float.compare', ['i32', 'i32'], 'i32', (f) => {
    const state = f.param(0, 'i32').get
    const a = X.slotAt(c, f, state, X.SLOT_A)
    const b = X.slotAt(c, f, state, X.SLOT_B)
    const [classA, classB] = [a.class, b.class]
    f.if(classA.geU(X.CLASS_QNAN).or(classB.geU(X.CLASS_QNAN)), () => {
      const signals = f.param(1, 'i32').get.eqz().or(classA.geU(X.CLASS_SNAN)).or(classB.geU(X.CLASS_SNAN))
      f.if(signals, () => X.raiseFlags(c, f, state, X.FE_INVALID))
      f.return(UNORDERED)
    })
    f.if(a.denormal.or(b.denormal), () => X.raiseFlags(c, f, state, X.FE_DENORMAL))
    const signA = a.sign
    // Zeros are equal regardless of their signs.
    f.if(classA.or(classB).eqz(), () => f.return(EQUAL))
    const ordered = (less: I32): void => f.return(select(less, I32.of(LESS), I32.of(GREATER)))
    f.if(classA.eqz(), () => ordered(b.sign.eqz()))
    f.if(classB.eqz(), () => ordered(signA))
    f.if(signA.ne(b.sign), () => ordered(signA))
    // Magnitudes: class first (infinity is the largest), then exponent, then significand.
    const bothFinite = f.let(classA.eq(X.CLASS_FINITE).and(classB.eq(X.CLASS_FINITE)))
    f.if(bothFinite.eqz(), () => {
      f.if(classA.eq(classB), () => f.return(EQUAL))
      ordered(classA.ltU(classB).xor(signA))
    })
    const [exponentA, exponentB] = [a.exponent, b.exponent]
    f.if(exponentA.ne(exponentB), () => ordered(exponentA.ltS(exponentB).xor(signA)))
    const [significandA, significandB] = [a.significand, b.significand]
    f.if(significandA.eq(significandB), () => f.return(EQUAL))
    ordered(significandA.ltU(significandB).xor(signA))
    f.unreachable()
  })
}

/** (state, bits: 16, 32 or 64; rounding mode) → A as a signed integer, sign-extended. A denormal operand is not reported. */
export function toInteger(c: FloatModule): SharedFunction<'i64'> {
  return c.shared('float.toInteger', ['i32', 'i32', 'i32'], 'i64', (f) => {
    const state = f.param(0, 'i32').get
    const bits = f.param(1, 'i32').get
    const mode = f.param(2, 'i32').get
    const a = X.slotAt(c, f, state, X.SLOT_A)
    const kind = a.class
    const limit = f.let(I64.of(1).shl(bits.sub(1).toI64U()))
    f.if(kind.eq(X.CLASS_ZERO), () => f.return(I64.of(0)))
    const sign = a.sign
    const exponent = a.exponent
    const indefinite = (): void => {
      X.raiseFlags(c, f, state, X.FE_INVALID)
      f.return(I64.of(0).sub(limit))
    }
    f.if(kind.ne(X.CLASS_FINITE).or(exponent.gtS(63)), indefinite)
    const { high, low } = X.shiftRightSticky(f, a.significand, I64.of(0), I32.of(63).sub(exponent))
    const up = f.let(roundsUp(f, mode, sign, high.toI32().and(1), low))
    const magnitude = f.let(high.add(up.toI64U()))
    f.if(magnitude.gtU(limit.sub(sign.eqz().toI64U())), indefinite)
    f.if(low.ne(0), () =>
      X.raiseFlags(c, f, state, select(up, I32.of(X.FE_PRECISION | X.FE_ROUNDED_UP), I32.of(X.FE_PRECISION))),
    )
    f.return(select(sign, I64.of(0).sub(magnitude), magnitude))
  })
}

/** (state, rounding mode): R = A rounded to an integer in the same format. */
export function toIntegral(c: FloatModule): SharedFunction {
  return c.shared('float.toIntegral', ['i32', 'i32'], undefined, (f) => {
    const state = f.param(0, 'i32').get
    const mode = f.param(1, 'i32').get
    const a = X.slotAt(c, f, state, X.SLOT_A)
    const r = X.slotAt(c, f, state, X.SLOT_R)
    f.if(propagateNanUnary(c, f, state), () => f.return())
    const exponent = a.exponent
    X.returnIf(f, a.class.ne(X.CLASS_FINITE).or(exponent.geS(63)), () => r.copy(a))
    const sign = a.sign
    const { high, low } = X.shiftRightSticky(f, a.significand, I64.of(0), I32.of(63).sub(exponent))
    const up = f.let(roundsUp(f, mode, sign, high.toI32().and(1), low))
    const magnitude = f.let(high.add(up.toI64U()))
    f.if(low.ne(0), () =>
      X.raiseFlags(c, f, state, select(up, I32.of(X.FE_PRECISION | X.FE_ROUNDED_UP), I32.of(X.FE_PRECISION))),
    )
    X.returnIf(f, magnitude.eqz(), () => r.setZero(sign))
    f.call(setNormalised(c), state, sign, I32.of(63), magnitude, I64.of(0))
  })
}

/** (state): R = A, for a change of format: a signalling NaN becomes quiet. */
export function convert(c: FloatModule): SharedFunction {
  return c.shared('float.convert', ['i32'], undefined, (f) => {
    const state = f.param(0, 'i32').get
    f.if(propagateNanUnary(c, f, state), () => f.return())
    X.slotAt(c, f, state, X.SLOT_R).copy(X.slotAt(c, f, state, X.SLOT_A))
  })
}
