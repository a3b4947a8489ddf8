import {
  CLASS_INFINITY,
  CLASS_ZERO,
  convert,
  F_FLAGS,
  FE_INVALID,
  FE_PRECISION,
  finishAlternativeHalf,
  ROUND_ZERO,
  SLOT_A,
  SLOT_R,
  TOP_BIT,
  toIntegral,
  toNearestInteger,
  unpackAlternativeHalf,
  unpackInteger,
  unpackUnsigned,
} from '@retrap/soft-float'
import type { SharedFunction } from '@retrap/soft-float'
import { I32, I64, select } from '@retrap/wasm-emitter'
import { FPCR_AHP } from '../../state/float-rules.ts'
import type { ArmLibrary } from '../library.ts'
import { S_FLOAT, S_FPCR } from '../../state/state-layout.ts'
import { FloatElement, roundingOf, type Precision } from './element.ts'

/**
 * Conversions of elements.
 *
 * Source: Arm ARM (DDI 0487) J1.2, FPConvert, FPToFixed, FixedToFP, FPRoundInt, FPRoundIntN, FPToFixedJS.
 */

/** The number for the rounding mode that FPCR says. */
export const ROUND_BY_FPCR = 8

const modeOf = ({ f, state }: FloatElement, mode: I32): I32 =>
  f.let(select(mode.eq(ROUND_BY_FPCR), roundingOf(f, state), mode))

/**
 * A function of the state, a number, and some parameters of 32 bits. The number is in slot A when `build` begins.
 *
 * @param bits - of the number, and of a number that is the result
 */
function ofNumber(
  library: ArmLibrary,
  name: string,
  bits: Precision,
  parameters: number,
  build: (e: FloatElement, ...values: I32[]) => I64,
): SharedFunction<'i64'> {
  const types = ['i32', 'i64', ...new Array<'i32'>(parameters).fill('i32')] as const
  return library.function(`element.${name}`, types, 'i64', (f, state, value, ...values) => {
    const e = new FloatElement(library, f, state, bits)
    e.begin()
    e.unpack(SLOT_A, value)
    return build(e, ...values)
  })
}

/** (state, number, `ROUND_*`, bits of the integer, 1 if it is unsigned, bits of its fraction) → the integer. */
export function toFixed(library: ArmLibrary, bits: Precision): SharedFunction<'i64'> {
  return ofNumber(library, `toFixed.${bits}`, bits, 4, (e, mode, width, unsigned, fraction) => {
    const a = e.slot(SLOT_A)
    a.exponent = a.exponent.add(fraction)
    const result = e.f.call(toNearestInteger(library), e.state, width, modeOf(e, mode), unsigned)
    e.end()
    return result
  })
}

/** (state, integer of 64 bits, 1 if it is unsigned, bits of its fraction) → the number. */
export function fromFixed(library: ArmLibrary, bits: Precision): SharedFunction<'i64'> {
  const types = ['i32', 'i64', 'i32', 'i32'] as const
  return library.function(`element.fromFixed.${bits}`, types, 'i64', (f, state, value, unsigned, fraction) => {
    const e = new FloatElement(library, f, state, bits)
    e.begin('results')
    const at = state.add(S_FLOAT + SLOT_R)
    f.if(
      unsigned,
      () => e.call(unpackUnsigned(library), at, value),
      () => e.call(unpackInteger(library), at, value),
    )
    const r = e.slot(SLOT_R)
    r.exponent = r.exponent.sub(fraction)
    return e.finish()
  })
}

/** (state, number, `ROUND_*`, 1 to raise inexactness) → the number without a fraction. */
export function roundToIntegral(library: ArmLibrary, bits: Precision): SharedFunction<'i64'> {
  return ofNumber(library, `round.${bits}`, bits, 2, (e, mode, exact) => {
    e.call(toIntegral(library), modeOf(e, mode))
    e.f.if(exact.eqz(), () => e.lower(FE_PRECISION))
    return e.finish()
  })
}

