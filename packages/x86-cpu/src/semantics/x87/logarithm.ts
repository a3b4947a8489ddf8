import { I32, I64, select, type FunctionBuilder, type Local } from '@retrap/wasm-emitter'
import type { Context, SemanticsTable } from '../context.ts'
import {
  add,
  CLASS_FINITE,
  CLASS_INFINITY,
  CLASS_QNAN,
  CLASS_ZERO,
  FE_PRECISION,
  FE_UNDERFLOW,
  FE_ZERO_DIVIDE,
  propagateNan,
  setNormalised,
  Slot,
  TOP_BIT,
  type SharedFunction,
} from '@retrap/soft-float'
import { F_TEMPORARY, raiseFlags, SLOT_A, SLOT_B, SLOT_R } from '../float-scratch.ts'
import { Fixed, FractionLocal, fractionOf, naturalLogOfTwo, oddReciprocals, type Fraction } from './fraction.ts'
import { invalid, onTopTwoThenPop, returnIf } from './stack.ts'

/**
 * Logarithms, to 128 bits before rounding.
 *
 * Source: Intel SDM vol. 2, FYL2X, FYL2XP1.
 */

/** √2 at bit 63. */
const ROOT_OF_TWO = 0xb504_f333_f9de_6484n
/** Exponent of the smallest normal number. */
const LEAST_EXPONENT = -16382
const ONE_HALF = fractionOf(1n << 127n)
const ONE_QUARTER = fractionOf(1n << 126n)

/** 1 / (2 ln 2): a quarter of 2/ln 2, which would be more than one. */
function halfLogOfE(): bigint {
  return (1n << 255n) / naturalLogOfTwo()
}

/** |m − 1| = top · 2^-shift (twice that where m > 1), and (m + 1)/2 (a quarter where m > 1), both normalised. */
interface Reduced {
  /** 1 where m < 1: the logarithm is negative. */
  readonly sign: Local<'i32'>
  readonly shift: Local<'i32'>
  readonly top: FractionLocal
  readonly bottom: FractionLocal
}

function newReduced(f: FunctionBuilder): Reduced {
  return { sign: f.local('i32'), shift: f.local('i32'), top: new FractionLocal(f), bottom: new FractionLocal(f) }
}

/** |log2 m| = fraction · 2^(2 − shift): 2/ln 2 · artanh z, z = |m − 1| / (m + 1). */
function logarithmSeries(fixed: Fixed, { shift, top, bottom }: Reduced): Fraction {
  const z = fixed.divide(fixed.shiftRight(top.value, I32.of(1)), bottom.value)
  const u = fixed.shiftRight(fixed.multiply(z, z), shift.get.shl(1))
  const rest = fixed.multiply(u, fixed.polynomial(u, oddReciprocals(16), false))
  const factor = fractionOf(halfLogOfE())
  return fixed.multiply(z, fixed.add(factor, fixed.multiply(factor, rest)))
}

/** A factor: ±fraction · 2^exponent. */
interface Factor {
  readonly sign: I32
  readonly fraction: Fraction
  readonly exponent: I32
}

/** R = A · factor, inexact. */
function setProduct(c: Context, f: FunctionBuilder, state: I32, fixed: Fixed, factor: Factor): void {
  const { sign, fraction, exponent } = factor
  const a = new Slot(f, state, SLOT_A)
  const product = fixed.multiply({ high: a.significand, low: I64.of(0) }, fraction)
  const low = product.low.or(1)
  f.call(setNormalised(c), state, a.sign.xor(sign), a.exponent.add(exponent), product.high, low)
}

