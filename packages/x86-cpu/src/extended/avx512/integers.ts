import { I32, I64, V128, extractLane, numeric, replaceLane, select } from '@retrap/wasm-emitter'
import { type Context, direct, type Semantics, type SemanticsTable } from '../../semantics/context.ts'
import { ternary } from '../../semantics/vector/vnni.ts'
import { immediateByte } from '../../semantics/vector/sse-integer-operands.ts'

/**
 * AVX-512's own operations on integers, lane by lane.
 *
 * Source: Intel SDM vol. 2C, the pages of each instruction.
 */

/** Bits of an element of integers. */
export type Width = 8 | 16 | 32 | 64

/** Names of WebAssembly's vectors by the width of their elements. */
export const SHAPES = { 8: 'i8x16', 16: 'i16x8', 32: 'i32x4', 64: 'i64x2' } as const

const and = (a: V128, b: V128): V128 => numeric('v128.and', a, b)
const or = (a: V128, b: V128): V128 => numeric('v128.or', a, b)
const shiftLeft = (bits: Width, v: V128, by: I32): V128 => numeric(`${SHAPES[bits]}.shl`, v, by)
const shiftRight = (bits: Width, v: V128, by: I32): V128 => numeric(`${SHAPES[bits]}.shr_u`, v, by)

/** Element `i` of a vector, zero-extended. */
export function elementOf(v: V128, bits: Width, i: number): I64 {
  if (bits === 64) return extractLane('i64x2.extract_lane', v, i)
  const op = ({ 8: 'i8x16.extract_lane_u', 16: 'i16x8.extract_lane_u', 32: 'i32x4.extract_lane' } as const)[bits]
  return extractLane(op, v, i).toI64U()
}

/** A vector with another element `i`. */
export function replaced(v: V128, bits: Width, i: number, value: I64): V128 {
  if (bits === 64) return replaceLane('i64x2.replace_lane', v, i, value)
  return replaceLane(`${SHAPES[bits]}.replace_lane`, v, i, value.toI32())
}

/** A vector with the same number everywhere. */
export function splatted(bits: Width, value: I64): V128 {
  return bits === 64 ? numeric('i64x2.splat', value) : numeric(`${SHAPES[bits]}.splat`, value.toI32())
}

/** A vector element by element. */
export function built(c: Context, bits: Width, compute: (i: number) => I64): V128 {
  const result = c.f.local('v128')
  c.f.set(result, V128.of([]))
  for (let i = 0; i < 128 / bits; i++) c.f.set(result, replaced(result.get, bits, i, c.let(compute(i))))
  return result.get
}

/** destination = compute(first source, second source) in each lane. */
export function binary(compute: (c: Context, a: V128, b: V128, lane: number) => V128): Semantics {
  return {
    direct: true,
    emit: (c) => c.combineLanes(1, (a, b, lane) => c.let(compute(c, a, b, lane))),
  }
}

/** destination = compute(source) in each lane. */
export function unary(compute: (c: Context, v: V128) => V128): Semantics {
  return { direct: true, emit: (c) => c.mapLanes(1, (v) => c.let(compute(c, v))) }
}

/** The smaller or the larger of quadwords, which WebAssembly has no instruction for. */
function choice(isLarger: boolean, isSigned: boolean): Semantics {
  return binary((c, a, b) => {
    const sign = c.repeated(1n << 63n, 64)
    const [x, y] = isSigned ? [a, b] : [numeric('v128.xor', a, sign), numeric('v128.xor', b, sign)]
    return numeric('v128.bitselect', a, b, numeric(isLarger ? 'i64x2.gt_s' : 'i64x2.lt_s', x, y))
  })
}

/** Each element by its partner, from the second source; the result's upper bits are ignored. */
function elements(bits: Width, compute: (a: I64, b: I64) => I64): Semantics {
  return binary((c, a, b) => built(c, bits, (i) => compute(elementOf(a, bits, i), c.let(elementOf(b, bits, i)))))
}

/** A variable shift: a count beyond the element shifts everything out. */
function shiftOut(bits: Width, shift: (value: I64, count: I64) => I64): Semantics {
  return elements(bits, (value, count) => select(count.ltU(bits), shift(value, count), I64.of(0)))
}

/** The same that fills with signs. */
function shiftSigned(bits: 16 | 64): Semantics {
  return elements(bits, (value, count) =>
    (bits === 16 ? value.extend16S() : value).shrS(select(count.ltU(bits), count, I64.of(bits - 1))),
  )
}

