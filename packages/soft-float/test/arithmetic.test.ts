import { words } from '@retrap/tooling/random'
import { describe, expect, test } from 'vitest'
import * as float from '../src/index.ts'
import { calculator, RULES, type Name } from './support/calculator.ts'

const view = new DataView(new ArrayBuffer(8))

function numberOf(bits: bigint, width: 32 | 64): number {
  if (width === 64) view.setBigUint64(0, bits)
  else view.setUint32(0, Number(bits))
  return width === 64 ? view.getFloat64(0) : view.getFloat32(0)
}

function bitsOf(value: number, width: 32 | 64): bigint {
  if (width === 64) view.setFloat64(0, value)
  else view.setFloat32(0, value)
  return width === 64 ? view.getBigUint64(0) : BigInt(view.getUint32(0))
}

/** JavaScript's numbers are doubles, rounded to nearest. Of these operations a double is enough to round to single again. */
const HOST: Partial<Record<Name, (a: number, b: number) => number>> = {
  add: (a, b) => a + b,
  subtract: (a, b) => a - b,
  multiply: (a, b) => a * b,
  divide: (a, b) => a / b,
  squareRoot: (a) => Math.sqrt(a),
}

describe('results that are rounded to nearest are those of the host', () => {
  test.each([32, 64] as const)('in %i bits', (width) => {
    const random = words(20_261_122)
    const calculate = calculator(width)
    const [exponentBits, bias] = width === 64 ? [52n, 1023n] : [23n, 127n]
    const operand = (): bigint => {
      const bits = (BigInt(random()) << 32n) | BigInt(random())
      if (random() % 4 === 0) return BigInt.asUintN(width, bits)
      // Near 1, so that sums cancel and products do not overflow.
      const exponent = (bias - 8n + BigInt(random() % 16)) << exponentBits
      return (bits & ((1n << exponentBits) - 1n)) | exponent | (BigInt(random() & 1) << BigInt(width - 1))
    }
    for (let i = 0; i < 4000; i++) {
      const [a, b] = [operand(), operand()]
      for (const [name, host] of Object.entries(HOST)) {
        const expected = host(numberOf(a, width), numberOf(b, width))
        const { bits } = calculate(name as Name, 0, a, b)
        const given = `${name} ${a.toString(16)} ${b.toString(16)}`
        if (Number.isNaN(expected)) expect(numberOf(bits, width), given).toBeNaN()
        else expect(bits.toString(16), given).toBe(bitsOf(expected, width).toString(16))
      }
    }
  })
})

const rounding = (mode: number): number => mode << float.FC_ROUNDING_SHIFT
const [ONE, THREE, TINY, SMALLEST, LARGEST] = [0x3f80_0000n, 0x4040_0000n, 1n, 0x0080_0000n, 0x7f7f_ffffn]
const [INFINITY, QUIET, SIGNALLING, DEFAULT] = [0x7f80_0000n, 0xffc1_2345n, 0x7f81_2345n, 0x7fc0_0000n]

