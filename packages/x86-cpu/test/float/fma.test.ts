import { SLICE_REPEAT, slicedCount, slicedSeed } from '@retrap/tooling/slice'
import { describe, expect, test } from 'vitest'
import { S_MXCSR, S_XMM } from '../../src/state/state-layout.ts'
import { ACTIVITY_RUNNING, S_ACTIVITY } from '../../src/state/system-state.ts'
import { Random } from '../semantics/random.ts'
import { BareCpu, CODE } from '../support/bare-cpu.ts'

const CASES = slicedCount(20_000, 5)
/** All exceptions masked, the precision flag set: what a program that computes has. */
const SETTLED = 0x1fa0

interface Format {
  readonly bits: 32 | 64
  /** Of the significand, the integer bit included. */
  readonly precision: number
  readonly bias: number
}

const SINGLE: Format = { bits: 32, precision: 24, bias: 127 }
const DOUBLE: Format = { bits: 64, precision: 53, bias: 1023 }

/** value = significand · 2^exponent. */
function unpack(x: bigint, { bits, precision, bias }: Format): { significand: bigint; exponent: number } {
  const fraction = BigInt(precision - 1)
  const biased = Number((x >> fraction) & BigInt(2 * bias + 1))
  const low = x & ((1n << fraction) - 1n)
  const magnitude = biased === 0 ? low : low | (1n << fraction)
  const exponent = Math.max(biased, 1) - bias - (precision - 1)
  return { significand: x >> BigInt(bits - 1) === 1n ? -magnitude : magnitude, exponent }
}

/** a · b + c as a rational number, rounded once to nearest. Results are neither zero nor beyond the range of normal numbers. */
function exact(a: bigint, b: bigint, c: bigint, format: Format): bigint | undefined {
  const [x, y, z] = [a, b, c].map((value) => unpack(value, format)) as [
    ReturnType<typeof unpack>,
    ReturnType<typeof unpack>,
    ReturnType<typeof unpack>,
  ]
  const low = Math.min(x.exponent + y.exponent, z.exponent)
  const sum =
    ((x.significand * y.significand) << BigInt(x.exponent + y.exponent - low)) +
    (z.significand << BigInt(z.exponent - low))
  if (sum === 0n) return undefined
  const negative = sum < 0n
  let magnitude = negative ? -sum : sum
  let exponent = low
  const excess = magnitude.toString(2).length - format.precision
  if (excess > 0) {
    const half = 1n << BigInt(excess - 1)
    const rest = magnitude & ((half << 1n) - 1n)
    magnitude >>= BigInt(excess)
    if (rest > half || (rest === half && (magnitude & 1n) === 1n)) magnitude++
    exponent += excess
    if (magnitude === 1n << BigInt(format.precision)) {
      magnitude >>= 1n
      exponent++
    }
  } else {
    magnitude <<= BigInt(-excess)
    exponent += excess
  }
  const biased = exponent + format.bias + format.precision - 1
  if (biased < 2 || biased > 2 * format.bias) return undefined
  const fraction = BigInt(format.precision - 1)
  return (
    (BigInt(negative ? 1 : 0) << BigInt(format.bits - 1)) |
    (BigInt(biased) << fraction) |
    (magnitude ^ (1n << fraction))
  )
}

/** What the host multiplies and adds with, to find addends that cancel. */
const view = new DataView(new ArrayBuffer(8))
function toNumber(x: bigint, { bits }: Format): number {
  if (bits === 64) view.setBigUint64(0, x)
  else view.setUint32(0, Number(x))
  return bits === 64 ? view.getFloat64(0) : view.getFloat32(0)
}
function fromNumber(x: number, { bits }: Format): bigint {
  if (bits === 64) view.setFloat64(0, x)
  else view.setFloat32(0, x)
  return bits === 64 ? view.getBigUint64(0) : BigInt(view.getUint32(0))
}

