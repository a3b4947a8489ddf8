import { I32, I64, V128, numeric, select } from '@retrap/wasm-emitter'
import { type Context, direct, type Semantics, type SemanticsTable } from '../../semantics/context.ts'
import { IOTA, immediateByte } from '../../semantics/vector/sse-integer-operands.ts'
import type { EvexContext } from '../evex/context.ts'
import { expandBits } from '../evex/elements.ts'
import { built, elementOf, SHAPES, splatted, type Width } from './integers.ts'

/**
 * AVX-512's own moves of elements: permutations across lanes, narrowing, and between masks and vectors.
 *
 * Source: Intel SDM vol. 2C, the pages of each instruction.
 */

/** The elements of lanes that `control` names, which has no bits beyond their number. */
function looked(c: Context, bits: Width, table: readonly V128[], control: V128): V128 {
  const bytes = bits / 8
  // Each index becomes the numbers of its bytes: of the lowest one, everywhere in the element, and of the byte in it.
  const last = IOTA.map((i) => i & ~(bytes - 1))
  const from = numeric(`${SHAPES[bits]}.shl`, control, I32.of(Math.log2(bytes)))
  const places = c.let(numeric('i8x16.add', from.shuffle(from, last), V128.of(IOTA.map((i) => i & (bytes - 1)))))
  const parts = table.map((lane, i) =>
    numeric('i8x16.swizzle', lane, numeric('i8x16.sub', places, V128.of(IOTA.map(() => 16 * i)))),
  )
  return parts.reduce((all, part) => c.let(numeric('v128.or', all, part)))
}

/** Indices of which only as many bits count as a table of `lanes` needs. */
function indices(c: Context, bits: Width, control: V128, lanes: number): V128 {
  return c.let(numeric('v128.and', control, splatted(bits, I64.of((128 / bits) * lanes - 1))))
}

/** Elements of the second source, by indices in the first. */
function permute(bits: Width): Semantics {
  return direct((c) => {
    const table = c.readLanes(2)
    c.mapLanes(1, (control) => looked(c, bits, table, indices(c, bits, control, table.length)))
  })
}

/** Elements of two vectors. The indices are in the destination; or in the first source, and the destination is the lower. */
function permuteTwo(bits: Width, isIndexed: boolean): Semantics {
  return direct((c) => {
    const upper = c.readLanes(2)
    const [old, first] = [c.readLanes(0), c.readLanes(1)]
    const [controls, lower] = isIndexed ? [old, first] : [first, old]
    // Byte numbers beyond 127 would be taken for those of the first lane.
    const results = controls.map((control) => {
      const masked = indices(c, bits, control, 2 * upper.length)
      const isUpper = c.let(
        numeric(`${SHAPES[bits]}.ge_s`, masked, splatted(bits, I64.of((128 / bits) * upper.length))),
      )
      const within = indices(c, bits, masked, upper.length)
      const [a, b] = [looked(c, bits, lower, within), looked(c, bits, upper, within)]
      return c.let(numeric('v128.bitselect', b, a, isUpper))
    })
    c.writeLanes(0, results)
  })
}

/** VALIGND, VALIGNQ: both sources as one, shifted right by elements. */
function align(bits: 32 | 64): Semantics {
  return direct((c) => {
    const lower = c.readLanes(2)
    const upper = c.readLanes(1)
    const count = (128 / bits) * lower.length
    const from = c.let(
      immediateByte(c)
        .and(count - 1)
        .toI64U(),
    )
    const results = lower.map((_, lane) => {
      const control = built(c, bits, (i) => from.add((128 / bits) * lane + i))
      const isUpper = c.let(numeric(`${SHAPES[bits]}.ge_s`, control, splatted(bits, I64.of(count))))
      const within = indices(c, bits, control, lower.length)
      const [a, b] = [looked(c, bits, lower, within), looked(c, bits, upper, within)]
      return c.let(numeric('v128.bitselect', b, a, isUpper))
    })
    c.writeLanes(0, results)
  })
}

/** VSHUFF32X4 and its like: lanes of the first source below lanes of the second, each by bits of the immediate. */
const shuffleLanes: Semantics = direct((c) => {
  const b = c.readLanes(2)
  const a = c.readLanes(1)
  const control = immediateByte(c)
  const width = Math.log2(a.length)
  const results = a.map((_, lane) => {
    const table = lane < a.length / 2 ? a : b
    const field = c.let(control.shrU(width * lane))
    const pick = (from: number): V128 => select(field.and(1), table[from + 1]!, table[from]!)
    return c.let(width === 1 ? pick(0) : select(field.and(2), pick(2), pick(0)))
  })
  c.writeLanes(0, results)
})

