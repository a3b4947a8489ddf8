import { SLICE_REPEAT, slicedCount, slicedSeed } from '@retrap/tooling/slice'
import { describe, expect, test } from 'vitest'
import { x87 } from '../../src/semantics/index.ts'
import { Random } from './numbers.ts'
import * as P from './processor.ts'
import { UNITY, angle, cosine, exponential, fixedOf, logarithm, product, sine, tangent, unitOf } from './reference.ts'

const CASES = slicedCount(400, 5)
const processor = new P.Processor(x87)

interface Row {
  readonly name: string
  readonly code: readonly number[]
  /** Unbiased exponents of ST(0), and of ST(1). */
  readonly range: readonly [number, number]
  readonly other?: readonly [number, number]
  readonly positive?: boolean
  /** Exact results, from ST(0) on. */
  readonly exact: (st0: bigint, st1: bigint) => readonly bigint[]
}

const ROWS: readonly Row[] = [
  { name: 'F2XM1', code: [0xd9, 0xf0], range: [-90, -1], exact: (x) => [exponential(x)] },
  {
    name: 'FYL2X',
    code: [0xd9, 0xf1],
    range: [-100, 100],
    other: [-20, 20],
    positive: true,
    exact: (x, y) => [product(y, logarithm(x))],
  },
  {
    name: 'FYL2X near one',
    code: [0xd9, 0xf1],
    range: [-1, 0],
    other: [-20, 20],
    positive: true,
    exact: (x, y) => [product(y, logarithm(x))],
  },
  { name: 'FPTAN', code: [0xd9, 0xf2], range: [-60, 62], exact: (x) => [UNITY, tangent(x)] },
  { name: 'FPATAN', code: [0xd9, 0xf3], range: [-20, 20], other: [-20, 20], exact: (x, y) => [angle(y, x)] },
  {
    name: 'FPATAN near the diagonal',
    code: [0xd9, 0xf3],
    range: [0, 1],
    other: [0, 1],
    exact: (x, y) => [angle(y, x)],
  },
  {
    name: 'FYL2XP1',
    code: [0xd9, 0xf9],
    range: [-90, -2],
    other: [-20, 20],
    exact: (x, y) => [product(y, logarithm(UNITY + x))],
  },
  { name: 'FSINCOS', code: [0xd9, 0xfb], range: [-60, 62], exact: (x) => [cosine(x), sine(x)] },
  { name: 'FSIN', code: [0xd9, 0xfe], range: [-60, 62], exact: (x) => [sine(x)] },
  { name: 'FSIN below four', code: [0xd9, 0xfe], range: [-3, 1], exact: (x) => [sine(x)] },
  { name: 'FCOS', code: [0xd9, 0xff], range: [-60, 62], exact: (x) => [cosine(x)] },
]

function magnitude(value: bigint): bigint {
  return value < 0n ? -value : value
}

/** A number with an exponent in the range; now and then close to a power of two. */
function operand(
  random: Random,
  [from, to]: readonly [number, number],
  positive: boolean,
): { significand: bigint; word: number } {
  const fraction = random.below(4) === 0 ? random.bits(63) >> BigInt(random.below(63)) : random.bits(63)
  const sign = positive ? 0 : random.below(2) << 15
  return {
    significand: (1n << 63n) | (random.below(8) === 0 ? (1n << 63n) - 1n - fraction : fraction),
    word: sign | (0x3fff + from + random.below(to - from + 1)),
  }
}

/** Products with a whole logarithm that are denormal: exact, but for what the status word says. */
const WHOLE: readonly (readonly [name: string, code: readonly number[], word: number, significand: bigint])[] = [
  ['FYL2X of 2', [0xd9, 0xf1], 0x4000, 1n << 63n],
  ['FYL2X of 4', [0xd9, 0xf1], 0x4001, 1n << 63n],
  ['FYL2X of 1/2', [0xd9, 0xf1], 0x3ffe, 1n << 63n],
  ['FYL2XP1 of 1', [0xd9, 0xf9], 0x3fff, 1n << 63n],
  ['FYL2XP1 of 3', [0xd9, 0xf9], 0x4000, 0xc000_0000_0000_0000n],
]
const DENORMAL = [1n, 3n, 0x1234_5678_9abc_def0n, (1n << 62n) - 1n]
const [UE, PE] = [0x10, 0x20]

test.each(WHOLE)(
  `a denormal product with a whole logarithm underflows: %s${P.hostNote}`,
  (_name, code, word, significand) => {
    const cases = new Uint8Array(DENORMAL.length * P.CASE_BYTES)
    for (const [i, number] of DENORMAL.entries()) {
      const at = i * P.CASE_BYTES
      const view = new DataView(cases.buffer, at)
      cases.set(code, at + P.C_CODE)
      view.setUint16(P.FX_FCW, 0x37f, true)
      view.setUint8(P.FX_FTW, 0x7f)
      view.setUint32(P.FX_MXCSR, 0x1f80, true)
      view.setBigUint64(P.FX_ST, significand, true)
      view.setUint16(P.FX_ST + 8, word, true)
      view.setBigUint64(P.FX_ST + 16, number, true)
    }
    const flags = (all: Uint8Array): number[] => DENORMAL.map((_, i) => all[i * P.CASE_BYTES + P.FX_FSW]! & (UE | PE))
    const host = P.hostMissing === undefined ? flags(P.runOnHost(cases)) : DENORMAL.map(() => UE | PE)
    for (const i of DENORMAL.keys()) processor.execute(cases, i * P.CASE_BYTES)
    expect(flags(cases)).toEqual(DENORMAL.map(() => UE | PE))
    expect(host).toEqual(flags(cases))
  },
)

describe('x87 transcendental instructions against exact arithmetic (SDM vol. 1, "Transcendental Instruction Accuracy")', () => {
  test.each(ROWS)('$name errs by less than one unit in the last place', ({ code, range, other, positive, exact }) => {
    const random = new Random(slicedSeed(0x7a11))
    let largest = 0
    for (let i = 0; i < CASES; i++) {
      const cases = new Uint8Array(P.CASE_BYTES)
      const view = new DataView(cases.buffer)
      cases.set(code, P.C_CODE)
      const rounding = i % 4
      view.setUint16(P.FX_FCW, 0x37f | (rounding << 10), true)
      view.setUint16(P.FX_FSW, 0, true)
      view.setUint8(P.FX_FTW, 0x7f)
      view.setUint32(P.FX_MXCSR, 0x1f80, true)
      const inputs = [operand(random, range, positive ?? false), operand(random, other ?? [0, 0], false)].map(
        (value, j) => {
          view.setBigUint64(P.FX_ST + 16 * j, value.significand, true)
          view.setUint16(P.FX_ST + 16 * j + 8, value.word, true)
          return fixedOf(value.significand, value.word)
        },
      )
      processor.execute(cases, 0)
      const results = exact(inputs[0] as bigint, inputs[1] as bigint)
      for (const [j, should] of results.entries()) {
        const significand = view.getBigUint64(P.FX_ST + 16 * j, true)
        const word = view.getUint16(P.FX_ST + 16 * j + 8, true)
        if (should === 0n) {
          expect(significand).toBe(0n)
          continue
        }
        const error = magnitude(fixedOf(significand, word) - should)
        // Thousandths of a unit in the last place.
        const units = Number((error * 1000n) / unitOf(word))
        largest = Math.max(largest, rounding === 0 ? units : units / 2)
        expect(units, SLICE_REPEAT).toBeLessThan(1000)
      }
    }
    // Rounding to nearest is nearly always right.
    expect(largest).toBeLessThanOrEqual(501)
  })
})