/** (state): R = A · log2 R for a finite R > 0 of up to 128 bits; A is finite and not zero. */
function multiplyByLogarithm(c: Context): SharedFunction {
  return c.shared('float.multiplyByLogarithm', ['i32'], undefined, (f) => {
    const state = f.param(0, 'i32').get
    const fixed = new Fixed(c, f, state)
    const [a, r] = [new Slot(f, state, SLOT_A), new Slot(f, state, SLOT_R)]
    const number = { high: r.significand, low: r.low }
    const exponent = r.exponent
    // R = 2^k · m, √½ < m ≤ √2.
    const k = f.local('i32')
    const reduced = newReduced(f)
    const halved = fixed.shiftRight(number, I32.of(1))
    const distance = new FractionLocal(f)
    f.if(
      number.high.gtU(ROOT_OF_TWO),
      () => {
        f.set(k, exponent.add(1))
        f.set(reduced.sign, I32.of(1))
        distance.set(fixed.complement(number))
        reduced.bottom.set(fixed.add(halved, ONE_HALF))
      },
      () => {
        f.set(k, exponent)
        f.set(reduced.sign, I32.of(0))
        distance.set({ high: number.high.xor(TOP_BIT), low: number.low })
        reduced.bottom.set(fixed.add(halved, ONE_QUARTER))
      },
    )
    const magnitude = f.let(select(k.get.ltS(0), I32.of(0).sub(k.get), k.get))
    const signK = f.let(k.get.ltS(0))
    // A power of two: the product is exact.
    f.if(distance.high.get.or(distance.low.get).eqz(), () => {
      returnIf(f, magnitude.eqz(), () => r.setZero(a.sign))
      const { fraction, shift } = fixed.normalise({ high: magnitude.toI64U(), low: I64.of(0) })
      const product = fixed.multiply({ high: a.significand, low: I64.of(0) }, fraction)
      const twoTo = a.exponent.add(64).sub(shift)
      f.call(setNormalised(c), state, a.sign.xor(signK), twoTo, product.high, product.low)
      // Processors report a rounding all the same, and so an underflow of a denormal product.
      const underflows = r.exponent.ltS(LEAST_EXPONENT).and(r.low.eqz())
      raiseFlags(f, state, select(underflows, I32.of(FE_PRECISION | FE_UNDERFLOW), I32.of(FE_PRECISION)))
      f.return()
    })
    const { fraction, shift } = fixed.normalise(distance.value)
    reduced.top.set(fraction)
    f.set(reduced.shift, shift)
    const series = fixed.let(logarithmSeries(fixed, reduced))
    f.if(k.get.eqz(), () => {
      setProduct(c, f, state, fixed, {
        sign: reduced.sign.get,
        fraction: series,
        exponent: I32.of(2).sub(shift),
      })
      f.return()
    })
    // |k| ± the series, with 16 bits before the point.
    const part = fixed.shiftRight(series, f.let(shift.add(14)))
    const base = { high: f.let(magnitude.toI64U().shl(48)), low: I64.of(0) }
    const sum = fixed.choose(signK.eq(reduced.sign.get), fixed.add(base, part), fixed.subtract(base, part))
    setProduct(c, f, state, fixed, { sign: signK, fraction: sum, exponent: I32.of(16) })
  })
}

/** (state): R = A · log2 (1 + B) for |B| < 1/4; both are finite and not zero. */
function multiplyByLogarithmNearOne(c: Context): SharedFunction {
  return c.shared('float.multiplyByLogarithmNearOne', ['i32'], undefined, (f) => {
    const state = f.param(0, 'i32').get
    const fixed = new Fixed(c, f, state)
    const b = new Slot(f, state, SLOT_B)
    const sign = b.sign
    const exponent = b.exponent
    const x = { high: b.significand, low: I64.of(0) }
    const reduced = newReduced(f)
    f.set(reduced.sign, sign)
    reduced.top.set(x)
    f.if(
      sign,
      () => {
        // (m + 1)/2 = 1 − |x|/2
        f.set(reduced.shift, I32.of(-1).sub(exponent))
        reduced.bottom.set(fixed.complement(fixed.shiftRight(x, f.let(I32.of(0).sub(exponent)))))
      },
      () => {
        // (m + 1)/4 = 1/2 + x/4
        f.set(reduced.shift, I32.of(0).sub(exponent))
        reduced.bottom.set(fixed.add(fixed.shiftRight(x, f.let(I32.of(1).sub(exponent))), ONE_HALF))
      },
    )
    setProduct(c, f, state, fixed, {
      sign,
      fraction: fixed.let(logarithmSeries(fixed, reduced)),
      exponent: I32.of(2).sub(reduced.shift.get),
    })
  })
}

interface Operands {
  readonly a: Slot
  readonly b: Slot
  readonly r: Slot
  readonly classA: I32
  readonly classB: I32
  /** Neither is a NaN or unsupported. */
  readonly numbers: I32
}

