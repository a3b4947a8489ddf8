import { I32, V128, extractLane, numeric, replaceLane, select, type I64 } from '@retrap/wasm-emitter'
import { type Context, direct, type Semantics, type SemanticsTable } from '../context.ts'
import { IOTA, doublewords, immediateByte, zeroVector } from './sse-integer-operands.ts'
import { testBits } from './sse-integer-string.ts'
import { dynamicHalf } from './sse-float-move.ts'
import { element, type Bits } from './vector-elements.ts'

/**
 * The moves of elements that AVX and AVX2 brought: broadcasts, permutations, and halves of 256-bit registers.
 *
 * Source: Intel SDM vol. 2C, the pages of each instruction.
 */

const WORD_INDICES = doublewords([0x0302_0100, 0x0302_0100, 0x0302_0100, 0x0302_0100])
const LANE_BYTES = V128.of(IOTA.map(() => 16))

/** Byte indices of the doublewords that each doubleword of `control` names. */
function doublewordIndices(control: V128): V128 {
  return numeric(
    'i32x4.add',
    numeric('i32x4.mul', control, doublewords([1, 1, 1, 1].map(() => 0x0404_0404))),
    WORD_INDICES,
  )
}

/** VBROADCASTSS and its like: the source's first element everywhere. */
function broadcast(splat: (value: I64) => V128): Semantics {
  return direct((c) => {
    const value = c.let(splat(c.kindOf(1) === 'xmm' ? element(c.readV(1), 64, 0) : c.readU(1)))
    c.fillLanes(value)
  })
}

const broadcastLane: Semantics = direct((c) => {
  const value = c.readV(1)
  c.writeLanes(0, [value, value])
})

/** VINSERTF128, VINSERTI128. */
const insertLane: Semantics = direct((c) => {
  const value = c.readV(2)
  const [low, high] = c.readLanes(1) as [V128, V128]
  const upper = c.let(c.immediate().toI32().and(1))
  c.writeLanes(0, [select(upper, low, value), select(upper, value, high)])
})

/** VEXTRACTF128, VEXTRACTI128. */
const extractLaneOf: Semantics = direct((c) => {
  const [low, high] = c.readLanes(1) as [V128, V128]
  c.writeV(0, select(c.immediate().toI32().and(1), high, low))
})

/** VPERM2F128, VPERM2I128: two bits choose a lane of the four, a third zeroes. */
const permuteLanes: Semantics = direct((c) => {
  const b = c.readLanes(2) as [V128, V128]
  const a = c.readLanes(1) as [V128, V128]
  const control = immediateByte(c)
  const pick = (shift: number): V128 => {
    const field = control.shrU(shift)
    const upper = field.and(1)
    const chosen = select(field.and(2), select(upper, b[1], b[0]), select(upper, a[1], a[0]))
    return select(field.and(8), zeroVector(), chosen)
  }
  c.writeLanes(0, [pick(0), pick(4)])
})

/** VPERMD, VPERMPS: all doublewords of the second source, by the low bits of those of the first. */
const permuteDoublewords: Semantics = direct((c) => {
  const sources = c.readLanes(2)
  const last = 4 * sources.length - 1
  c.mapLanes(1, (control) =>
    swizzleLanes(c, sources, doublewordIndices(numeric('v128.and', control, doublewords([last, last, last, last])))),
  )
})

/** Bytes of several lanes, by indices through all of them. */
export function swizzleLanes(c: Context, sources: readonly V128[], indices: V128): V128 {
  let bytes = c.let(indices)
  return sources
    .map((source, lane) => {
      // Indices outside a lane swizzle in zeros.
      if (lane > 0) bytes = c.let(numeric('i8x16.sub', bytes, LANE_BYTES))
      return numeric('i8x16.swizzle', source, bytes)
    })
    .reduce((a, b) => numeric('v128.or', a, b))
}

/** VPERMQ, VPERMPD: quadwords of each half of 256 bits, by two bits of the immediate each. */
const permuteQuadwords: Semantics = direct((c) => {
  const lanes = c.readLanes(1)
  const control = immediateByte(c)
  const results = lanes.map((_, lane) => {
    const [low, high] = lanes.slice(lane & 2) as [V128, V128]
    const pick = (i: number): I64 => {
      const field = control.shrU(4 * (lane & 1) + 2 * i)
      return select(field.and(2), dynamicHalf(field, 0, high), dynamicHalf(field, 0, low))
    }
    return replaceLane('i64x2.replace_lane', numeric('i64x2.splat', pick(0)), 1, pick(1))
  })
  c.writeLanes(0, results)
})

/** VPERMILPS: doublewords within each lane, by two bits each of the immediate or of a control vector. */
function permuteInLane32(c: Context): void {
  const seconds = c.kindOf(2) === 'imm' ? undefined : c.readLanes(2)
  const field = doublewords([3, 3, 3, 3])
  const immediate = (): V128 => {
    const control = immediateByte(c)
    return [0, 1, 2, 3].reduce(
      (v, i) => replaceLane('i32x4.replace_lane', v, i, control.shrU(2 * i).and(3)),
      zeroVector(),
    )
  }
  const shared = seconds === undefined ? c.let(doublewordIndices(immediate())) : undefined
  c.mapLanes(1, (x, lane) => {
    const indices = shared ?? doublewordIndices(numeric('v128.and', seconds![lane]!, field))
    return numeric('i8x16.swizzle', x, indices)
  })
}

/** VPERMILPD: one bit an element, bit 1 of the quadwords of a control vector. */
function permuteInLane64(c: Context): void {
  const seconds = c.kindOf(2) === 'imm' ? undefined : c.readLanes(2)
  const control = seconds === undefined ? immediateByte(c) : I32.of(0)
  c.mapLanes(1, (x, lane) => {
    const pick = (i: number): I64 => {
      if (seconds === undefined) return dynamicHalf(control, 2 * lane + i, x)
      return dynamicHalf(c.let(extractLane('i32x4.extract_lane', seconds[lane]!, 2 * i)), 1, x)
    }
    return replaceLane('i64x2.replace_lane', numeric('i64x2.splat', pick(0)), 1, pick(1))
  })
}

/** VTESTPS, VTESTPD: as VPTEST, on the sign bits alone. */
function testSigns(bits: Bits): Semantics {
  const signs = V128.of(IOTA.map((i) => (((i + 1) * 8) % bits === 0 ? 0x80 : 0)))
  return { direct: true, emit: (c) => testBits(c, signs) }
}

const splat32 = (value: I64): V128 => numeric('i32x4.splat', value.toI32())
const splat64 = (value: I64): V128 => numeric('i64x2.splat', value)

export const avxPermutations: SemanticsTable = {
  VBROADCASTSS: broadcast(splat32),
  VBROADCASTSD: broadcast(splat64),
  VBROADCASTF128: broadcastLane,
  VPBROADCASTB: broadcast((value) => numeric('i8x16.splat', value.toI32())),
  VPBROADCASTW: broadcast((value) => numeric('i16x8.splat', value.toI32())),
  VINSERTF128: insertLane,
  VEXTRACTF128: extractLaneOf,
  VPERM2F128: permuteLanes,
  VPERMD: permuteDoublewords,
  VPERMQ: permuteQuadwords,
  VPERMILPS: { direct: true, emit: permuteInLane32 },
  VPERMILPD: { direct: true, emit: permuteInLane64 },
  VTESTPS: testSigns(32),
  VTESTPD: testSigns(64),
}