// ---------------------------------------------------------------- narrower elements

type Saturation = 'none' | 'signed' | 'unsigned'

/** Elements that are not beyond what `to` bits hold. */
function clamped(c: Context, v: V128, from: Width, to: Width, saturation: Saturation): V128 {
  if (saturation === 'none') return v
  const least = splatted(from, I64.of(-(1n << BigInt(to - 1))))
  const most = splatted(from, I64.of((1n << BigInt(saturation === 'signed' ? to - 1 : to)) - 1n))
  if (from !== 64) {
    const shape = SHAPES[from]
    if (saturation === 'unsigned') return numeric(`${shape}.min_u`, v, most)
    return numeric(`${shape}.max_s`, numeric(`${shape}.min_s`, v, most), least)
  }
  if (saturation === 'unsigned') {
    // Negative numbers are large.
    const isSmall = numeric('v128.and', numeric('i64x2.le_s', v, most), numeric('i64x2.ge_s', v, V128.of([])))
    return numeric('v128.bitselect', v, most, isSmall)
  }
  const below = c.let(numeric('v128.bitselect', v, most, numeric('i64x2.lt_s', v, most)))
  return numeric('v128.bitselect', below, least, numeric('i64x2.gt_s', below, least))
}

/** The low halves of elements, two lanes in one. */
export function halved(c: Context, lanes: readonly V128[], from: Width): readonly V128[] {
  const half = from / 16
  const picked = Array.from({ length: 16 }, (_, i) => 2 * (i - (i % half)) + (i % half))
  return Array.from({ length: Math.ceil(lanes.length / 2) }, (_, i) =>
    c.let(lanes[2 * i]!.shuffle(lanes[2 * i + 1] ?? V128.of([]), picked)),
  )
}

/** Writes fewer bytes than a lane has, or lanes. */
function writeNarrow(c: Context, lanes: readonly V128[]): void {
  if (c.kindOf(0) === 'mem' && c.sizeOf(0) < 16) c.write(0, elementOf(lanes[0]!, 64, 0))
  else c.writeLanes(0, lanes)
}

function narrow(from: Width, to: Width, saturation: Saturation): Semantics {
  return direct((c) => {
    let lanes: readonly V128[] = c.readLanes(1).map((v) => c.let(clamped(c, v, from, to, saturation)))
    for (let bits: number = from; bits > to; bits /= 2) lanes = halved(c, lanes, bits as Width)
    writeNarrow(c, lanes)
  })
}

const LETTERS = { B: 8, W: 16, D: 32, Q: 64 } as const
const SATURATIONS: readonly (readonly [string, Saturation])[] = [
  ['', 'none'],
  ['S', 'signed'],
  ['US', 'unsigned'],
]

/** VPMOVQB, VPMOVSQB, VPMOVUSQB and the others. */
function narrowing(): SemanticsTable {
  const out: Record<string, Semantics> = {}
  for (const [from, to] of ['WB', 'DB', 'QB', 'DW', 'QW', 'QD'].map((pair) => [...pair] as ['Q', 'B']))
    for (const [letters, saturation] of SATURATIONS)
      out[`VPMOV${letters}${from}${to}`] = narrow(LETTERS[from], LETTERS[to], saturation)
  return out
}

// ---------------------------------------------------------------- masks

/** A bit for each element whose highest bit is set. */
export function bitsOfLanes(c: Context, lanes: readonly V128[], bits: Width): I64 {
  return c.let(
    lanes
      .map((lane, i) =>
        numeric(`${SHAPES[bits]}.bitmask`, lane)
          .toI64U()
          .shl(BigInt((128 / bits) * i)),
      )
      .reduce((all, part) => all.or(part)),
  )
}

/** A mask register, all of it. */
const maskOf = (c: Context, i: number): I64 => c.f.load('i64.load', c.registerAddress(i))

/** VPMOVM2B and its like. */
function fromMask(bits: Width): Semantics {
  return {
    emit: (c) => {
      const mask = maskOf(c, 1)
      c.writeLanes(
        0,
        Array.from({ length: c.laneCount(0) }, (_, lane) =>
          c.let(expandBits(c.let(mask.shrU(BigInt((128 / bits) * lane))), bits / 8)),
        ),
      )
    },
  }
}