/** VPSRAQ: by an immediate, or by the low quadword of a vector. */
const shiftSignedQuadwords: Semantics = direct((c) => {
  const given = c.kindOf(2) === 'imm' ? immediateByte(c).toI64U() : elementOf(c.readV(2), 64, 0)
  const count = c.let(given)
  const by = c.let(select(count.ltU(64), count.toI32(), I32.of(63)))
  c.mapLanes(1, (v) => c.let(numeric('i64x2.shr_s', v, by)))
})

/** A rotation by the immediate. */
function rotate(bits: 32 | 64, isLeft: boolean): Semantics {
  return unary((c, v) => {
    const count = immediateByte(c)
    const [left, right] = isLeft ? [count, I32.of(0).sub(count)] : [I32.of(0).sub(count), count]
    return or(shiftLeft(bits, v, left), shiftRight(bits, v, right))
  })
}

/** Rotations to the left; to the right by what is missing. */
function rotateVariable(bits: 32 | 64, isLeft: boolean): Semantics {
  return elements(bits, (value, count) => {
    const by = isLeft ? count : I64.of(0).sub(count)
    return bits === 64 ? value.rotl(by) : value.toI32().rotl(by.toI32()).toI64U()
  })
}

/** VPSHLD, VPSHRD: the upper (or lower) half of two elements that are shifted as one. */
function shiftPair(bits: 16 | 32 | 64, isLeft: boolean): Semantics {
  return binary((c, a, b) => {
    const count = c.let(immediateByte(c).and(bits - 1))
    const rest = I32.of(bits - 1).sub(count)
    const one = I32.of(1)
    return isLeft
      ? or(shiftLeft(bits, a, count), shiftRight(bits, shiftRight(bits, b, one), rest))
      : or(shiftRight(bits, a, count), shiftLeft(bits, shiftLeft(bits, b, one), rest))
  })
}

/** The same by counts of their own: the first element is the destination's. */
function shiftPairVariable(bits: 16 | 32 | 64, isLeft: boolean): Semantics {
  return ternary((c, old, other, counts) =>
    built(c, bits, (i) => {
      const [a, b] = [elementOf(old, bits, i), elementOf(other, bits, i)]
      const count = c.let(elementOf(counts, bits, i).and(bits - 1))
      const rest = I64.of(bits - 1).sub(count)
      return isLeft ? a.shl(count).or(b.shrU(1n).shrU(rest)) : a.shrU(count).or(b.shl(1n).shl(rest))
    }),
  )
}

/** Any function of three bits: the immediate has its values. */
const ternaryLogic: Semantics = direct((c) => {
  const control = immediateByte(c)
  const values = Array.from({ length: 8 }, (_, i) =>
    c.let(numeric('i32x4.splat', I32.of(0).sub(control.shrU(i).and(1)))),
  )
  const third = c.readLanes(2)
  const second = c.readLanes(1)
  const choose = (bits: V128, whenSet: V128, whenClear: V128): V128 =>
    numeric('v128.bitselect', whenSet, whenClear, bits)
  c.mapLanes(0, (first, lane) => {
    const byThird = [0, 2, 4, 6].map((i) => c.let(choose(third[lane]!, values[i + 1]!, values[i]!)))
    const bySecond = [0, 2].map((i) => c.let(choose(second[lane]!, byThird[i + 1]!, byThird[i]!)))
    return c.let(choose(first, bySecond[1]!, bySecond[0]!))
  })
})

function leadingZeros(bits: 32 | 64): Semantics {
  return unary((c, v) =>
    built(c, bits, (i) =>
      elementOf(v, bits, i)
        .clz()
        .sub(64 - bits),
    ),
  )
}

/** VPCONFLICT: for each element the set of those below that are equal to it. */
function conflicts(bits: 32 | 64): Semantics {
  const perLane = 128 / bits
  return direct((c) => {
    const lanes = c.readLanes(1)
    const results = lanes.map((v, lane) =>
      built(c, bits, (i) => {
        const same = c.let(splatted(bits, elementOf(v, bits, i)))
        const sets = lanes
          .slice(0, lane + 1)
          .map((other, at) =>
            numeric(`${SHAPES[bits]}.bitmask`, numeric(`${SHAPES[bits]}.eq`, other, same)).shl(perLane * at),
          )
        return sets
          .reduce((all, set) => all.or(set))
          .and((1 << (perLane * lane + i)) - 1)
          .toI64U()
      }),
    )
    c.writeLanes(0, results)
  })
}

