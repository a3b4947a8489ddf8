import type { F32, F64, I32 } from '@retrap/wasm-emitter'
import { bitsOf, float, floatTest, isPlain, isZero, type Bits, type Float } from './host-numbers.ts'

/** Which results of the host's floating point, rounded to nearest, are right and exact. */

/**
 * The bits that are not all 0 in the exponent of a double number, plus 1, if the number is neither zero, denormal, one of
 * the smallest normal numbers, an infinity, nor a NaN.
 */
export const ORDINARY_64 = 0x7fc

/** An operation that the host has. */
export type Operation = 'add' | 'sub' | 'mul' | 'div' | 'sqrt'

/** Position of the exponent, with masks for tests. */
export interface Shape {
  /** Bits of the fraction. */
  readonly fractionBits: number
  /** Mask of the exponent. */
  readonly exponent: number
  /** Exponents plus 1 that are not 0 under this mask are neither the two smallest, nor the third, nor the largest. */
  readonly ordinary: number
  /** The number of low bits that are zero in both factors of a product that is exact. */
  readonly lowHalf: number
}

/** The formats of the two widths. */
export const SHAPES: Readonly<Record<Bits, Shape>> = {
  32: { fractionBits: 23, exponent: 0xff, ordinary: 0xfc, lowHalf: 12 },
  64: { fractionBits: 52, exponent: 0x7ff, ordinary: ORDINARY_64, lowHalf: 27 },
}

/** Returns the exponent, with the sign above. */
export function exponentOf(bits: Bits, x: Float): I32 {
  const { fractionBits } = SHAPES[bits]
  return bits === 64 ? (x as F64).asI64().shrU(fractionBits).toI32() : (x as unknown as F32).asI32().shrU(fractionBits)
}

/** Returns 1 for a denormal: twice its magnitude, minus 1, is below that of the smallest normal number; for zero it is not. */
export function isDenormal(bits: Bits, x: Float): I32 {
  const limit = 2n ** BigInt(SHAPES[bits].fractionBits + 1) - 1n
  return bits === 64
    ? (x as F64).asI64().shl(1).sub(1).ltU(limit)
    : (x as unknown as F32).asI32().shl(1).sub(1).ltU(Number(limit))
}

/** Returns 1 for a number that is neither denormal, zero, infinite nor a NaN; else 0. */
export function isFiniteNormal(bits: Bits, x: Float): I32 {
  const { exponent } = SHAPES[bits]
  return exponentOf(bits, x)
    .add(1)
    .and(exponent & ~1)
    .ne(0)
}

/** Nonzero for the numbers of {@link isFiniteNormal}, except the smallest. */
export function ordinaryBits(bits: Bits, x: Float): I32 {
  return exponentOf(bits, x).add(1).and(SHAPES[bits].ordinary)
}

function lowHalvesAreZero(bits: Bits, a: Float, b: Float): I32 {
  const { lowHalf } = SHAPES[bits]
  const low = bitsOf(bits, a)
    .or(bitsOf(bits, b))
    .and(2n ** BigInt(lowHalf) - 1n)
  return low.eqz()
}

/**
 * 1 if `r`, the host's result for `x` and `y`, which are not denormal, is exact, and is no denormal number.
 *
 * A sum is exact if both operands come back from it: then the error that Knuth's TwoSum computes is zero.
 */
export function isExactResult(
  zeroIsPositive: I32,
  operation: Operation,
  bits: Bits,
  r: Float,
  x: Float,
  y: Float,
): I32 {
  const same = (a: Float, b: Float): I32 => floatTest(bits, 'eq', a, b)
  const ordinary = ordinaryBits(bits, r).ne(0)
  switch (operation) {
    case 'add':
    case 'sub': {
      const [back, other] =
        operation === 'add'
          ? [float(bits, 'sub', r, x), float(bits, 'sub', r, y)]
          : [float(bits, 'sub', x, r), float(bits, 'add', r, y)]
      const zero = isZero(bits, r).and(zeroIsPositive)
      return same(back, y)
        .and(same(other, x))
        .and(isZero(bits, r).or(isDenormal(bits, r)).eqz().or(zero))
    }
    case 'mul':
      return ordinary.and(lowHalvesAreZero(bits, x, y)).or(isZero(bits, r).and(isZero(bits, x).or(isZero(bits, y))))
    case 'div':
      return ordinary
        .and(lowHalvesAreZero(bits, r, y))
        .and(same(float(bits, 'mul', r, y), x))
        .or(isZero(bits, r).and(isZero(bits, x)))
    case 'sqrt':
      return ordinary
        .and(lowHalvesAreZero(bits, r, r))
        .and(same(float(bits, 'mul', r, r), x))
        .or(isZero(bits, x))
  }
}

/** As {@link isExactResult}, for any operands: 0 if one is denormal or a NaN. Software arithmetic tries this first. */
export function isExactAnyway(
  zeroIsPositive: I32,
  operation: Operation,
  bits: Bits,
  r: Float,
  x: Float,
  y: Float,
): I32 {
  return isPlain(bits, x)
    .and(isPlain(bits, y))
    .and(isExactResult(zeroIsPositive, operation, bits, r, x, y))
}