/** VPBROADCASTMB2Q, VPBROADCASTMW2D: the mask's low bits as a number, everywhere. */
function broadcastMask(maskBits: 8 | 16, bits: 32 | 64): Semantics {
  return {
    emit: (c) => {
      const value = c.let(splatted(bits, maskOf(c, 1).and((1n << BigInt(maskBits)) - 1n)))
      c.fillLanes(value)
    },
  }
}

/** VPSHUFBITQMB: bits of the quadwords of the first source, by the bytes of the second. */
const shuffleBits: Semantics = direct((c) => {
  const b = c.readLanes(2)
  const lanes = c.readLanes(1).map((data, lane) =>
    built(c, 8, (i) =>
      elementOf(data, 64, i >> 3)
        .shrU(elementOf(b[lane]!, 8, i))
        .shl(7n),
    ),
  )
  ;(c as EvexContext).writeMask(bitsOfLanes(c, lanes, 8))
})

/** Comparisons of integers by the immediate: equal, less, either, none; and their opposites. */
function compareBy(bits: Width, isSigned: boolean): Semantics {
  return direct((c) => {
    const b = c.readLanes(2)
    const a = c.readLanes(1)
    const shape = SHAPES[bits]
    const sign = bits === 64 && !isSigned ? c.repeated(1n << 63n, 64) : undefined
    const ordered = (v: V128): V128 => (sign === undefined ? v : numeric('v128.xor', v, sign))
    const less = (x: V128, y: V128): V128 =>
      bits === 64 || isSigned
        ? numeric(`${shape}.lt_s`, ordered(x), ordered(y))
        : numeric(`${SHAPES[bits as 8]}.lt_u`, x, y)
    const isEqual = bitsOfLanes(
      c,
      a.map((x, lane) => numeric(`${shape}.eq`, x, b[lane]!)),
      bits,
    )
    const isLess = bitsOfLanes(
      c,
      a.map((x, lane) => less(x, b[lane]!)),
      bits,
    )
    const control = immediateByte(c)
    const either = (choose: I32, value: I64): I64 => select(choose, value, I64.of(0))
    const found = either(control.and(1).eqz(), isEqual).or(either(control.add(1).and(2), isLess))
    const whole = (1n << BigInt((128 / bits) * a.length)) - 1n
    ;(c as EvexContext).writeMask(found.xor(either(control.and(4), I64.of(whole))))
  })
}

/** VPTESTM, VPTESTNM: elements with a bit that both have, or without one. */
function test(bits: Width, isNone: boolean): Semantics {
  return direct((c) => {
    const b = c.readLanes(2)
    const op = `${SHAPES[bits]}.${isNone ? 'eq' : 'ne'}` as const
    const lanes = c.readLanes(1).map((a, lane) => numeric(op, numeric('v128.and', a, b[lane]!), V128.of([])))
    ;(c as EvexContext).writeMask(bitsOfLanes(c, lanes, bits))
  })
}

/** Operations that exist in each width: their names end with its letter. */
function ofEachWidth(): SemanticsTable {
  const out: Record<string, Semantics> = {}
  for (const [letter, bits] of Object.entries(LETTERS)) {
    if (bits < 32) out[`VPERM${letter}`] = permute(bits)
    out[`VPERMI2${letter}`] = permuteTwo(bits, true)
    out[`VPERMT2${letter}`] = permuteTwo(bits, false)
    out[`VPMOVM2${letter}`] = fromMask(bits)
    out[`VPMOV${letter}2M`] = { emit: (c) => (c as EvexContext).writeMask(bitsOfLanes(c, c.readLanes(1), bits)) }
    out[`VPCMP${letter}`] = compareBy(bits, true)
    out[`VPCMPU${letter}`] = compareBy(bits, false)
    out[`VPTESTM${letter}`] = test(bits, false)
    out[`VPTESTNM${letter}`] = test(bits, true)
  }
  return out
}

export const wideMoves: SemanticsTable = {
  ...ofEachWidth(),
  ...narrowing(),
  VALIGND: align(32),
  VALIGNQ: align(64),
  VSHUFF32X4: shuffleLanes,
  VPBROADCASTMB2Q: broadcastMask(8, 64),
  VPBROADCASTMW2D: broadcastMask(16, 32),
  VPSHUFBITQMB: shuffleBits,
}
