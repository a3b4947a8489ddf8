import { I32, V128, numeric, select, type I64 } from '@retrap/wasm-emitter'
import { type Context, direct, type Semantics, type SemanticsTable } from '../context.ts'
import {
  IOTA,
  begin,
  binary,
  doublewords,
  finish,
  immediateByte,
  isMmx,
  joinLow,
  readVector,
  readVectors,
  unary,
  words,
  writeVector,
  writeVectors,
  type BinaryOp,
  type UnaryOp,
} from './sse-integer-operands.ts'

/**
 * Packing, unpacking, shuffling, blending, inserting, extracting and widening. Immediates are known only at run time:
 * shuffles by immediate compute the control of a swizzle.
 *
 * Source: Intel SDM vol. 2, the pages of each instruction.
 */

function pack(op: BinaryOp): Semantics {
  return binary((c, a, b) => {
    if (!isMmx(c)) return numeric(op, a, b)
    const both = c.let(joinLow(a, b))
    return numeric(op, both, both)
  })
}

/** PUNPCK*: elements of `bytes` bytes, alternately from destination and source, from their low or high halves. */
function interleave(bytes: number, high: boolean): Semantics {
  const control = (from: number): number[] =>
    IOTA.map((i) => from + Math.floor(i / (2 * bytes)) * bytes + (i % bytes) + (Math.floor(i / bytes) % 2) * 16)
  const [xmm, mmx] = [control(high ? 8 : 0), control(high ? 4 : 0)]
  // The high half of an MMX result is not stored, so indices past the vector there do no harm.
  return binary((c, a, b) => a.shuffle(b, isMmx(c) ? mmx.map((i) => i & 31) : xmm))
}

const QUARTERS = [64, 16, 4, 1]

/** Swizzle control for words picked by the four 2-bit fields of the immediate, in each half; relative to the half's first byte. */
function wordControl(c: Context): V128 {
  // Field i comes to bits 7:6 by a multiplication, so that one constant shift brings all of them down.
  const moved = numeric('i16x8.mul', numeric('i16x8.splat', immediateByte(c)), words([...QUARTERS, ...QUARTERS]))
  const fields = numeric(
    'v128.and',
    numeric('i16x8.shr_u', moved, I32.of(6)),
    words(Array.from({ length: 8 }, () => 3)),
  )
  return numeric('i16x8.mul', fields, words(Array.from({ length: 8 }, () => 0x0202)))
}

/** PSHUFLW, PSHUFHW and PSHUFW: words of the half that starts at byte `first`. */
function shuffleWords(first: number): Semantics {
  return unary((c, b) => {
    const base = first + (first << 8) + 0x0100
    const picked = numeric('i16x8.add', wordControl(c), words(Array.from({ length: 8 }, () => base)))
    const half = IOTA.map((i) => (i >= first && i < first + 8 ? 0xff : 0))
    return numeric('i8x16.swizzle', b, numeric('v128.bitselect', picked, V128.of(IOTA), V128.of(half)))
  })
}

function shuffleDoublewords(c: Context, b: V128): V128 {
  const moved = numeric('i32x4.mul', numeric('i32x4.splat', immediateByte(c)), doublewords(QUARTERS))
  const fields = numeric('v128.and', numeric('i32x4.shr_u', moved, I32.of(6)), doublewords([3, 3, 3, 3]))
  const control = numeric(
    'i32x4.add',
    numeric('i32x4.mul', fields, doublewords(Array.from({ length: 4 }, () => 0x0404_0404))),
    doublewords(Array.from({ length: 4 }, () => 0x0302_0100)),
  )
  return numeric('i8x16.swizzle', b, control)
}

/** PSHUFB: bit 7 of an index gives zero, which any index above 15 does in WebAssembly. */
function shuffleBytes(c: Context, a: V128, b: V128): V128 {
  const mask = V128.of(IOTA.map(() => (isMmx(c) ? 0x87 : 0x8f)))
  return numeric('i8x16.swizzle', a, numeric('v128.and', b, mask))
}

