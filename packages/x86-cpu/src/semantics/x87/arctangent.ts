import { I32, I64, select, type FunctionBuilder } from '@retrap/wasm-emitter'
import type { Context, SemanticsTable } from '../context.ts'
import {
  CLASS_FINITE,
  CLASS_INFINITY,
  CLASS_ZERO,
  propagateNan,
  setNormalised,
  Slot,
  type SharedFunction,
} from '@retrap/soft-float'
import { SLOT_A, SLOT_B, SLOT_R } from '../float-scratch.ts'
import { arctangentOf, Fixed, FractionLocal, fractionOf, oddReciprocals, type Fraction } from './fraction.ts'
import { onTopTwoThenPop } from './stack.ts'

/**
 * The arctangent, to 128 bits before rounding, with all of π.
 *
 * Source: Intel SDM vol. 2, FPATAN.
 */

/** Breakpoints k/8: the series is then for arguments of at most 1/15. */
const BREAKPOINTS = 8
const PI_UNITS = arctangentOf(1n, 1n) * 4n

/** x (1 − x²/3 + x⁴/5 − …) for a normalised fraction · 2^-shift that is small: not normalised. */
function arctangentSeries(f: FunctionBuilder, fixed: Fixed, x: Fraction, shift: I32): Fraction {
  const u = fixed.shiftRight(fixed.multiply(x, x), f.let(shift.shl(1)))
  return fixed.multiply(x, fixed.complement(fixed.multiply(u, fixed.polynomial(u, oddReciprocals(11), true))))
}

/** Sets `result` to arctan(t) from that of the breakpoint k / 8 beside it: arctan(k / 8) ± arctan(u). @param halfT - t / 2, which leaves room for t = 1 */
function fromBreakpoint(
  c: Context,
  f: FunctionBuilder,
  fixed: Fixed,
  halfT: Fraction,
  index: I32,
  result: FractionLocal,
): void {
  // u = (8t − k) / (8 + kt), over 16: both in units that keep them below one.
  const k = f.let(index.toI64U())
  const breakpoint = { high: f.let(k.shl(60)), low: I64.of(0) }
  const below = f.let(halfT.high.ltU(breakpoint.high))
  const distance = fixed.choose(below, fixed.subtract(breakpoint, halfT), fixed.subtract(halfT, breakpoint))
  // (8 + kt)/16 = 1/2 + k · (t/2) / 8
  const eighth = fixed.shiftRight(halfT, I32.of(3))
  const product = {
    high: f.let(eighth.high.mul(k).add(f.call(highWord(c), eighth.low, k))),
    low: f.let(eighth.low.mul(k)),
  }
  const divisor = fixed.add(product, fractionOf(1n << 127n))
  const constant = new FractionLocal(f)
  for (let i = 1; i <= BREAKPOINTS; i++)
    f.if(index.eq(i), () => constant.set(fractionOf(arctangentOf(BigInt(i), BigInt(BREAKPOINTS)))))
  const base = constant.value
  f.if(
    distance.high.or(distance.low).eqz(),
    () => result.set(base),
    () => {
      const u = fixed.normalise(fixed.divide(distance, divisor))
      const delta = fixed.shiftRight(arctangentSeries(f, fixed, u.fraction, u.shift), u.shift)
      result.set(fixed.choose(below, fixed.subtract(base, delta), fixed.add(base, delta)))
    },
  )
}

/**
 * (state): R = the angle of the point (B, A): arctan(A/B) in the right quadrant. A = ST(1) is the ordinate, B = ST(0) the
 * abscissa.
 */
