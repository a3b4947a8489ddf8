import { I32, I64, numeric, select } from '@retrap/wasm-emitter'
import type { FunctionBuilder } from '@retrap/wasm-emitter'
import { divideWide, multiplyHigh } from './wide.ts'
import type { Slot } from './scratch.ts'
import {
  CLASS_FINITE,
  CLASS_INFINITY,
  CLASS_ZERO,
  FE_ZERO_DIVIDE,
  ROUND_DOWN,
  SLOT_A,
  SLOT_B,
  SLOT_R,
  slotAt,
  TOP_BIT,
  normalise,
  raiseFlags,
  returnIf,
  returnInvalid,
  roundingMode,
  shiftRightSticky,
} from './scratch.ts'
import type { FloatModule, SharedFunction } from './float-module.ts'
import { propagateNan, propagateNanUnary } from './unpack.ts'

/**
 * Arithmetic on unpacked numbers: A and B in, R out, exact but for a sticky bit; rounding is a step of its own.
 *
 * Source: Intel SDM vol. 1, "Invalid Arithmetic Operand Exception", "Divide-By-Zero Exception", and the tables of results
 * on the pages of FADD, FMUL, FDIV and FSQRT.
 */

interface Operands {
  readonly state: I32
  readonly a: Slot
  readonly b: Slot
  readonly r: Slot
}

function operands(c: FloatModule, f: FunctionBuilder): Operands {
  const state = f.param(0, 'i32').get
  return { state, a: slotAt(c, f, state, SLOT_A), b: slotAt(c, f, state, SLOT_B), r: slotAt(c, f, state, SLOT_R) }
}

/** (state, 1 to subtract): R = A ± B. */
export function add(c: FloatModule): SharedFunction {
  return c.shared('float.add', ['i32', 'i32'], undefined, (f) => {
    const { state, a, b, r } = operands(c, f)
    f.if(f.call(propagateNan(c), state), () => f.return())
    const signA = a.sign
    const signB = f.let(b.sign.xor(f.param(1, 'i32').get))
    const [classA, classB] = [a.class, b.class]
    const zeroSign = (): I32 => roundingMode(c, f, state).eq(ROUND_DOWN)
    f.if(classA.eq(CLASS_INFINITY), () => {
      f.if(classB.eq(CLASS_INFINITY).and(signA.ne(signB)), () => returnInvalid(c, f, state, r))
      r.setInfinity(signA)
      f.return()
    })
    returnIf(f, classB.eq(CLASS_INFINITY), () => r.setInfinity(signB))
    returnIf(f, classA.eq(CLASS_ZERO).and(classB.eq(CLASS_ZERO)), () =>
      r.setZero(select(signA.eq(signB), signA, zeroSign())),
    )
    returnIf(f, classB.eq(CLASS_ZERO), () => r.copy(a))
    f.if(classA.eq(CLASS_ZERO), () => {
      r.copy(b)
      r.sign = signB
      f.return()
    })
    const [largeExponent, smallExponent] = [f.local('i32'), f.local('i32')]
    const [large, small] = [f.local('i64'), f.local('i64')]
    const sign = f.local('i32')
    const assign = (first: Slot, second: Slot, firstSign: I32): void => {
      f.set(largeExponent, first.exponent)
      f.set(smallExponent, second.exponent)
      f.set(large, first.significand)
      f.set(small, second.significand)
      f.set(sign, firstSign)
    }
    assign(a, b, signA)
    const swapped = largeExponent.get
      .ltS(smallExponent.get)
      .or(largeExponent.get.eq(smallExponent.get).and(large.get.ltU(small.get)))
    f.if(swapped, () => assign(b, a, signB))
    const aligned = shiftRightSticky(f, small.get, I64.of(0), largeExponent.get.sub(smallExponent.get))
    f.if(signA.eq(signB), () => {
      const sum = f.let(large.get.add(aligned.high))
      f.if(
        sum.ltU(large.get),
        () => {
          const low = sum.shl(63).or(aligned.low.shrU(1)).or(aligned.low.and(1))
          r.setFinite(sign.get, largeExponent.get.add(1), sum.shrU(1).or(TOP_BIT), low)
        },
        () => r.setFinite(sign.get, largeExponent.get, sum, aligned.low),
      )
      f.return()
    })
    const low = f.let(I64.of(0).sub(aligned.low))
    const high = f.let(large.get.sub(aligned.high).sub(aligned.low.ne(0).toI64U()))
    returnIf(f, high.or(low).eqz(), () => r.setZero(zeroSign()))
    f.call(setNormalised(c), state, sign.get, largeExponent.get, high, low)
  })
}

