import type { Handler } from '../../system/operands.ts'
import type { System } from '../../system/system.ts'
import { ROW_BYTES } from './tile-configuration.ts'
import { product, type Tile } from './tiles.ts'

/**
 * Products of tiles. Single-precision results are rounded to nearest, denormal ones become zeros, and no flags are set.
 *
 * Source: SDM vol. 2C, TDPBSSD and its relatives, TDPBF16PS, TDPFP16PS, TCMMIMFP16PS; Intel Architecture Instruction Set Extensions
 * Programming Reference, TMMULTF32PS, TDPBF8PS and its relatives. The order of NaNs is not said there: here the factors come before
 * the sum.
 */

const WORDS = ROW_BYTES / 4

/** Calls `each` for the doublewords that a sum of the destination is made of, row by row. */
function eachTerm(
  s: System,
  [to, a, b]: readonly [Tile, Tile, Tile],
  row: number,
  each: (n: number, left: number, right: number) => void,
): void {
  for (let k = 0; k < b.rows; k++) {
    const left = s.get(a.at + row * ROW_BYTES + 4 * k)
    for (let n = 0; n < to.bytes >> 2; n++) each(n, left, s.get(b.at + k * ROW_BYTES + 4 * n))
  }
}

/** Four products of bytes are added to each doubleword. */
function integers(isSigned: boolean, isOtherSigned: boolean): Handler {
  const byte = (word: number, shift: number, signed: boolean): number =>
    signed ? (word << (24 - shift)) >> 24 : (word >>> shift) & 0xff
  return product((s, to, a, b) => {
    for (let row = 0; row < to.rows; row++)
      eachTerm(s, [to, a, b], row, (n, left, right) => {
        const at = to.at + row * ROW_BYTES + 4 * n
        let sum = s.get(at)
        for (let shift = 0; shift < 32; shift += 8)
          sum += byte(left, shift, isSigned) * byte(right, shift, isOtherSigned)
        s.set(at, sum | 0)
      })
  })
}

const single = new Float32Array(1)
const singleBits = new Uint32Array(single.buffer)
const SIGN = 0x8000_0000
const INFINITY = 0x7f80_0000
const QUIET = 0x40_0000
/** The result of an invalid operation. */
const INDEFINITE = 0xffc0_0000
/** The least result that is rounded to a normal number. */
const LEAST = 2 ** -126 - 2 ** -151

const isNan = (bits: number): boolean => (bits & 0x7fff_ffff) > INFINITY

/** The value of a single-precision number; a denormal one is a zero. */
function valueOf(bits: number): number {
  singleBits[0] = (bits & INFINITY) === 0 ? bits & SIGN : bits
  return single[0]!
}

/** The value of a single-precision number, also of a denormal one. */
function wholeValueOf(bits: number): number {
  singleBits[0] = bits
  return single[0]!
}

/** The single-precision number that is nearest; a result that would be denormal is a zero. */
function rounded(exact: number): number {
  if (Number.isNaN(exact)) return INDEFINITE
  single[0] = Math.abs(exact) < LEAST ? (exact < 0 || Object.is(exact, -0) ? -0 : 0) : exact
  return singleBits[0]!
}

/** x · y + sum, rounded once: a double holds the sum of factors as narrow as these, or all of it that decides the rounding. */
function multiplyAdd(sum: number, x: number, y: number, value: (bits: number) => number = valueOf): number {
  for (const bits of [x, y, sum]) if (isNan(bits)) return bits | QUIET
  return rounded(value(x) * value(y) + value(sum))
}

const ONE = 0x3f80_0000
const plus = (a: number, b: number): number => multiplyAdd(b, a, ONE)

/** Half precision as single precision, denormal numbers and NaNs as they are. */
function fromHalf(half: number): number {
  const sign = (half & 0x8000) << 16
  const [exponent, fraction] = [(half >>> 10) & 31, half & 0x3ff]
  if (exponent === 31) return (sign | INFINITY | (fraction << 13)) >>> 0
  single[0] = exponent === 0 ? fraction * 2 ** -24 : (1024 + fraction) * 2 ** (exponent - 25)
  return (sign | singleBits[0]!) >>> 0
}

/** Two factors of each of both products that two doublewords have. */
type Factors = (left: number, right: number, into: number[]) => void

/** Products of the even elements and of the odd ones are summed apart; both sums then are added to the destination. */
function floats(factors: Factors): Handler {
  const sums = new Uint32Array(2 * WORDS)
  const found = [0, 0, 0, 0]
  return product((s, to, a, b) => {
    for (let row = 0; row < to.rows; row++) {
      sums.fill(0)
      eachTerm(s, [to, a, b], row, (n, left, right) => {
        factors(left, right, found)
        for (let i = 0; i < 2; i++) sums[2 * n + i] = multiplyAdd(sums[2 * n + i]!, found[2 * i]!, found[2 * i + 1]!)
      })
      for (let n = 0; n < to.bytes >> 2; n++) {
        const at = to.at + row * ROW_BYTES + 4 * n
        s.set(at, plus(s.get(at), plus(sums[2 * n]!, sums[2 * n + 1]!)))
      }
    }
  })
}

const bf16: Factors = (left, right, into) => {
  into[0] = (left << 16) >>> 0
  into[1] = (right << 16) >>> 0
  into[2] = (left & 0xffff_0000) >>> 0
  into[3] = (right & 0xffff_0000) >>> 0
}