/** (state, number, `ROUND_*`, 32 or 64) → the number without a fraction, if a signed integer of this many bits has room for it. */
export function roundToSize(library: ArmLibrary, bits: Precision): SharedFunction<'i64'> {
  return ofNumber(library, `roundToSize.${bits}`, bits, 2, (e, mode, size) => {
    e.call(toIntegral(library), modeOf(e, mode))
    const r = e.slot(SLOT_R)
    const [kind, exponent] = [r.class, r.exponent]
    const last = size.sub(1)
    const isLeast = exponent.eq(last).and(r.sign).and(r.significand.eq(TOP_BIT))
    const isOutside = kind.geU(CLASS_INFINITY).or(kind.ne(CLASS_ZERO).and(exponent.geS(last)).and(isLeast.eqz()))
    e.f.if(isOutside, () => {
      e.lower(FE_PRECISION)
      e.raise(FE_INVALID)
      e.end()
      // The smallest integer of that size.
      e.f.return(select(size.eq(32), e.power(31, 1), bits === 16 ? I64.of(0) : e.power(63, 1)))
    })
    return e.finish()
  })
}

/** (state, number) → the number in another precision. */
export function changePrecision(library: ArmLibrary, from: Precision, to: Precision): SharedFunction<'i64'> {
  return library.function(`element.convert${from}.${to}`, ['i32', 'i64'], 'i64', (f, state, value) => {
    const e = new FloatElement(library, f, state, to)
    // FZ16 has no say in conversions: neither half precision is flushed.
    const flushed = from === 16 ? 'none' : to === 16 ? 'operands' : 'both'
    e.begin(flushed, 32)
    const isAlternative = f.let(f.loadExpression('i32.load', state, S_FPCR).and(FPCR_AHP))
    const at = state.add(S_FLOAT + SLOT_A)
    if (from !== 16) e.unpack(SLOT_A, value, from)
    else {
      f.if(
        isAlternative,
        () => e.call(unpackAlternativeHalf(library), at, value),
        () => e.unpack(SLOT_A, value, 16),
      )
    }
    e.call(convert(library))
    if (to === 16) {
      f.if(isAlternative, () => {
        // A NaN becomes a signed zero, even if FPCR.DN selects the default NaN.
        const r = e.slot(SLOT_R)
        r.sign = e.slot(SLOT_A).sign
        const result = f.call(finishAlternativeHalf(library), state)
        e.end()
        f.return(result)
      })
    }
    return e.finish(to)
  })
}

/** (state, double) → single, rounded to odd: what is inexact is cut off, and gets an odd fraction. */
export function toOdd(library: ArmLibrary): SharedFunction<'i64'> {
  return library.function('element.toOdd', ['i32', 'i64'], 'i64', (f, state, value) => {
    const e = new FloatElement(library, f, state, 32)
    e.begin()
    e.roundTowardsZero()
    e.unpack(SLOT_A, value, 64)
    e.call(convert(library))
    const result = e.finish()
    const raised = f.loadExpression('i32.load', state, S_FLOAT + F_FLAGS)
    return result.or(raised.and(FE_PRECISION).ne(0).toI64U())
  })
}

/** (state, double) → a signed integer of 32 bits, modulo 2^32, zero-extended; bit 32 is set if it is exact. */
export function toModularInteger(library: ArmLibrary): SharedFunction<'i64'> {
  return ofNumber(library, 'toModular', 64, 0, (e) => {
    const { f, state } = e
    const a = e.slot(SLOT_A)
    const [exponent, sign, kind] = [a.exponent, a.sign, a.class]
    const integer = f.call(toNearestInteger(library), state, I32.of(32), I32.of(ROUND_ZERO), I32.of(0))
    e.end()
    const raised = f.loadExpression('i32.load', state, S_FLOAT + F_FLAGS)
    const isExact = raised.eqz().and(kind.eq(CLASS_ZERO).and(sign).eqz())
    // A number that is too large keeps its low bits.
    const shift = f.let(exponent.sub(63).toI64U())
    const large = select(exponent.ltS(63), a.significand.shrU(I64.of(0).sub(shift)), a.significand.shl(shift))
    const low = select(exponent.gtS(63 + 31), I64.of(0), select(sign, I64.of(0).sub(large), large))
    const isLarge = raised.and(FE_INVALID).ne(0)
    const modular = select(kind.geU(CLASS_INFINITY), I64.of(0), low)
    const result = select(isLarge, modular, integer)
    return result.toI32().toI64U().or(isExact.toI64U().shl(32))
  })
}
