import { I32, I64, select, type FunctionBuilder } from '@retrap/wasm-emitter'
import { FLAG_CF, FLAG_ZF } from '../../state/state-layout.ts'
import { FE_PRECISION, normalise } from '@retrap/soft-float'

/**
 * Extended numbers that are normal or zero.
 *
 * A number is a pair here: its significand, whose topmost bit is set unless the number is zero, and the word of sign and
 * exponent.
 *
 * Source: Intel SDM vol. 1, "Double Extended-Precision Floating-Point Format".
 */

/** A number as a register holds it. */
export interface Extended {
  readonly significand: I64
  readonly word: I32
}

/** The sign in the word of sign and exponent. */
export const SIGN = 0x8000
/** The largest biased exponent of a finite number. */
export const LARGEST_EXPONENT = 0x7ffe
/** The bias of an exponent. */
export const BIAS = 0x3fff
const TOP_BIT = 1n << 63n

/** The biased exponent of a word of sign and exponent. */
export const exponentOf = (word: I32): I32 => word.and(0x7fff)

/** Gives 1 if a number is normal. */
export function isNormal({ significand, word }: Extended): I32 {
  return significand.ltS(0).and(exponentOf(word).sub(1).ltU(LARGEST_EXPONENT))
}

/** Gives 1 if a number is zero, of either sign. */
export function isZero({ significand, word }: Extended): I32 {
  return significand.eqz().and(exponentOf(word).eqz())
}

// ---------------------------------------------------------------- conversions

/** A single or double number as an extended one, and whether it is normal or zero. */
export function widened(f: FunctionBuilder, bits: 32 | 64, given: I64): Extended & { readonly isQuick: I32 } {
  const value = f.let(given)
  const fractionBits = bits === 32 ? 23 : 52
  const largest = bits === 32 ? 0xff : 0x7ff
  const exponent = f.let(value.shrU(fractionBits).toI32().and(largest))
  const sign = f.let(
    value
      .shrU(bits - 1)
      .toI32()
      .and(1)
      .shl(15),
  )
  const zero = f.let(value.shl(65 - bits).eqz())
  const normal = exponent.sub(1).ltU(largest - 1)
  return {
    significand: f.let(select(zero, I64.of(0), value.shl(63 - fractionBits).or(BigInt.asIntN(64, TOP_BIT)))),
    word: f.let(sign.or(select(zero, I32.of(0), exponent.add(BIAS - (largest >>> 1))))),
    isQuick: f.let(normal.or(zero)),
  }
}

/** An integer, exactly. */
export function fromInteger(f: FunctionBuilder, given: I64): Extended {
  const value = f.let(given)
  const sign = f.let(value.shrS(63))
  const magnitude = f.let(value.xor(sign).sub(sign))
  const zeros = f.let(magnitude.clz())
  const word = sign
    .toI32()
    .and(SIGN)
    .or(I32.of(BIAS + 63).sub(zeros.toI32()))
  return {
    significand: f.let(magnitude.shl(zeros)),
    word: f.let(select(magnitude.eqz(), I32.of(0), word)),
  }
}

// ---------------------------------------------------------------- arithmetic

/** A number with 128 bits, the topmost of which is set. */
export interface Wide {
  readonly sign: I32
  readonly exponent: I32
  readonly high: I64
  readonly low: I64
}

/** Multiplies normal numbers, exactly. */
export function product(f: FunctionBuilder, a: Extended, b: Extended): Wide {
  const lower = (value: I64): I64 => f.let(value.and(0xffff_ffffn))
  const upper = (value: I64): I64 => f.let(value.shrU(32))
  const [al, ah, bl, bh] = [lower(a.significand), upper(a.significand), lower(b.significand), upper(b.significand)]
  const [ll, lh, hl] = [f.let(al.mul(bl)), f.let(al.mul(bh)), f.let(ah.mul(bl))]
  const middle = f.let(ll.shrU(32).add(lh.and(0xffff_ffffn)).add(hl.and(0xffff_ffffn)))
  const high = f.local('i64')
  const low = f.local('i64')
  const exponent = f.local('i32')
  f.set(high, ah.mul(bh).add(lh.shrU(32)).add(hl.shrU(32)).add(middle.shrU(32)))
  f.set(low, middle.shl(32).or(ll.and(0xffff_ffffn)))
  f.set(
    exponent,
    exponentOf(a.word)
      .add(exponentOf(b.word))
      .sub(BIAS - 1),
  )
  f.if(high.get.geS(0), () => {
    f.set(high, high.get.shl(1).or(low.get.shrU(63)))
    f.set(low, low.get.shl(1))
    f.set(exponent, exponent.get.sub(1))
  })
  return {
    sign: f.let(a.word.xor(b.word).and(SIGN)),
    exponent: exponent.get,
    high: high.get,
    low: low.get,
  }
}

