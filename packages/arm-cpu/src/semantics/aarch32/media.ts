import { I32, I64, select } from '@retrap/wasm-emitter'
import type { ArmContext } from '../context.ts'
import { fieldOf } from '../../state/form.ts'
import { familyOf, type Family } from '../semantics.ts'
import type { A32Semantics } from './semantics.ts'
import { ge, setGe, setQ } from './status-registers.ts'

/** Parallel additions, saturation, packing, selection, sums of differences. */

/** A value between two limits. */
function clamp(c: ArmContext, value: I32, least: number, most: number): I32 {
  const atLeast = c.let(select(value.ltS(least), I32.of(least), value))
  return select(atLeast.gtS(most), I32.of(most), atLeast)
}

/** The meaning of the letters before ADD, SUB, ASX and SAX. */
interface Kind {
  readonly isSigned: boolean
  readonly saturates: boolean
  readonly halves: boolean
}

const KINDS: Readonly<Record<string, Kind>> = {
  S: { isSigned: true, saturates: false, halves: false },
  Q: { isSigned: true, saturates: true, halves: false },
  SH: { isSigned: true, saturates: false, halves: true },
  U: { isSigned: false, saturates: false, halves: false },
  UQ: { isSigned: false, saturates: true, halves: false },
  UH: { isSigned: false, saturates: false, halves: true },
}

/** A lane of a word. @param bits - 8 or 16 */
export function lane(word: I32, index: number, bits: number, isSigned: boolean): I32 {
  const low = word.shrU(index * bits)
  if (isSigned) return bits === 8 ? low.extend8S() : low.extend16S()
  return low.and((1 << bits) - 1)
}

/**
 * Additions and subtractions of bytes or halves. ASX and SAX exchange the halves of the second operand, subtract in one lane
 * and add in the other.
 */
const parallel: A32Semantics = {
  selectors: '',
  emit(c, { row }) {
    const [, letters = '', operation = '', width] = /^(S|Q|SH|U|UQ|UH)(ADD|SUB|ASX|SAX)(8|16)?$/.exec(row.name)!
    const { isSigned, saturates, halves } = KINDS[letters]!
    const bits = width === '8' ? 8 : 16
    const [n, m] = [c.n(false).toI32(), c.m(false).toI32()].map((value) => c.let(value))
    const crosses = width === undefined
    const mask = (1 << bits) - 1
    let result: I32 = I32.of(0)
    let atLeast: I32 = I32.of(0)
    for (let i = 0; i < 32 / bits; i++) {
      const first = lane(n!, i, bits, isSigned)
      const second = lane(m!, crosses ? 1 - i : i, bits, isSigned)
      const adds = crosses ? (operation === 'ASX') === (i === 1) : operation === 'ADD'
      const sum = c.let(adds ? first.add(second) : first.sub(second))
      const least = isSigned ? -(1 << (bits - 1)) : 0
      const most = isSigned ? (1 << (bits - 1)) - 1 : mask
      const value = saturates ? clamp(c, sum, least, most) : halves ? sum.shrS(1) : sum
      result = c.let(result.or(value.and(mask).shl(i * bits)))
      if (saturates || halves) continue
      const isSet = adds && !isSigned ? sum.gtS(mask) : sum.geS(0)
      const places = bits === 8 ? 1 << i : 3 << (2 * i)
      atLeast = c.let(atLeast.or(I32.of(0).sub(isSet).and(places)))
    }
    if (!saturates && !halves) setGe(c, atLeast)
    c.setD(result.toI64U(), false)
  },
}

/** Saturates to the given bounds, and sets PSTATE.Q if the value changes. */
function saturated(c: ArmContext, value: I64, least: I64, most: I64): I64 {
  const atLeast = c.let(select(value.ltS(least), least, value))
  const result = c.let(select(atLeast.gtS(most), most, atLeast))
  setQ(c, result.ne(value))
  return result
}

const INT_LEAST = -(2n ** 31n)
const INT_MOST = 2n ** 31n - 1n
const word = (c: ArmContext, value: I64): I64 => saturated(c, value, I64.of(INT_LEAST), I64.of(INT_MOST))

/** QADD, QSUB, and those that double the second operand first. */
const saturatingSum: A32Semantics = {
  selectors: '',
  emit(c, { row }) {
    const name = row.name
    const first = c.let(c.m(false).extend32S())
    const operand = c.let(c.n(false).extend32S())
    const second = name.startsWith('QD') ? word(c, c.let(operand.shl(1))) : operand
    c.setD(word(c, c.let(name.endsWith('ADD') ? first.add(second) : first.sub(second))), false)
  },
}

/** SSAT and USAT: `R_SMALL` is the number of bits, the immediate the amount; 32 and more shift to the right by the rest. */
const RIGHT = 32

