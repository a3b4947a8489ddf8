import {
  CLASS_INFINITY,
  CLASS_ZERO,
  FE_INVALID,
  FE_ZERO_DIVIDE,
  propagateNanUnary,
  SLOT_A,
  SLOT_R,
} from '@retrap/soft-float'
import { F64, I32, I64, numeric, select, type FunctionBuilder } from '@retrap/wasm-emitter'
import type { ArmContext } from '../context.ts'
import type { FloatElement, FloatOperation } from './element.ts'

/**
 * Estimates of reciprocals and of their square roots, in 8 bits of fraction.
 *
 * Source: Arm ARM (DDI 0487) J1.2, FPRecipEstimate, RecipEstimate, FPRSqrtEstimate, RecipSqrtEstimate, UnsignedRecipEstimate,
 * UnsignedRSqrtEstimate, FPRecpX.
 */

/** The estimate of 2^17 / a, of a from 256 to 511. */
const reciprocalOf = (a: I64): I64 =>
  I64.of(1n << 19n)
    .divU(a.shl(1).add(1))
    .add(1)
    .shrU(1)

/** The estimate of the root's reciprocal: of a from 128 to 255, or of twice a from 256 to 511. */
function reciprocalRootOf(f: FunctionBuilder, a: I32, isLarge: I32): I64 {
  const radicand = select(isLarge, a.shrU(1).shl(1).add(1).shl(1), a.shl(1).add(1))
  // The greatest b for which radicand · b² is below 2^28.
  const root = numeric('f64.sqrt', numeric('f64.div', F64.of(2 ** 28), numeric('f64.convert_i32_u', radicand)))
  const b = f.let(numeric('i32.trunc_sat_f64_u', numeric('f64.ceil', root)).sub(1))
  return b.add(1).shrU(1).toI64U()
}

/** The significand of an estimate of 9 bits, 256 to 511. */
const significandOf = (estimate: I64): I64 => estimate.shl(55)

type Slot = ReturnType<FloatElement['slot']>

/** Estimates of a value: NaN gives NaN, and zero an infinity of its sign; `build` has the rest. */
function estimated(e: FloatElement, value: I64, build: (a: Slot, r: Slot) => void): I64 {
  const { f } = e
  e.begin()
  e.unpack(SLOT_A, value)
  const [a, r] = [e.slot(SLOT_A), e.slot(SLOT_R)]
  f.if(propagateNanUnary(e.library, f, e.state).eqz(), () => {
    f.if(
      a.class.eq(CLASS_ZERO),
      () => {
        e.raise(FE_ZERO_DIVIDE)
        r.setInfinity(a.sign)
      },
      () => build(a, r),
    )
  })
  return e.finish()
}

const reciprocal = (e: FloatElement, value: I64): I64 =>
  estimated(e, value, (a, r) => {
    e.f.if(
      a.class.eq(CLASS_INFINITY),
      () => r.setZero(a.sign),
      () => {
        const estimate = reciprocalOf(a.significand.shrU(55))
        // Too large a result overflows, and too small a one is flushed, as any other is rounded.
        r.setFinite(a.sign, I32.of(-1).sub(a.exponent), significandOf(estimate))
      },
    )
  })

const reciprocalRoot = (e: FloatElement, value: I64): I64 =>
  estimated(e, value, (a, r) => {
    const { f } = e
    f.if(
      a.sign,
      () => {
        e.raise(FE_INVALID)
        r.setDefaultNan(0)
      },
      () => {
        f.if(
          a.class.eq(CLASS_INFINITY),
          () => r.setZero(I32.of(0)),
          () => {
            // Nine bits of an odd exponent, eight of an even one: between 128 and 511, of a number below 1.
            const exponent = a.exponent
            const isOdd = f.let(exponent.and(1))
            const scaled = f.let(a.significand.shrU(select(isOdd, I64.of(55), I64.of(56))).toI32())
            const estimate = reciprocalRootOf(f, scaled, isOdd)
            r.setFinite(I32.of(0), I32.of(-1).sub(exponent).shrS(1), significandOf(estimate))
          },
        )
      },
    )
  })

/** FRECPX: the exponent's bits inverted, no fraction. */
function reciprocalExponent(e: FloatElement, value: I64): I64 {
  const { f, bits } = e
  const fraction = { 16: 10, 32: 23, 64: 52 }[bits]
  const ones = (1n << BigInt(bits - 1 - fraction)) - 1n
  e.begin()
  e.unpack(SLOT_A, value)
  f.if(propagateNanUnary(e.library, f, e.state), () => f.return(e.finish()))
  e.end()
  const exponent = f.let(value.shrU(fraction).and(ones))
  const inverted = select(exponent.eqz(), I64.of(ones - 1n), exponent.xor(ones))
  return value.and(e.signBit).or(inverted.shl(fraction))
}

export const ESTIMATES: Readonly<Record<string, FloatOperation>> = {
  RECPE: { operands: 1, emit: reciprocal },
  RSQRTE: { operands: 1, emit: reciprocalRoot },
  RECPX: { operands: 1, emit: reciprocalExponent },
}

/** URECPE and URSQRTE on a 32-bit fraction below 1; too small operands give all ones. */
export function estimateOfFraction(c: ArmContext, value: I64, isRoot: boolean): I64 {
  const { f } = c
  const bits = f.let(value.shrU(23))
  if (!isRoot) return select(bits.ltU(256), I64.of(0xffff_ffff), reciprocalOf(bits).shl(23))
  const estimate = reciprocalRootOf(f, f.let(bits.toI32()), bits.geU(256))
  return select(bits.ltU(128), I64.of(0xffff_ffff), estimate.shl(23))
}