/** (state, sign, exponent, high, low): R = high:low · 2^(exponent − 127), which is not zero. */
export function setNormalised(c: FloatModule): SharedFunction {
  return c.shared('float.setNormalised', ['i32', 'i32', 'i32', 'i64', 'i64'], undefined, (f) => {
    const r = slotAt(c, f, f.param(0, 'i32').get, SLOT_R)
    const sign = f.param(1, 'i32').get
    const exponent = f.param(2, 'i32')
    const high = f.param(3, 'i64')
    const low = f.param(4, 'i64')
    normalise(f, { exponent, high, low })
    r.setFinite(sign, exponent.get, high.get, low.get)
  })
}

/** (state): R = A · B. */
export function multiply(c: FloatModule): SharedFunction {
  return c.shared('float.multiply', ['i32'], undefined, (f) => {
    const { state, a, b, r } = operands(c, f)
    f.if(f.call(propagateNan(c), state), () => f.return())
    const sign = f.let(a.sign.xor(b.sign))
    const [classA, classB] = [a.class, b.class]
    const zero = f.let(classA.eq(CLASS_ZERO).or(classB.eq(CLASS_ZERO)))
    f.if(classA.eq(CLASS_INFINITY).or(classB.eq(CLASS_INFINITY)), () => {
      f.if(zero, () => returnInvalid(c, f, state, r))
      r.setInfinity(sign)
      f.return()
    })
    returnIf(f, zero, () => r.setZero(sign))
    const [x, y] = [a.significand, b.significand]
    const high = f.call(multiplyHigh(c), x, y)
    const low = f.let(x.mul(y))
    const exponent = f.let(a.exponent.add(b.exponent))
    f.if(
      high.ltS(0),
      () => r.setFinite(sign, exponent.add(1), high, low),
      () => r.setFinite(sign, exponent, high.shl(1).or(low.shrU(63)), low.shl(1)),
    )
  })
}

/** (state): R = A / B. */
export function divide(c: FloatModule): SharedFunction {
  return c.shared('float.divide', ['i32'], undefined, (f) => {
    const { state, a, b, r } = operands(c, f)
    const sign = f.let(a.sign.xor(b.sign))
    const [classA, classB] = [a.class, b.class]
    // A denormal dividend is not reported then.
    f.if(classA.eq(CLASS_FINITE).and(classB.eq(CLASS_ZERO)), () => {
      raiseFlags(c, f, state, FE_ZERO_DIVIDE)
      r.setInfinity(sign)
      f.return()
    })
    f.if(f.call(propagateNan(c), state), () => f.return())
    f.if(classA.eq(classB).and(classA.ne(CLASS_FINITE)), () => returnInvalid(c, f, state, r))
    returnIf(f, classA.eq(CLASS_INFINITY), () => r.setInfinity(sign))
    returnIf(f, classA.eq(CLASS_ZERO).or(classB.eq(CLASS_INFINITY)), () => r.setZero(sign))
    const [x, y] = [a.significand, b.significand]
    const exponent = f.let(a.exponent.sub(b.exponent))
    // The quotient's top bit is set when the dividend's upper half is between half the divisor and the divisor.
    const less = f.let(x.ltU(y))
    const high = select(less, x, x.shrU(1))
    const low = select(less, I64.of(0), x.shl(63))
    const quotient = f.call(divideWide(c), state, high, low, y)
    const rest = f.load('i64.load', state, c.floatScratch)
    // Compares the remainder with half of the divisor, which is all that rounding needs.
    const twice = f.let(rest.shl(1))
    const above = rest.ltS(0).or(twice.gtU(y))
    const fraction = select(above, I64.of(TOP_BIT + 1n), select(twice.eq(y), I64.of(TOP_BIT), rest.ne(0).toI64U()))
    r.setFinite(sign, exponent.sub(less), quotient, fraction)
  })
}

