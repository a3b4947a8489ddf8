import { I32, numeric, type V128 } from '@retrap/wasm-emitter'
import type { Context, Semantics, SemanticsTable } from '../context.ts'
import {
  begin,
  binary,
  doublewords,
  isMmx,
  joinLow,
  lanes,
  unary,
  words,
  zeroVector,
  type BinaryOp,
} from './sse-integer-operands.ts'
import { clear } from './sse-float-move.ts'

/** Arithmetic, comparison and logic on packed integers. Source: Intel SDM vol. 2, the pages of each instruction. */

/** Bytes of the even and of the odd elements of two vectors in a row. */
const EVEN_WORDS = [0, 1, 4, 5, 8, 9, 12, 13, 16, 17, 20, 21, 24, 25, 28, 29]
const ODD_WORDS = [2, 3, 6, 7, 10, 11, 14, 15, 18, 19, 22, 23, 26, 27, 30, 31]
const EVEN_DOUBLEWORDS = [0, 1, 2, 3, 8, 9, 10, 11, 16, 17, 18, 19, 24, 25, 26, 27]
const ODD_DOUBLEWORDS = [4, 5, 6, 7, 12, 13, 14, 15, 20, 21, 22, 23, 28, 29, 30, 31]

/** Upper words of the products of words. */
function multiplyHigh(low: BinaryOp, high: BinaryOp): Semantics {
  return binary((_, a, b) => numeric(low, a, b).shuffle(numeric(high, a, b), ODD_WORDS))
}

/** Products of the even doublewords. */
function multiplyEven(op: BinaryOp): Semantics {
  const even = (v: V128): V128 => v.shuffle(v, EVEN_DOUBLEWORDS)
  return binary((_, a, b) => numeric(op, even(a), even(b)))
}

/** PMULHRSW: WebAssembly saturates −1 × −1, which wraps here. */
function multiplyRounded(_: Context, a: V128, b: V128): V128 {
  const least = words(Array.from({ length: 8 }, () => 0x8000))
  const wraps = numeric('v128.and', numeric('i16x8.eq', a, least), numeric('i16x8.eq', b, least))
  return numeric('v128.xor', numeric('i16x8.q15mulr_sat_s', a, b), wraps)
}

/** PMADDUBSW: unsigned bytes of the destination by signed bytes of the source, neighbours added with saturation. */
function multiplyAddBytes(_: Context, a: V128, b: V128): V128 {
  const lowByte = words(Array.from({ length: 8 }, () => 0xff))
  const even = numeric(
    'i16x8.mul',
    numeric('v128.and', a, lowByte),
    numeric('i16x8.shr_s', numeric('i16x8.shl', b, I32.of(8)), I32.of(8)),
  )
  const odd = numeric('i16x8.mul', numeric('i16x8.shr_u', a, I32.of(8)), numeric('i16x8.shr_s', b, I32.of(8)))
  return numeric('i16x8.add_sat_s', even, odd)
}

/** PSADBW: sums of absolute differences of eight bytes each. */
function sumDifferences(c: Context, a: V128, b: V128): V128 {
  const difference = numeric('v128.or', numeric('i8x16.sub_sat_u', a, b), numeric('i8x16.sub_sat_u', b, a))
  const fours = c.let(numeric('i32x4.extadd_pairwise_i16x8_u', numeric('i16x8.extadd_pairwise_i8x16_u', difference)))
  const low = numeric('v128.and', fours, doublewords([-1, 0, -1, 0]))
  return numeric('i64x2.add', low, numeric('i64x2.shr_u', fours, I32.of(32)))
}

/** PHADD*, PHSUB*: even elements `op` odd elements, the destination's pairs below the source's. */
function horizontal(op: BinaryOp, even: readonly number[], odd: readonly number[]): Semantics {
  return binary((c, a, b) => {
    if (!isMmx(c)) return numeric(op, a.shuffle(b, even), a.shuffle(b, odd))
    const both = c.let(joinLow(a, b))
    return numeric(op, both.shuffle(both, even), both.shuffle(both, odd))
  })
}

/** PSIGN*: negated, cleared or kept by the sign of the source. */
function applySign(less: BinaryOp, notEqual: BinaryOp, subtract: BinaryOp): Semantics {
  return binary((c, a, b) => {
    const negative = c.let(numeric(less, b, zeroVector()))
    const signed = numeric(subtract, numeric('v128.xor', a, negative), negative)
    return numeric('v128.and', signed, numeric(notEqual, b, zeroVector()))
  })
}

/** PHMINPOSUW: the least word and its index, the first of equals. */
function leastPosition(c: Context, b: V128): V128 {
  const keyed = (extended: V128, indices: readonly number[]): V128 =>
    numeric('v128.or', numeric('i32x4.shl', extended, I32.of(3)), doublewords(indices))
  const eight = numeric(
    'i32x4.min_u',
    keyed(numeric('i32x4.extend_low_i16x8_u', b), [0, 1, 2, 3]),
    keyed(numeric('i32x4.extend_high_i16x8_u', b), [4, 5, 6, 7]),
  )
  const four = c.let(eight)
  const two = c.let(
    numeric('i32x4.min_u', four, four.shuffle(four, [8, 9, 10, 11, 12, 13, 14, 15, 0, 1, 2, 3, 4, 5, 6, 7])),
  )
  const one = c.let(numeric('i32x4.min_u', two, two.shuffle(two, [4, 5, 6, 7, 0, 1, 2, 3, 4, 5, 6, 7, 0, 1, 2, 3])))
  const value = numeric('v128.and', numeric('i32x4.shr_u', one, I32.of(3)), doublewords([0xffff, 0, 0, 0]))
  const index = numeric('v128.and', numeric('i32x4.shl', one, I32.of(16)), doublewords([0x7_0000, 0, 0, 0]))
  return numeric('v128.or', value, index)
}