function operands(f: FunctionBuilder, state: I32): Operands {
  const [a, b, r] = [new Slot(f, state, SLOT_A), new Slot(f, state, SLOT_B), new Slot(f, state, SLOT_R)]
  const [classA, classB] = [a.class, b.class]
  return { a, b, r, classA, classB, numbers: f.let(classA.ltU(CLASS_QNAN).and(classB.ltU(CLASS_QNAN))) }
}

/** (state): R = A · log2 B. */
function logarithm(c: Context): SharedFunction {
  return c.shared('float.logarithm', ['i32'], undefined, (f) => {
    const state = f.param(0, 'i32').get
    const { a, b, r, classA, classB, numbers } = operands(f, state)
    const [signA, exponent] = [a.sign, b.exponent]
    const isOne = classB.eq(CLASS_FINITE).and(exponent.eqz()).and(b.significand.eq(TOP_BIT))
    const negative = b.sign.and(classB.ne(CLASS_ZERO))
    const undefinedProduct = classA.eq(CLASS_ZERO).and(classB.ne(CLASS_FINITE)).or(classA.eq(CLASS_INFINITY).and(isOne))
    f.if(numbers.and(negative.or(undefinedProduct)), () => invalid(f, state, r))
    f.if(numbers.and(classB.eq(CLASS_ZERO)), () => {
      f.if(classA.eq(CLASS_FINITE), () => raiseFlags(f, state, FE_ZERO_DIVIDE))
      r.setInfinity(signA.xor(1))
      f.return()
    })
    f.if(f.call(propagateNan(c), state), () => f.return())
    returnIf(f, classB.eq(CLASS_INFINITY), () => r.setInfinity(signA))
    const sign = f.let(signA.xor(exponent.ltS(0)))
    returnIf(f, classA.eq(CLASS_INFINITY), () => r.setInfinity(sign))
    returnIf(f, classA.eq(CLASS_ZERO), () => r.setZero(sign))
    r.copy(b)
    f.call(multiplyByLogarithm(c), state)
  })
}

/** (state): R = A · log2 (B + 1). The manuals define it for |B| ≤ 1 − √½; it is right for all B > −1. */
function logarithmPlusOne(c: Context): SharedFunction {
  return c.shared('float.logarithmPlusOne', ['i32'], undefined, (f) => {
    const state = f.param(0, 'i32').get
    const { a, b, r, classA, classB, numbers } = operands(f, state)
    const [signA, signB] = [a.sign, b.sign]
    const undefinedProduct = classA
      .eq(CLASS_ZERO)
      .and(classB.eq(CLASS_INFINITY))
      .or(classA.eq(CLASS_INFINITY).and(classB.eq(CLASS_ZERO)))
    f.if(numbers.and(undefinedProduct.or(classB.eq(CLASS_INFINITY).and(signB))), () => invalid(f, state, r))
    f.if(f.call(propagateNan(c), state), () => f.return())
    const sign = f.let(signA.xor(signB))
    returnIf(f, classA.eq(CLASS_INFINITY).or(classB.eq(CLASS_INFINITY)), () => r.setInfinity(sign))
    returnIf(f, classA.eq(CLASS_ZERO).or(classB.eq(CLASS_ZERO)), () => r.setZero(sign))
    returnIf(f, b.exponent.ltS(-2), () => f.call(multiplyByLogarithmNearOne(c), state))
    const kept = new Slot(f, state, F_TEMPORARY)
    kept.copy(a)
    a.setFinite(I32.of(0), I32.of(0), I64.of(TOP_BIT))
    a.denormal = I32.of(0)
    f.call(add(c), state, I32.of(0))
    a.copy(kept)
    // No logarithm: what AMD's processors return, and Intel leaves open.
    f.if(r.class.eq(CLASS_ZERO).or(r.sign), () => {
      raiseFlags(f, state, FE_PRECISION)
      r.copy(b)
      f.return()
    })
    f.call(multiplyByLogarithm(c), state)
  })
}

export const x87Logarithm: SemanticsTable = {
  FYL2X: { emit: (c) => onTopTwoThenPop(c, 'logarithm', (f, state) => f.call(logarithm(c), state)) },
  FYL2XP1: { emit: (c) => onTopTwoThenPop(c, 'logarithmPlusOne', (f, state) => f.call(logarithmPlusOne(c), state)) },
}