/** PALIGNR: destination above source, shifted right by bytes. */
function align(c: Context, a: V128, b: V128): V128 {
  const bytes = immediateByte(c)
  // Limited, so that no index comes round to where it picks something again.
  const count = numeric('i8x16.splat', select(bytes.ltU(32), bytes, I32.of(32)))
  const low = c.let(numeric('i8x16.add', V128.of(IOTA), count))
  if (isMmx(c)) return numeric('i8x16.swizzle', joinLow(b, a), low)
  const high = numeric('i8x16.sub', low, V128.of(IOTA.map(() => 16)))
  return numeric('v128.or', numeric('i8x16.swizzle', b, low), numeric('i8x16.swizzle', a, high))
}

/** PBLENDW: bit i of the immediate picks the source's word i. */
function blendWords(c: Context, a: V128, b: V128): V128 {
  const bits = c.let(words([1, 2, 4, 8, 16, 32, 64, 128]))
  const chosen = numeric('i16x8.eq', numeric('v128.and', numeric('i16x8.splat', immediateByte(c)), bits), bits)
  return numeric('v128.bitselect', b, a, chosen)
}

/** PBLENDVB: the sign bits of the third operand's bytes pick the source. */
function blendBytes(c: Context): void {
  begin(c)
  const b = readVectors(c, c.firstSource + 1)
  const a = readVectors(c, c.firstSource)
  const control = readVectors(c, c.firstSource + 2)
  const results = a.map((x, lane) => {
    const chosen = numeric('i8x16.shr_s', control[lane]!, I32.of(7))
    return numeric('v128.bitselect', b[lane]!, x, chosen)
  })
  writeVectors(c, 0, results)
}

/** PINSR*: the low bytes of a general register or memory, into the element that the immediate names. */
function insert(splat: (value: I64) => V128, equal: BinaryOp, bytes: number): Semantics {
  return direct((c) => {
    begin(c)
    const value = c.readU(c.firstSource + 1)
    const last = (isMmx(c) ? 8 : 16) / bytes - 1
    const numbers = V128.of(IOTA.map((i) => (i % bytes === 0 ? i / bytes : 0)))
    const chosen = numeric(equal, splat(immediateByte(c).and(last).toI64U()), numbers)
    writeVector(c, 0, numeric('v128.bitselect', splat(value), readVector(c, c.firstSource), chosen))
    finish(c)
  })
}

/** PEXTR*: the element that the immediate names, zero-extended into a register. */
function extract(op: 'i64.load8_u' | 'i64.load16_u' | 'i64.load32_u' | 'i64.load', bytes: number): Semantics {
  return direct((c) => {
    begin(c)
    const last = (isMmx(c) ? 8 : 16) / bytes - 1
    const element = c.registerAddress(1).add(immediateByte(c).and(last).mul(bytes))
    c.write(0, c.f.load(op, element, 0))
    finish(c)
  })
}

/** PMOVSX*, PMOVZX*: the low elements, widened in as many steps as it takes. */
function widen(...steps: readonly UnaryOp[]): Semantics {
  const factor = 2 ** steps.length
  const whole = (value: V128): V128 => steps.reduce((v, step) => numeric(step, v), value)
  return direct((c) => {
    begin(c)
    const sources = readVectors(c, 1).map((b) => c.let(b))
    const lanes = Array.from({ length: c.laneCount(0) }, (_, lane) => {
      // An upper lane's elements follow those of the one below.
      const first = (16 / factor) * lane
      const b = sources[first >> 4]!
      if ((first & 15) === 0) return whole(b)
      const next = b.shuffle(
        b,
        IOTA.map((i) => (i + first) & 15),
      )
      return whole(next)
    })
    writeVectors(c, 0, lanes)
  })
}

