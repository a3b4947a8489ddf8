import { I32, type V128, numeric } from '@retrap/wasm-emitter'
import type { Context, Semantics, SemanticsTable } from '../../semantics/context.ts'
import { addSaturated, dot, ternary } from '../../semantics/vector/vnni.ts'

/**
 * Sums of products: AVX-VNNI-INT8, AVX-VNNI-INT16 and AVX-IFMA.
 *
 * Source: Intel Architecture Instruction Set Extensions Programming Reference, VPDPB[SU,UU,SS]D[,S], VPDPW[SU,US,UU]D[,S],
 * VPMADD52HUQ, VPMADD52LUQ.
 */

const add = (_: Context, sum: V128, products: V128): V128 => numeric('i32x4.add', sum, products)

/** Sums beyond 32 bits, of numbers without a sign, become the largest number. */
function addUnsigned(c: Context, a: V128, b: V128): V128 {
  const sum = c.let(numeric('i32x4.add', a, b))
  return numeric('v128.or', sum, numeric('i32x4.lt_u', sum, a))
}

/** The odd bytes of a vector as words. */
const oddBytes = (v: V128, isSigned: boolean): V128 => numeric(isSigned ? 'i16x8.shr_s' : 'i16x8.shr_u', v, I32.of(8))
const evenBytes = (v: V128, isSigned: boolean): V128 => oddBytes(numeric('i16x8.shl', v, I32.of(8)), isSigned)

/** Products of four bytes each, added up: 18 bits. */
function byteProducts(isFirstSigned: boolean, isSecondSigned: boolean) {
  return (_: Context, a: V128, b: V128): V128 =>
    numeric(
      'i32x4.add',
      numeric('i32x4.dot_i16x8_s', evenBytes(a, isFirstSigned), evenBytes(b, isSecondSigned)),
      numeric('i32x4.dot_i16x8_s', oddBytes(a, isFirstSigned), oddBytes(b, isSecondSigned)),
    )
}

const oddWords = (v: V128, isSigned: boolean): V128 => numeric(isSigned ? 'i32x4.shr_s' : 'i32x4.shr_u', v, I32.of(16))
const evenWords = (v: V128, isSigned: boolean): V128 => oddWords(numeric('i32x4.shl', v, I32.of(16)), isSigned)

/** The largest and the smallest number of 32 bits. */
const LARGEST = 0x7fff_ffffn
const SMALLEST = -0x8000_0000n

/** A sum of three numbers with a sign, each of 32 bits: what is beyond 32 bits becomes the largest number of its sign. */
function addThree(c: Context, terms: readonly V128[]): V128 {
  const half = (op: 'i64x2.extend_low_i32x4_s' | 'i64x2.extend_high_i32x4_s'): V128 => {
    const [a, b, third] = terms.map((term) => numeric(op, term)) as [V128, V128, V128]
    const sum = c.let(numeric('i64x2.add', numeric('i64x2.add', a, b), third))
    const least = (x: V128, y: V128): V128 => numeric('v128.bitselect', x, y, numeric('i64x2.gt_s', y, x))
    const most = (x: V128, y: V128): V128 => numeric('v128.bitselect', x, y, numeric('i64x2.gt_s', x, y))
    return c.let(most(c.let(least(sum, c.repeated(LARGEST, 64))), c.repeated(SMALLEST, 64)))
  }
  const low = half('i64x2.extend_low_i32x4_s')
  const high = half('i64x2.extend_high_i32x4_s')
  return low.shuffle(high, [0, 1, 2, 3, 8, 9, 10, 11, 16, 17, 18, 19, 24, 25, 26, 27])
}

/** Products of two words each, added to a doubleword. Every product has 32 bits: with a sign if one of its factors has. */
function wordDot(isFirstSigned: boolean, isSecondSigned: boolean, isSaturated: boolean): Semantics {
  const isSigned = isFirstSigned || isSecondSigned
  return ternary((c, sum, a, b) => {
    const even = c.let(numeric('i32x4.mul', evenWords(a, isFirstSigned), evenWords(b, isSecondSigned)))
    const odd = c.let(numeric('i32x4.mul', oddWords(a, isFirstSigned), oddWords(b, isSecondSigned)))
    if (!isSaturated) return numeric('i32x4.add', numeric('i32x4.add', sum, even), odd)
    if (isSigned) return addThree(c, [c.let(sum), even, odd])
    return addUnsigned(c, c.let(addUnsigned(c, c.let(sum), even)), odd)
  })
}

const shifted = (v: V128, by: number): V128 => numeric('i64x2.shr_u', v, I32.of(by))
const plus = (a: V128, b: V128): V128 => numeric('i64x2.add', a, b)
const times = (a: V128, b: V128): V128 => numeric('i64x2.mul', a, b)
const lowest = (c: Context, v: V128, bits: bigint): V128 => numeric('v128.and', v, c.repeated((1n << bits) - 1n, 64))

/** The lower or upper 52 bits of products of 52 bits, added to quadwords. Factors are taken apart into halves of 26 bits. */
function multiplyAdd52(isUpper: boolean): Semantics {
  return ternary((c, sum, a, b) => {
    const [a0, b0] = [a, b].map((v) => c.let(lowest(c, v, 26n))) as [V128, V128]
    const [a1, b1] = [a, b].map((v) => c.let(lowest(c, shifted(v, 26), 26n))) as [V128, V128]
    const low = c.let(times(a0, b0))
    const middle = c.let(plus(times(a0, b1), times(a1, b0)))
    if (!isUpper) return plus(sum, lowest(c, plus(low, numeric('i64x2.shl', middle, I32.of(26))), 52n))
    return plus(sum, plus(times(a1, b1), shifted(plus(middle, shifted(low, 26)), 26)))
  })
}

export const products: SemanticsTable = {
  VPDPBUUD: dot(byteProducts(false, false), add),
  VPDPBUUDS: dot(byteProducts(false, false), addUnsigned),
  VPDPBSUD: dot(byteProducts(true, false), add),
  VPDPBSUDS: dot(byteProducts(true, false), addSaturated),
  VPDPBSSD: dot(byteProducts(true, true), add),
  VPDPBSSDS: dot(byteProducts(true, true), addSaturated),
  VPDPWUUD: wordDot(false, false, false),
  VPDPWUUDS: wordDot(false, false, true),
  VPDPWSUD: wordDot(true, false, false),
  VPDPWSUDS: wordDot(true, false, true),
  VPDPWUSD: wordDot(false, true, false),
  VPDPWUSDS: wordDot(false, true, true),
  VPMADD52LUQ: multiplyAdd52(false),
  VPMADD52HUQ: multiplyAdd52(true),
}