/** PXOR; of a register and itself it is zero. */
function exclusiveOr(c: Context): void {
  if (isMmx(c) || !c.isSame(c.firstSource, c.firstSource + 1)) lanes('v128.xor').emit(c)
  else {
    begin(c)
    clear(c)
  }
}

export const integerArithmetic: SemanticsTable = {
  PADDB: lanes('i8x16.add'),
  PADDW: lanes('i16x8.add'),
  PADDD: lanes('i32x4.add'),
  PADDQ: lanes('i64x2.add'),
  PADDSB: lanes('i8x16.add_sat_s'),
  PADDSW: lanes('i16x8.add_sat_s'),
  PADDUSB: lanes('i8x16.add_sat_u'),
  PADDUSW: lanes('i16x8.add_sat_u'),
  PSUBB: lanes('i8x16.sub'),
  PSUBW: lanes('i16x8.sub'),
  PSUBD: lanes('i32x4.sub'),
  PSUBQ: lanes('i64x2.sub'),
  PSUBSB: lanes('i8x16.sub_sat_s'),
  PSUBSW: lanes('i16x8.sub_sat_s'),
  PSUBUSB: lanes('i8x16.sub_sat_u'),
  PSUBUSW: lanes('i16x8.sub_sat_u'),
  PMULLW: lanes('i16x8.mul'),
  PMULLD: lanes('i32x4.mul'),
  PMULHW: multiplyHigh('i32x4.extmul_low_i16x8_s', 'i32x4.extmul_high_i16x8_s'),
  PMULHUW: multiplyHigh('i32x4.extmul_low_i16x8_u', 'i32x4.extmul_high_i16x8_u'),
  PMULHRSW: binary(multiplyRounded),
  PMULUDQ: multiplyEven('i64x2.extmul_low_i32x4_u'),
  PMULDQ: multiplyEven('i64x2.extmul_low_i32x4_s'),
  PMADDWD: lanes('i32x4.dot_i16x8_s'),
  PMADDUBSW: binary(multiplyAddBytes),
  PSADBW: binary(sumDifferences),
  PAVGB: lanes('i8x16.avgr_u'),
  PAVGW: lanes('i16x8.avgr_u'),
  PMINUB: lanes('i8x16.min_u'),
  PMINUW: lanes('i16x8.min_u'),
  PMINUD: lanes('i32x4.min_u'),
  PMINSB: lanes('i8x16.min_s'),
  PMINSW: lanes('i16x8.min_s'),
  PMINSD: lanes('i32x4.min_s'),
  PMAXUB: lanes('i8x16.max_u'),
  PMAXUW: lanes('i16x8.max_u'),
  PMAXUD: lanes('i32x4.max_u'),
  PMAXSB: lanes('i8x16.max_s'),
  PMAXSW: lanes('i16x8.max_s'),
  PMAXSD: lanes('i32x4.max_s'),
  PABSB: unary((_, b) => numeric('i8x16.abs', b)),
  PABSW: unary((_, b) => numeric('i16x8.abs', b)),
  PABSD: unary((_, b) => numeric('i32x4.abs', b)),
  PSIGNB: applySign('i8x16.lt_s', 'i8x16.ne', 'i8x16.sub'),
  PSIGNW: applySign('i16x8.lt_s', 'i16x8.ne', 'i16x8.sub'),
  PSIGND: applySign('i32x4.lt_s', 'i32x4.ne', 'i32x4.sub'),
  PHADDW: horizontal('i16x8.add', EVEN_WORDS, ODD_WORDS),
  PHADDD: horizontal('i32x4.add', EVEN_DOUBLEWORDS, ODD_DOUBLEWORDS),
  PHADDSW: horizontal('i16x8.add_sat_s', EVEN_WORDS, ODD_WORDS),
  PHSUBW: horizontal('i16x8.sub', EVEN_WORDS, ODD_WORDS),
  PHSUBD: horizontal('i32x4.sub', EVEN_DOUBLEWORDS, ODD_DOUBLEWORDS),
  PHSUBSW: horizontal('i16x8.sub_sat_s', EVEN_WORDS, ODD_WORDS),
  PHMINPOSUW: unary(leastPosition),
  PCMPEQB: lanes('i8x16.eq'),
  PCMPEQW: lanes('i16x8.eq'),
  PCMPEQD: lanes('i32x4.eq'),
  PCMPEQQ: lanes('i64x2.eq'),
  PCMPGTB: lanes('i8x16.gt_s'),
  PCMPGTW: lanes('i16x8.gt_s'),
  PCMPGTD: lanes('i32x4.gt_s'),
  PCMPGTQ: lanes('i64x2.gt_s'),
  PAND: lanes('v128.and'),
  // ~destination & source: WebAssembly negates its second operand.
  PANDN: binary((_, a, b) => numeric('v128.andnot', b, a)),
  POR: lanes('v128.or'),
  PXOR: { direct: true, emit: exclusiveOr, moves: 'bits' },
}