/** Operands whose product the addend all but cancels, lies half-way between two numbers of, or has nothing to do with. */
function operands(random: Random, format: Format): [bigint, bigint, bigint] {
  const { bits, precision, bias } = format
  const wide = BigInt.asUintN(64, (BigInt(random.u32()) << 32n) ^ BigInt(random.u32() >>> 0))
  const number = (spread: number): bigint => {
    const fraction = wideRandom(random) & ((1n << BigInt(precision - 1)) - 1n)
    // Few bits now and then, so that products are exact and half-way cases come up.
    const short = random.chance(1, 3) ? fraction & ~((1n << BigInt(precision - 1 - random.below(12))) - 1n) : fraction
    const biased = BigInt(bias - spread + random.below(2 * spread + 1))
    return (BigInt(random.below(2)) << BigInt(bits - 1)) | (biased << BigInt(precision - 1)) | short
  }
  const spread = random.pick([2, 20, bits === 64 ? 300 : 50])
  const [a, b] = [number(spread), number(spread)]
  const product = fromNumber(toNumber(a, format) * toNumber(b, format), format)
  switch (random.below(4)) {
    case 0:
      // −a·b, give or take a few units in the last place.
      return [a, b, (product ^ (1n << BigInt(bits - 1))) + BigInt(random.below(9) - 4)]
    case 1: {
      // The product lies at the edge of what the addend can see.
      const shift = BigInt(precision - 3 + random.below(6)) * (random.chance() ? 1n : -1n)
      const field = (product >> BigInt(precision - 1)) & BigInt(2 * bias + 1)
      const moved = field + shift
      if (moved < 2n || moved > BigInt(2 * bias - 1)) return [a, b, number(spread)]
      const fraction = random.chance() ? 0n : wide & ((1n << BigInt(precision - 1)) - 1n)
      return [a, b, (BigInt(random.below(2)) << BigInt(bits - 1)) | (moved << BigInt(precision - 1)) | fraction]
    }
    case 2:
      return [a, b, number(spread)]
    default:
      return [a, b, product]
  }
}

function wideRandom(random: Random): bigint {
  return BigInt.asUintN(64, (BigInt(random.u32()) << 32n) ^ BigInt(random.u32() >>> 0))
}

/** vfmadd231ps ymm0, ymm1, ymm2 and its double form. */
const CODES: Readonly<Record<32 | 64, readonly number[]>> = {
  32: [0xc4, 0xe2, 0x75, 0xb8, 0xc2],
  64: [0xc4, 0xe2, 0xf5, 0xb8, 0xc2],
}

describe('fused multiply-add rounds once', () => {
  test.each([SINGLE, DOUBLE])('as exact arithmetic does, $bits bits', (format) => {
    const { bits } = format
    const pc = new BareCpu()
    pc.enableState(7)
    pc.load(CODE, [...CODES[bits], 0xf4])
    const random = new Random(slicedSeed(0xf3a))
    const state = new DataView(pc.memory.buffer, pc.cpu.state)
    const put = (register: number, i: number, value: bigint): void => {
      const at = S_XMM + 64 * register + (i * bits) / 8
      if (bits === 64) state.setBigUint64(at, value, true)
      else state.setUint32(at, Number(value), true)
    }
    const wrong: string[] = []
    const elements = 256 / bits
    let compared = 0
    for (let round = 0; round < CASES / elements; round++) {
      const cases = Array.from({ length: elements }, () => operands(random, format))
      for (const [i, [a, b, c]] of cases.entries()) {
        put(0, i, c)
        put(1, i, a)
        put(2, i, b)
      }
      pc.cpu.u32[S_MXCSR >>> 2] = SETTLED
      pc.rip = CODE
      pc.cpu.u32[S_ACTIVITY >>> 2] = ACTIVITY_RUNNING
      pc.run()
      for (const [i, [a, b, c]] of cases.entries()) {
        const expected = exact(a, b, c, format)
        if (expected === undefined) continue
        compared++
        const at = S_XMM + (i * bits) / 8
        const actual = bits === 64 ? state.getBigUint64(at, true) : BigInt(state.getUint32(at, true))
        if (actual !== expected) wrong.push([a, b, c, expected, actual].map((value) => value.toString(16)).join(' '))
      }
    }
    expect(wrong.slice(0, 5), SLICE_REPEAT).toEqual([])
    expect(compared).toBeGreaterThan(0.9 * CASES)
  })
})