/** Numbers of bits that are set. */
function population(bits: Width): Semantics {
  return unary((c, v) => {
    const bytes = numeric('i8x16.popcnt', v)
    if (bits === 8) return bytes
    const words = numeric('i16x8.extadd_pairwise_i8x16_u', bytes)
    if (bits === 16) return words
    const doublewords = c.let(numeric('i32x4.extadd_pairwise_i16x8_u', words))
    if (bits === 32) return doublewords
    const low = and(doublewords, c.repeated(0xffff_ffffn, 64))
    return numeric('i64x2.add', low, numeric('i64x2.shr_u', doublewords, I32.of(32)))
  })
}

/** VPMULTISHIFTQB: each byte is eight bits of the quadword of the second source, from a bit on that the first names. */
const multishift = binary((c, counts, data) =>
  built(c, 8, (i) => elementOf(data, 64, i >> 3).rotr(elementOf(counts, 8, i))),
)

/** Doublewords of a lane by two bits of the immediate each, as bytes for a swizzle. */
function doublewordControl(c: Context): V128 {
  const control = immediateByte(c)
  return built(c, 32, (i) =>
    control
      .shrU(2 * i)
      .and(3)
      .mul(0x0404_0404)
      .add(0x0302_0100)
      .toI64U(),
  )
}

const four = (from: number): number[] => [from, from + 1, from + 2, from + 3]

/** VDBPSADBW: sums of the differences of four bytes each; of a quadword the doublewords by two places of the other's. */
const sumsOfDifferences: Semantics = direct((c) => {
  const control = doublewordControl(c)
  c.combineLanes(1, (a, b) => {
    const shuffled = c.let(numeric('i8x16.swizzle', b, control))
    const half = (at: number): V128 => {
      const left = c.let(
        a.shuffle(
          a,
          [0, 0, 4, 4].flatMap((from) => four(at + from)),
        ),
      )
      const right = c.let(
        shuffled.shuffle(
          shuffled,
          [0, 1, 2, 3].flatMap((from) => four(at + from)),
        ),
      )
      const apart = or(numeric('i8x16.sub_sat_u', left, right), numeric('i8x16.sub_sat_u', right, left))
      return numeric('i32x4.extadd_pairwise_i16x8_u', numeric('i16x8.extadd_pairwise_i8x16_u', apart))
    }
    return c.let(numeric('i16x8.narrow_i32x4_u', half(0), half(8)))
  })
})

export const wideIntegers: SemanticsTable = {
  VPMINSQ: choice(false, true),
  VPMINUQ: choice(false, false),
  VPMAXSQ: choice(true, true),
  VPMAXUQ: choice(true, false),
  VPABSQ: unary((_, v) => numeric('i64x2.abs', v)),
  VPMULLQ: binary((_, a, b) => numeric('i64x2.mul', a, b)),
  VPSLLVW: shiftOut(16, (value, count) => value.shl(count)),
  VPSRLVW: shiftOut(16, (value, count) => value.shrU(count)),
  VPSRAVW: shiftSigned(16),
  VPSRAVQ: shiftSigned(64),
  VPSRAQ: shiftSignedQuadwords,
  VPROLD: rotate(32, true),
  VPROLQ: rotate(64, true),
  VPRORD: rotate(32, false),
  VPRORQ: rotate(64, false),
  VPROLVD: rotateVariable(32, true),
  VPROLVQ: rotateVariable(64, true),
  VPRORVD: rotateVariable(32, false),
  VPRORVQ: rotateVariable(64, false),
  VPSHLDW: shiftPair(16, true),
  VPSHLDD: shiftPair(32, true),
  VPSHLDQ: shiftPair(64, true),
  VPSHRDW: shiftPair(16, false),
  VPSHRDD: shiftPair(32, false),
  VPSHRDQ: shiftPair(64, false),
  VPSHLDVW: shiftPairVariable(16, true),
  VPSHLDVD: shiftPairVariable(32, true),
  VPSHLDVQ: shiftPairVariable(64, true),
  VPSHRDVW: shiftPairVariable(16, false),
  VPSHRDVD: shiftPairVariable(32, false),
  VPSHRDVQ: shiftPairVariable(64, false),
  VPTERNLOGD: ternaryLogic,
  VPTERNLOGQ: ternaryLogic,
  VPLZCNTD: leadingZeros(32),
  VPLZCNTQ: leadingZeros(64),
  VPCONFLICTD: conflicts(32),
  VPCONFLICTQ: conflicts(64),
  VPOPCNTB: population(8),
  VPOPCNTW: population(16),
  VPOPCNTD: population(32),
  VPOPCNTQ: population(64),
  VPMULTISHIFTQB: multishift,
  VDBPSADBW: sumsOfDifferences,
}