/** (state): R = √A. */
export function squareRoot(c: FloatModule): SharedFunction {
  return c.shared('float.squareRoot', ['i32'], undefined, (f) => {
    const { state, a, r } = operands(c, f)
    const kind = a.class
    // Of a negative denormal operand only the sign is reported.
    f.if(kind.eq(CLASS_FINITE).or(kind.eq(CLASS_INFINITY)).and(a.sign), () => returnInvalid(c, f, state, r))
    f.if(propagateNanUnary(c, f, state), () => f.return())
    returnIf(f, kind.ne(CLASS_FINITE), () => r.copy(a))
    // 2^126 ≤ radicand < 2^128, so that the root has 64 bits. The radicand's low half has no bit but the topmost.
    const exponent = a.exponent
    const odd = f.let(exponent.and(1))
    const significand = a.significand
    const high = f.let(select(odd, significand, significand.shrU(1)))
    const lowTop = select(odd, I64.of(0), significand.and(1))
    // Zimmermann, "Karatsuba Square Root" (INRIA RR-3805): the root's upper 32 bits are the integer root of `high`. The
    // host's is equal, or one more: it rounds `high` to 53 bits, which moves the root by less than 2^-22, half the
    // distance of its doubles. So a root that reaches an integer k is never rounded to less than k, but may be to k + 1.
    const upper = f.local('i64')
    const rest = f.local('i64')
    f.set(upper, numeric('i64.trunc_sat_f64_s', numeric('f64.sqrt', numeric('f64.convert_i64_u', high))))
    f.set(rest, high.sub(upper.get.mul(upper.get)))
    f.if(rest.get.ltS(0), () => {
      f.set(upper, upper.get.sub(1))
      f.set(rest, rest.get.add(upper.get.shl(1)).add(1))
    })
    // The lower 32 bits are the rest divided by twice the upper ones: that leaves left·2^33 − lower², which is less than
    // twice the root. It is negative if the root is one too large, never two: lower² ≤ 2^64 ≤ twice the root.
    const half = f.let(rest.get.shl(31).or(lowTop.shl(30)))
    const lower = f.let(half.divU(upper.get))
    const left = f.let(half.sub(lower.mul(upper.get)))
    const root = f.local('i64')
    const over = f.local('i64')
    f.set(root, upper.get.shl(32).add(lower))
    // The remainder has 65 bits and a sign: `over` has the bits above `rest`.
    const [minuend, square] = [f.let(left.shl(33)), f.let(lower.mul(lower))]
    f.set(rest, minuend.sub(square))
    f.set(over, left.shrU(31).sub(lower.shrU(32)).sub(minuend.ltU(square).toI64U()))
    f.if(over.get.ltS(0), () => {
      // Twice the root has 65 bits, so that `over` becomes the carry.
      f.set(root, root.get.sub(1))
      const step = f.let(root.get.shl(1).add(1))
      f.set(rest, rest.get.add(step))
      f.set(over, rest.get.ltU(step).toI64U())
    })
    // (root + ½)² lies above the radicand exactly if the remainder does not exceed the root.
    const above = over.get.ne(0).or(rest.get.gtU(root.get))
    const fraction = select(above, I64.of(TOP_BIT + 1n), rest.get.ne(0).toI64U())
    r.setFinite(I32.of(0), exponent.shrS(1), root.get, fraction)
  })
}