describe('single precision, its other modes and exceptions (IEEE 754-2008, 4.3 and 7)', () => {
  const calculate = calculator(32)
  test.each<[string, Name, number, bigint[], bigint, number]>([
    ['1/3 downwards', 'divide', rounding(float.ROUND_DOWN), [ONE, THREE], 0x3eaa_aaaan, float.FE_PRECISION],
    ['1/3 upwards', 'divide', rounding(float.ROUND_UP), [ONE, THREE], 0x3eaa_aaabn, float.FE_PRECISION],
    [
      'the largest, doubled, towards zero',
      'add',
      rounding(float.ROUND_ZERO),
      [LARGEST, LARGEST],
      LARGEST,
      float.FE_OVERFLOW | float.FE_PRECISION,
    ],
    ['the largest, doubled', 'add', 0, [LARGEST, LARGEST], INFINITY, float.FE_OVERFLOW | float.FE_PRECISION],
    ['1/0', 'divide', 0, [ONE, 0n], INFINITY, float.FE_ZERO_DIVIDE],
    ['infinity less infinity', 'subtract', 0, [INFINITY, INFINITY], DEFAULT, float.FE_INVALID],
    ['a third of the smallest', 'divide', 0, [SMALLEST, THREE], 0x002a_aaabn, float.FE_UNDERFLOW | float.FE_PRECISION],
    ['an exact denormal result', 'subtract', 0, [SMALLEST, TINY], 0x007f_ffffn, 0],
    ['a tiny result that is flushed', 'divide', float.FC_FTZ, [SMALLEST, THREE], 0n, float.FE_UNDERFLOW],
    ['a denormal operand that is flushed', 'add', float.FC_DAZ, [TINY, ONE], ONE, float.FE_DENORMAL],
    ['the first signalling NaN', 'add', 0, [QUIET, SIGNALLING], 0x7fc1_2345n, float.FE_INVALID],
    ['a quiet NaN', 'add', 0, [ONE, QUIET], QUIET, 0],
    ['a NaN that becomes the default one', 'add', float.FC_DEFAULT_NAN, [ONE, QUIET], DEFAULT, 0],
    ['the addend among NaNs', 'multiplyAdd', 0, [QUIET, ONE, QUIET ^ 1n], QUIET ^ 1n, 0],
    ['infinity times zero plus a NaN', 'multiplyAdd', 0, [INFINITY, 0n, QUIET], DEFAULT, float.FE_INVALID],
    [
      'a product that cancels but for its rounding',
      'multiplyAdd',
      0,
      [0x3f80_0001n, 0x3f80_0001n, 0xbf80_0002n],
      0x2880_0000n,
      0,
    ],
  ])('%s', (_, name, control, operands, bits, raised) => {
    expect(calculate(name, control, ...operands)).toEqual({ bits, raised })
  })
})

describe('tininess', () => {
  // 1 - 2^-53 times the smallest normal number: rounded, it is that number again.
  const below = [bitsOf((1 - 2 ** -53) * 2 ** -126, 64)]
  test.each([
    ['before-rounding', float.FE_UNDERFLOW | float.FE_PRECISION],
    ['after-rounding', float.FE_PRECISION],
  ] as const)('found %s', (tininess, raised) => {
    const calculate = calculator(32, { ...RULES, tininess })
    expect(calculate('convert', 0, ...below)).toEqual({ bits: SMALLEST, raised })
    // A tie: of 24 ones and the number above them, the latter is even.
    expect(calculate('convert', 0, bitsOf((1 - 2 ** -25) * 2 ** -126, 64))).toEqual({ bits: SMALLEST, raised })
  })
})

// IEEE 754-1985, 7.4; SDM vol. 1, "Numeric Underflow Exception (#U)": unmasked, it is signalled of what is tiny, exact or not.
test.each<[string, number, bigint, number, number]>([
  ['tiny and inexact', 0, THREE, float.FE_UNDERFLOW | float.FE_PRECISION, float.FE_UNDERFLOW | float.FE_PRECISION],
  ['tiny and exact', 0, 0x4000_0000n, 0, float.FE_UNDERFLOW],
  ['tiny and exact, where it would be flushed', float.FC_FTZ, 0x4000_0000n, float.FE_UNDERFLOW, float.FE_UNDERFLOW],
  [
    'tiny and inexact, where it would be flushed',
    float.FC_FTZ,
    THREE,
    float.FE_UNDERFLOW,
    float.FE_UNDERFLOW | float.FE_PRECISION,
  ],
  ['not tiny', 0, ONE, 0, 0],
])('underflow of a result that is %s', (_, control, divisor, masked, unmasked) => {
  const raised = (masks: number): number => calculator(32, RULES, masks)('divide', control, SMALLEST, divisor).raised
  for (const others of [0, 0x3f & ~float.FE_UNDERFLOW]) {
    expect(raised(float.FE_UNDERFLOW | others)).toBe(masked)
    expect(raised(others)).toBe(unmasked)
  }
})

test('half precision is rounded once, from a double', () => {
  const calculate = calculator(16)
  expect(calculate('convert', 0, bitsOf(1 / 3, 64)).bits).toBe(0x3555n)
  expect(calculate('convert', 0, bitsOf(65_520, 64))).toEqual({
    bits: 0x7c00n,
    raised: float.FE_OVERFLOW | float.FE_PRECISION,
  })
  expect(calculate('convert', 0, bitsOf(65_519.99, 64)).bits).toBe(0x7bffn)
  expect(calculate('add', float.FC_DAZ, 1n, 0x3c00n)).toEqual({ bits: 0x3c00n, raised: 0 })
})