/**
 * Adds normal numbers; bit 0 of the result also stands for all bits below it.
 *
 * @param cancelled - runs where the sum is zero
 */
export function sum(f: FunctionBuilder, a: Extended, b: Extended, cancelled: () => void): Wide {
  const [high, low, exponent] = [f.local('i64'), f.local('i64'), f.local('i32')]
  const [ea, eb] = [f.let(exponentOf(a.word)), f.let(exponentOf(b.word))]
  const isLess = f.let(ea.ltU(eb).or(ea.eq(eb).and(a.significand.ltU(b.significand))))
  const large = f.let(select(isLess, b.significand, a.significand))
  const small = f.let(select(isLess, a.significand, b.significand))
  const sign = f.let(select(isLess, b.word, a.word).and(SIGN))
  f.set(exponent, select(isLess, eb, ea))
  const distance = f.let(exponent.get.sub(select(isLess, ea, eb)).toI64U())
  // The smaller one, moved right; of bits that are lost one remains.
  const moved = f.local('i64')
  f.if(
    distance.ltU(64),
    () => {
      f.set(moved, small.shrU(distance))
      f.set(low, select(distance.eqz(), I64.of(0), small.shl(I64.of(64).sub(distance))))
    },
    () => {
      const beyond = f.let(distance.sub(64))
      f.set(moved, I64.of(0))
      const kept = f.let(small.shrU(beyond))
      const lost = kept.shl(beyond).ne(small)
      f.set(low, select(beyond.ltU(64), kept.or(lost.toI64U()), I64.of(1)))
    },
  )
  f.if(
    a.word.xor(b.word).and(SIGN).eqz(),
    () => {
      f.set(high, large.add(moved.get))
      f.if(high.get.ltU(large), () => {
        f.set(low, high.get.shl(63).or(low.get.shrU(1)).or(low.get.and(1)))
        f.set(high, high.get.shrU(1).or(BigInt.asIntN(64, TOP_BIT)))
        f.set(exponent, exponent.get.add(1))
      })
    },
    () => {
      f.set(low, I64.of(0).sub(low.get))
      f.set(high, large.sub(moved.get).sub(low.get.ne(0).toI64U()))
      f.if(high.get.geS(0), () => {
        normalise(f, { exponent, high, low }, () => f.if(low.get.eqz(), cancelled))
      })
    },
  )
  return { sign, exponent: exponent.get, high: high.get, low: low.get }
}

/** Rounds to 64 bits, to nearest. @returns `flags`: the bits of FSW that rounding sets */
export function roundNearest(
  f: FunctionBuilder,
  { exponent, high, low }: Wide,
): { readonly significand: I64; readonly exponent: I32; readonly flags: I32 } {
  // Above one half; or one half, and the last bit is odd.
  const up = f.let(low.ltS(0).and(low.shl(1).ne(0).or(high.toI32().and(1))))
  const sum = f.let(high.add(up.toI64U()))
  const carry = f.let(sum.eqz())
  return {
    significand: f.let(select(carry, I64.of(BigInt.asIntN(64, TOP_BIT)), sum)),
    exponent: f.let(exponent.add(carry)),
    flags: f.let(select(low.ne(0), I32.of(FE_PRECISION).or(up.shl(9)), I32.of(0))),
  }
}

// ---------------------------------------------------------------- comparison

/** CF and ZF of a compared with b; `isQuick` if they are normal or zero. */
export function compared(
  f: FunctionBuilder,
  a: Extended,
  b: Extended,
): { readonly relation: I32; readonly isQuick: I32 } {
  const quick = (x: Extended): I32 => isNormal(x).or(isZero(x))
  const isNegative = (x: Extended): I32 => x.word.shrU(15).and(x.significand.ne(0))
  const magnitudeLess = (x: Extended, y: Extended): I32 => {
    const [ex, ey] = [exponentOf(x.word), exponentOf(y.word)]
    return ex.ltU(ey).or(ex.eq(ey).and(x.significand.ltU(y.significand)))
  }
  const [na, nb] = [f.let(isNegative(a)), f.let(isNegative(b))]
  const equal = a.significand
    .eq(b.significand)
    .and(exponentOf(a.word).eq(exponentOf(b.word)))
    .and(na.eq(nb))
  const less = select(na.ne(nb), na, select(na, magnitudeLess(b, a), magnitudeLess(a, b)))
  const bit = (mask: number): number => 31 - Math.clz32(mask)
  return {
    relation: f.let(select(equal, I32.of(FLAG_ZF), less.shl(bit(FLAG_CF)))),
    isQuick: f.let(quick(a).and(quick(b))),
  }
}