/** @param crossed - imaginary parts: odd with even, even with odd. @param negated - sign bit of the odd left element */
const halves =
  (crossed: boolean, negated: number): Factors =>
  (left, right, into) => {
    const [even, odd] = [fromHalf(left & 0xffff), fromHalf((left >>> 16) ^ negated)]
    into[0] = crossed ? odd : even
    into[1] = fromHalf(right & 0xffff)
    into[2] = crossed ? even : odd
    into[3] = fromHalf(right >>> 16)
  }

/** TMMULTF32PS: of each factor 10 bits of the fraction count. Denormal numbers count, too. */
function tensorFloats(): Handler {
  const sums = new Uint32Array(WORDS)
  const narrow = (bits: number): number => (isNan(bits) ? bits | QUIET : bits) & ~0x1fff
  const add = (sum: number, x: number, y: number): number => multiplyAdd(sum, x, y, wholeValueOf)
  return product((s, to, a, b) => {
    for (let row = 0; row < to.rows; row++) {
      sums.fill(0)
      eachTerm(s, [to, a, b], row, (n, left, right) => {
        sums[n] = add(sums[n]!, narrow(left) >>> 0, narrow(right) >>> 0)
      })
      for (let n = 0; n < to.bytes >> 2; n++) {
        const at = to.at + row * ROW_BYTES + 4 * n
        s.set(at, add(sums[n]!, s.get(at), ONE))
      }
    }
  })
}

/** A format of 8 bits: the values of all its numbers, in units of its least denormal number. */
interface Bytes {
  readonly values: Float64Array
  readonly unit: number
}

/** @param hasInfinity - the last exponent is for infinities and NaNs; otherwise NaN is the number with all bits set */
function bytesOf(fractionBits: number, hasInfinity: boolean): Bytes {
  const ones = (1 << fractionBits) - 1
  const last = 0x7f >> fractionBits
  const values = Float64Array.from({ length: 256 }, (_, byte) => {
    const [exponent, fraction] = [(byte & 0x7f) >> fractionBits, byte & ones]
    const magnitude = exponent === 0 ? fraction : (fraction + ones + 1) * 2 ** (exponent - 1)
    const isSpecial = exponent === last && (hasInfinity || fraction === ones)
    const value = !isSpecial ? magnitude : hasInfinity && fraction === 0 ? Infinity : Number.NaN
    return byte > 0x7f ? -value : value
  })
  return { values, unit: 2 ** (2 - (1 << (6 - fractionBits)) - fractionBits) }
}
/** E5M2 and E4M3. */
const [BF8, HF8] = [bytesOf(2, true), bytesOf(3, false)]

/** Exact sums are kept in two numbers, in units of this and of 1. */
const UPPER = 2 ** 26

/**
 * TDPBF8PS and its relatives: four products of bytes each. The sum of all products is exact; it is rounded to single precision
 * once, then added to the destination. Every NaN is the indefinite one.
 */
function bytes(left: Bytes, right: Bytes): Handler {
  const [upper, lower, special] = [new Float64Array(WORDS), new Float64Array(WORDS), new Float64Array(WORDS)]
  const unit = left.unit * right.unit
  return product((s, to, a, b) => {
    for (let row = 0; row < to.rows; row++) {
      for (const part of [upper, lower, special]) part.fill(0)
      eachTerm(s, [to, a, b], row, (n, x, y) => {
        for (let shift = 0; shift < 32; shift += 8) {
          const term = left.values[(x >>> shift) & 0xff]! * right.values[(y >>> shift) & 0xff]!
          const above = Math.trunc(term / UPPER)
          if (Number.isFinite(term)) {
            upper[n]! += above
            lower[n]! += term - above * UPPER
          } else special[n]! += term
        }
      })
      for (let n = 0; n < to.bytes >> 2; n++) {
        const at = to.at + row * ROW_BYTES + 4 * n
        const sum = special[n] === 0 ? exactSum(upper[n]!, lower[n]!) * unit : special[n]!
        const old = s.get(at)
        s.set(at, isNan(old) ? INDEFINITE : plus(old, rounded(sum)))
      }
    }
  })
}

/** upper · UPPER + lower. Bits that a double has no room for are one bit, which is enough to round to single precision. */
function exactSum(upper: number, lower: number): number {
  const carry = Math.floor(lower / UPPER)
  const [high, low] = [upper + carry, lower - carry * UPPER]
  if (Math.abs(high) < UPPER) return high * UPPER + low
  return (2 * high + (low === 0 ? 0 : 1)) * (UPPER / 2)
}

export const tileProducts: Readonly<Record<string, Handler>> = {
  TDPBUUD: integers(false, false),
  TDPBUSD: integers(false, true),
  TDPBSUD: integers(true, false),
  TDPBSSD: integers(true, true),
  TDPBF16PS: floats(bf16),
  TDPFP16PS: floats(halves(false, 0)),
  TCMMIMFP16PS: floats(halves(true, 0)),
  TCMMRLFP16PS: floats(halves(false, 0x8000)),
  TMMULTF32PS: tensorFloats(),
  TDPBF8PS: bytes(BF8, BF8),
  TDPBHF8PS: bytes(BF8, HF8),
  TDPHBF8PS: bytes(HF8, BF8),
  TDPHF8PS: bytes(HF8, HF8),
}