const saturate: A32Semantics = {
  selectors: '',
  small: (row, insn) => fieldOf(row, 'w', insn),
  immediate(row, insn) {
    const amount = fieldOf(row, 'i', insn)
    if (fieldOf(row, 'k', insn) === 0) return BigInt(amount)
    return BigInt(RIGHT + (amount === 0 ? 32 : amount))
  },
  emit(c, { row }) {
    const amount = c.let(c.immediate)
    const value = c.let(c.n(false))
    const left = value.shl(amount).extend32S()
    const right = value.extend32S().shrS(amount.sub(RIGHT))
    const shifted = c.let(select(amount.geU(RIGHT), right, left))
    const limit = c.let(I64.of(1).shl(c.small.toI64U()))
    const least = row.name === 'SSAT' ? I64.of(0).sub(limit) : I64.of(0)
    c.setD(saturated(c, shifted, least, limit.sub(1)), false)
  },
}

const saturateHalves: A32Semantics = {
  selectors: '',
  small: (row, insn) => fieldOf(row, 'w', insn),
  emit(c, { row }) {
    const value = c.let(c.n(false))
    const limit = c.let(I64.of(1).shl(c.small.toI64U()))
    const least = row.name === 'SSAT16' ? I64.of(0).sub(limit) : I64.of(0)
    const half = (from: I64): I64 => c.let(from.extend16S())
    const low = saturated(c, half(value), least, limit.sub(1))
    const high = saturated(c, half(value.shrU(16)), least, limit.sub(1))
    c.setD(low.and(0xffff).or(high.shl(16)), false)
  },
}

/** The bottom of one operand and the top of another, which is shifted. */
const pack: A32Semantics = {
  selectors: '',
  immediate(row, insn) {
    const amount = fieldOf(row, 'i', insn)
    return BigInt(row.name === 'PKHTB' && amount === 0 ? 32 : amount)
  },
  emit(c, { row }) {
    const first = c.n(false)
    const second = c.m(false)
    const amount = c.immediate
    const result =
      row.name === 'PKHBT'
        ? first.and(0xffff).or(second.shl(amount).and(0xffff_0000n))
        : first.and(0xffff_0000n).or(second.extend32S().shrS(amount).and(0xffff))
    c.setD(result, false)
  },
}

/** Each byte of the first operand where its bit of PSTATE.GE is set, else of the second. */
const selection: A32Semantics = {
  selectors: '',
  emit(c) {
    const bits = c.let(ge(c))
    // A bit becomes a byte.
    const spread = bits.mul(0x0020_4081).and(0x0101_0101)
    const mask = c.let(spread.mul(0xff))
    const [n, m] = [c.n(false).toI32(), c.m(false).toI32()]
    c.setD(
      n
        .and(mask)
        .or(m.and(mask.xor(-1)))
        .toI64U(),
      false,
    )
  },
}

/** The sum of absolute differences of bytes. */
const differences: A32Semantics = {
  selectors: '',
  emit(c, { row }) {
    const [n, m] = [c.n(false).toI32(), c.m(false).toI32()].map((value) => c.let(value))
    let sum = row.fields.has('a') ? c.a(false).toI32() : I32.of(0)
    for (let i = 0; i < 4; i++) {
      const difference = c.let(lane(n!, i, 8, false).sub(lane(m!, i, 8, false)))
      sum = c.let(sum.add(select(difference.ltS(0), I32.of(0).sub(difference), difference)))
    }
    c.setD(sum.toI64U(), false)
  },
}

/** SXTB16 and similar: extends bytes 0 and 2 of a rotated operand to halves, and optionally adds another operand's. */
const extendBytes: A32Semantics = {
  selectors: '',
  small: (row, insn) => fieldOf(row, 'r', insn) * 8,
  emit(c, { row }) {
    const rotated = c.let(c.m(false).toI32().rotr(c.small))
    const isSigned = row.name.startsWith('S')
    let [low, high] = [0, 2].map((byte) => lane(rotated, byte, 8, isSigned)) as [I32, I32]
    if (row.fields.has('n')) {
      const n = c.let(c.n(false).toI32())
      low = low.add(n)
      high = high.add(n.shrU(16))
    }
    c.setD(low.and(0xffff).or(high.shl(16)).toI64U(), false)
  },
}

/** The family's semantics of a row. */
export const media: Family<A32Semantics> = familyOf<A32Semantics>({
  parallel,
  saturate: ({ name }) => (name.startsWith('Q') ? saturatingSum : name.endsWith('16') ? saturateHalves : saturate),
  pack,
  select: selection,
  differences,
  extend: ({ name }) => (name.endsWith('16') ? extendBytes : undefined),
})