/** MPSADBW: sums of four absolute differences between a sliding window of the destination and a fixed block of the source. */
function slidingDifferences(c: Context, a: V128, b: V128, lane: number): V128 {
  // Even lanes have the lowest three bits of the immediate, odd lanes the next three.
  const control = c.let(immediateByte(c).shrU(3 * (lane & 1)))
  const window = c.let(
    numeric('i8x16.swizzle', a, numeric('i8x16.add', V128.of(IOTA), numeric('i8x16.splat', control.and(4)))),
  )
  const block = numeric('i8x16.splat', control.and(3).shl(2))
  let sum: V128 | undefined
  for (let k = 0; k < 4; k++) {
    const moved = window.shuffle(
      window,
      IOTA.map((i) => (i + k) & 15),
    )
    const byte = numeric('i8x16.swizzle', b, numeric('i8x16.add', block, V128.of(IOTA.map(() => k))))
    const difference = numeric(
      'i16x8.abs',
      numeric('i16x8.sub', numeric('i16x8.extend_low_i8x16_u', moved), numeric('i16x8.extend_low_i8x16_u', byte)),
    )
    sum = sum === undefined ? difference : numeric('i16x8.add', sum, difference)
  }
  return sum as V128
}

const splat8 = (value: I64): V128 => numeric('i8x16.splat', value.toI32())
const splat16 = (value: I64): V128 => numeric('i16x8.splat', value.toI32())
const splat32 = (value: I64): V128 => numeric('i32x4.splat', value.toI32())
const splat64 = (value: I64): V128 => numeric('i64x2.splat', value)

export const integerShuffles: SemanticsTable = {
  PACKSSWB: pack('i8x16.narrow_i16x8_s'),
  PACKUSWB: pack('i8x16.narrow_i16x8_u'),
  PACKSSDW: pack('i16x8.narrow_i32x4_s'),
  PACKUSDW: pack('i16x8.narrow_i32x4_u'),
  PUNPCKLBW: interleave(1, false),
  PUNPCKLWD: interleave(2, false),
  PUNPCKLDQ: interleave(4, false),
  PUNPCKLQDQ: interleave(8, false),
  PUNPCKHBW: interleave(1, true),
  PUNPCKHWD: interleave(2, true),
  PUNPCKHDQ: interleave(4, true),
  PUNPCKHQDQ: interleave(8, true),
  PSHUFW: shuffleWords(0),
  PSHUFLW: shuffleWords(0),
  PSHUFHW: shuffleWords(8),
  PSHUFD: unary(shuffleDoublewords),
  PSHUFB: binary(shuffleBytes),
  PALIGNR: binary(align),
  PBLENDW: binary(blendWords),
  PBLENDVB: { direct: true, emit: blendBytes },
  PINSRB: insert(splat8, 'i8x16.eq', 1),
  PINSRW: insert(splat16, 'i16x8.eq', 2),
  PINSRD: insert(splat32, 'i32x4.eq', 4),
  PINSRQ: insert(splat64, 'i64x2.eq', 8),
  PEXTRB: extract('i64.load8_u', 1),
  PEXTRW: extract('i64.load16_u', 2),
  PEXTRD: extract('i64.load32_u', 4),
  PEXTRQ: extract('i64.load', 8),
  PMOVSXBW: widen('i16x8.extend_low_i8x16_s'),
  PMOVSXBD: widen('i16x8.extend_low_i8x16_s', 'i32x4.extend_low_i16x8_s'),
  PMOVSXBQ: widen('i16x8.extend_low_i8x16_s', 'i32x4.extend_low_i16x8_s', 'i64x2.extend_low_i32x4_s'),
  PMOVSXWD: widen('i32x4.extend_low_i16x8_s'),
  PMOVSXWQ: widen('i32x4.extend_low_i16x8_s', 'i64x2.extend_low_i32x4_s'),
  PMOVSXDQ: widen('i64x2.extend_low_i32x4_s'),
  PMOVZXBW: widen('i16x8.extend_low_i8x16_u'),
  PMOVZXBD: widen('i16x8.extend_low_i8x16_u', 'i32x4.extend_low_i16x8_u'),
  PMOVZXBQ: widen('i16x8.extend_low_i8x16_u', 'i32x4.extend_low_i16x8_u', 'i64x2.extend_low_i32x4_u'),
  PMOVZXWD: widen('i32x4.extend_low_i16x8_u'),
  PMOVZXWQ: widen('i32x4.extend_low_i16x8_u', 'i64x2.extend_low_i32x4_u'),
  PMOVZXDQ: widen('i64x2.extend_low_i32x4_u'),
  MPSADBW: binary(slidingDifferences),
}
