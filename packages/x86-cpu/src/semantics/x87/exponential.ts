import { I32, I64, select } from '@retrap/wasm-emitter'
import type { Context, SemanticsTable } from '../context.ts'
import {
  CLASS_FINITE,
  CLASS_INFINITY,
  FE_PRECISION,
  propagateNanUnary,
  setNormalised,
  Slot,
  TOP_BIT,
  type SharedFunction,
} from '@retrap/soft-float'
import { raiseFlags, SLOT_A, SLOT_R } from '../float-scratch.ts'
import { Fixed, FractionLocal, fractionOf, naturalLogOfTwo } from './fraction.ts'
import { unary } from './arithmetic.ts'
import { returnIf } from './stack.ts'

/**
 * 2^x − 1, to 128 bits before rounding.
 *
 * Source: Intel SDM vol. 2, F2XM1.
 */

const TERMS = 28

/** ln 2, (ln 2)²/2!, (ln 2)³/3!, …: the coefficients of (2^x − 1)/x. */
function exponentialCoefficients(): bigint[] {
  const ln2 = naturalLogOfTwo()
  const coefficients: bigint[] = []
  let term = ln2
  for (let k = 2n; coefficients.length < TERMS; k++) {
    coefficients.push(term)
    term = (((term * ln2) >> 128n) + k / 2n) / k
  }
  return coefficients
}

/** (state): R = 2^A − 1. Beyond −1 … 1, where the result is undefined, A itself. */
function exponential(c: Context): SharedFunction {
  return c.shared('float.exponential', ['i32'], undefined, (f) => {
    const state = f.param(0, 'i32').get
    const fixed = new Fixed(c, f, state)
    const [a, r] = [new Slot(f, state, SLOT_A), new Slot(f, state, SLOT_R)]
    f.if(propagateNanUnary(c, f, state), () => f.return())
    const [kind, sign, exponent, significand] = [a.class, a.sign, a.exponent, a.significand]
    r.copy(a)
    // 2^−∞ − 1
    returnIf(f, kind.eq(CLASS_INFINITY).and(sign), () => r.setFinite(I32.of(1), I32.of(0), I64.of(TOP_BIT)))
    f.if(kind.ne(CLASS_FINITE), () => f.return())
    returnIf(f, exponent.gtS(0).or(exponent.eqz().and(significand.ne(TOP_BIT))), () =>
      raiseFlags(f, state, FE_PRECISION),
    )
    // |A| as a fraction; 1 becomes the largest of them.
    const one = exponent.eqz()
    const magnitude = fixed.shiftRight(
      { high: significand, low: I64.of(0) },
      f.let(select(one, I32.of(0), I32.of(-1).sub(exponent))),
    )
    const v = fixed.choose(one, fractionOf((1n << 128n) - 1n), magnitude)
    const factor = new FractionLocal(f)
    const coefficients = exponentialCoefficients()
    f.if(
      sign,
      () => factor.set(fixed.polynomial(v, coefficients, true)),
      () => factor.set(fixed.polynomial(v, coefficients, false)),
    )
    // A has a floating point: so has the product, whatever its size.
    const product = fixed.multiply({ high: significand, low: I64.of(0) }, factor.value)
    f.call(setNormalised(c), state, sign, exponent, product.high, product.low.or(1))
  })
}

export const x87Exponential: SemanticsTable = {
  F2XM1: {
    emit: (c) =>
      unary(
        c,
        'exponential',
        (f, state) => f.call(exponential(c), state),
        () => I32.of(64),
      ),
  },
}