function arctangent(c: Context): SharedFunction {
  return c.shared('float.arctangent', ['i32'], undefined, (f) => {
    const state = f.param(0, 'i32').get
    const fixed = new Fixed(c, f, state)
    const [y, x, r] = [new Slot(f, state, SLOT_A), new Slot(f, state, SLOT_B), new Slot(f, state, SLOT_R)]
    f.if(f.call(propagateNan(c), state), () => f.return())
    const sign = f.let(y.sign)
    const left = f.let(x.sign)
    const [classX, classY] = [x.class, y.class]
    /** units · 2^-128 · 2^twoTo, inexact. */
    const angle = (units: bigint, twoTo: number): void => {
      const value = fractionOf(units)
      f.call(setNormalised(c), state, sign, I32.of(twoTo - 1), value.high, value.low.or(1))
      f.return()
    }
    // Where one of them is zero or infinite.
    f.if(classX.ne(CLASS_FINITE).or(classY.ne(CLASS_FINITE)), () => {
      f.if(classY.eq(CLASS_INFINITY).and(classX.eq(CLASS_INFINITY)), () => {
        f.if(left, () => angle((PI_UNITS * 3n) >> 4n, 2))
        angle(PI_UNITS >> 2n, 0)
      })
      f.if(classY.eq(CLASS_INFINITY).or(classX.eq(CLASS_ZERO).and(classY.ne(CLASS_ZERO))), () =>
        angle(PI_UNITS >> 2n, 1),
      )
      f.if(left, () => angle(PI_UNITS >> 2n, 2))
      r.setZero(sign)
      f.return()
    })
    // t = smaller / larger magnitude, 0 < t ≤ 1.
    const [ex, ey, sx, sy] = [x.exponent, y.exponent, x.significand, y.significand]
    const steep = f.let(ey.gtS(ex).or(ey.eq(ex).and(sy.gtU(sx))))
    const small = f.let(select(steep, sx, sy))
    const large = f.let(select(steep, sy, sx))
    const difference = f.let(select(steep, ey.sub(ex), ex.sub(ey)))
    const half = { high: f.let(small.shrU(1)), low: f.let(small.shl(63)) }
    const { fraction: t, shift } = fixed.normalise(fixed.divide(half, { high: large, low: I64.of(0) }))
    // t = fraction · 2^(1 − shift − difference)
    const down = f.let(shift.add(difference).sub(1))
    const result = new FractionLocal(f)
    /** The result is fraction · 2^-scale. */
    const scale = f.local('i32')
    const index = f.local('i32')
    f.set(index, I32.of(0))
    // 8t to nearest; t = 1 has a negative `down`.
    f.if(down.ltS(4), () => {
      f.set(
        index,
        select(
          down.ltS(0),
          I32.of(BREAKPOINTS),
          t.high
            .shrU(I64.of(60).add(down.and(63).toI64U()))
            .add(1)
            .shrU(1)
            .toI32(),
        ),
      )
    })
    f.if(
      index.get.eqz(),
      () => {
        result.set(arctangentSeries(f, fixed, t, down))
        f.set(scale, down)
      },
      () => {
        fromBreakpoint(c, f, fixed, fixed.shiftRight(t, f.let(down.add(1))), index.get, result)
        f.set(scale, I32.of(0))
      },
    )
    // Right of the ordinate axis and flatter than the diagonal, that is the angle.
    f.if(steep.or(left).eqz(), () => {
      f.call(setNormalised(c), state, sign, I32.of(-1).sub(scale.get), result.high.get, result.low.get.or(1))
      f.return()
    })
    // Else its difference to, or sum with, π/2 or π, over 4.
    const quarter = fixed.shiftRight(result.value, f.let(scale.get.add(2)))
    const base = fixed.choose(steep, fractionOf(PI_UNITS >> 3n), fractionOf(PI_UNITS >> 2n))
    const sum = fixed.choose(steep.and(left), fixed.add(base, quarter), fixed.subtract(base, quarter))
    f.call(setNormalised(c), state, sign, I32.of(1), sum.high, sum.low.or(1))
  })
}

/** (a, b) → high word of a product. */
function highWord(c: Context): SharedFunction<'i64'> {
  return c.shared('fixed.highWord', ['i64', 'i64'], 'i64', (f) => {
    const [a, b] = [f.param(0, 'i64').get, f.param(1, 'i64').get]
    // b has few bits: the product's high word is that of the two halves.
    f.return(a.shrU(32).mul(b).add(a.and(0xffff_ffffn).mul(b).shrU(32)).shrU(32))
  })
}

export const x87Arctangent: SemanticsTable = {
  FPATAN: { emit: (c) => onTopTwoThenPop(c, 'arctangent', (f, state) => f.call(arctangent(c), state)) },
}
