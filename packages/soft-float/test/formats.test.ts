/**
 * Every format read and written, against exact arithmetic. Source: IEEE 754-2008, 3.4 and 4.3; SDM vol. 1, "Double
 * Extended-Precision Floating-Point Format"; Arm ARM (DDI 0487), A1.5.3, "Arm alternative half-precision".
 */
import { words } from '@retrap/tooling/random'
import { I32, ModuleBuilder } from '@retrap/wasm-emitter'
import { describe, expect, test } from 'vitest'
import * as float from '../src/index.ts'
import { calculator, RULES } from './support/calculator.ts'

const SCRATCH = 16
const STATE = 64
const SOURCES = ['unsigned', 'integer', 'half', 'alternative', 'single', 'double', 'extended'] as const
type Source = (typeof SOURCES)[number]
const TARGETS = ['half', 'alternative', 'single', 'double', 'extended24', 'extended53', 'extended64'] as const
type Target = (typeof TARGETS)[number]
/** Significant bits, and the exponents of normal numbers. */
const TARGET: Readonly<Record<Target, { precision: number; least: number; most: number; bias: number }>> = {
  half: { precision: 11, least: -14, most: 15, bias: 15 },
  alternative: { precision: 11, least: -14, most: 16, bias: 15 },
  single: { precision: 24, least: -126, most: 127, bias: 127 },
  double: { precision: 53, least: -1022, most: 1023, bias: 1023 },
  extended24: { precision: 24, least: -16382, most: 16383, bias: 16383 },
  extended53: { precision: 53, least: -16382, most: 16383, bias: 16383 },
  extended64: { precision: 64, least: -16382, most: 16383, bias: 16383 },
}
const isExtended = (target: Target): boolean => target.startsWith('extended')

/** A number as the formats have it: 64 bits, and sign and exponent of an extended one. */
interface Encoded {
  readonly bits: bigint
  readonly word: number
}
interface Outcome extends Encoded {
  readonly raised: number
}

/** All ways from a format to another, compiled. */
function converter() {
  const module = new ModuleBuilder()
  module.importMemory({ module: 'env', name: 'memory', initialPages: 1 })
  const library = new float.FloatLibrary(module, SCRATCH, RULES)
  const way = { params: ['i64', 'i32', 'i32'], result: 'i64' } as const
  for (const source of SOURCES)
    for (const target of TARGETS)
      for (const isIntegral of [false, true]) {
        const f = module.function(`${source} ${target} ${isIntegral}`, way, { export: true })
        const [value, word, mode] = [f.param(0, 'i64').get, f.param(1, 'i32').get, f.param(2, 'i32').get]
        const state = f.let(I32.of(STATE))
        const slot = state.add(SCRATCH + float.SLOT_A)
        if (source === 'extended') f.call(float.unpack80(library), state, slot, value, word)
        else if (source === 'unsigned') f.call(float.unpackUnsigned(library), state, slot, value)
        else if (source === 'integer') f.call(float.unpackInteger(library), state, slot, value)
        else if (source === 'alternative') f.call(float.unpackAlternativeHalf(library), state, slot, value)
        else f.call(float.unpack(library, ({ half: 16, single: 32, double: 64 } as const)[source]), state, slot, value)
        if (isIntegral) f.call(float.toIntegral(library), state, mode)
        else f.call(float.convert(library), state)
        const { precision } = TARGET[target]
        if (isExtended(target)) f.return(f.call(float.finish80(library), state, I32.of(precision)))
        else if (target === 'alternative') f.return(f.call(float.finishAlternativeHalf(library), state))
        else
          f.return(
            f.call(float.finish(library, ({ half: 16, single: 32, double: 64 } as const)[target as 'half']), state),
          )
      }
  const operations = {
    add: (f: ReturnType<typeof module.function>, state: I32) => f.call(float.add(library), state, I32.of(0)),
    subtract: (f: ReturnType<typeof module.function>, state: I32) => f.call(float.add(library), state, I32.of(1)),
    multiply: (f: ReturnType<typeof module.function>, state: I32) => f.call(float.multiply(library), state),
    divide: (f: ReturnType<typeof module.function>, state: I32) => f.call(float.divide(library), state),
    squareRoot: (f: ReturnType<typeof module.function>, state: I32) => f.call(float.squareRoot(library), state),
  }
  for (const [name, operation] of Object.entries(operations)) {
    const signature = { params: ['i64', 'i32', 'i64', 'i32'], result: 'i64' } as const
    const f = module.function(name, signature, { export: true })
    const state = f.let(I32.of(STATE))
    f.call(
      float.unpack80(library),
      state,
      state.add(SCRATCH + float.SLOT_A),
      f.param(0, 'i64').get,
      f.param(1, 'i32').get,
    )
    f.call(
      float.unpack80(library),
      state,
      state.add(SCRATCH + float.SLOT_B),
      f.param(2, 'i64').get,
      f.param(3, 'i32').get,
    )
    operation(f as never, state)
    f.return(f.call(float.finish80(library), state, I32.of(64)))
  }
  const signature = { params: ['i64', 'i32', 'i32', 'i32'], result: 'i64' } as const
  const integer = module.function('toInteger', signature, { export: true })
  const here = integer.let(I32.of(STATE))
  integer.call(
    float.unpack80(library),
    here,
    here.add(SCRATCH + float.SLOT_A),
    integer.param(0, 'i64').get,
    integer.param(1, 'i32').get,
  )
  integer.return(integer.call(float.toInteger(library), here, integer.param(2, 'i32').get, integer.param(3, 'i32').get))
  const f = module.function('compare', { params: ['i64', 'i64', 'i32'], result: 'i32' } as const, { export: true })
  const state = f.let(I32.of(STATE))
  f.call(float.unpack(library, 64), state, state.add(SCRATCH + float.SLOT_A), f.param(0, 'i64').get)
  f.call(float.unpack(library, 64), state, state.add(SCRATCH + float.SLOT_B), f.param(1, 'i64').get)
  f.return(f.call(float.compare(library), state, f.param(2, 'i32').get))
  const memory = new WebAssembly.Memory({ initial: 1 })
  const view = new DataView(memory.buffer)
  const { exports } = new WebAssembly.Instance(new WebAssembly.Module(Uint8Array.from(module.build())), {
    env: { memory },
  })
  const begin = (mode: number, unmasked = 0): void => {
    new Uint8Array(memory.buffer).fill(0xa5, STATE + SCRATCH, STATE + SCRATCH + float.SCRATCH_BYTES)
    view.setUint32(STATE + SCRATCH + float.F_CONTROL, (0x3f & ~unmasked) | (mode << float.FC_ROUNDING_SHIFT), true)
    view.setUint32(STATE + SCRATCH + float.F_FLAGS, 0, true)
  }
  const raised = (): number => view.getUint32(STATE + SCRATCH + float.F_FLAGS, true) & (0x3f | float.FE_ROUNDED_UP)
  return {
    run: (
      source: Source,
      target: Target,
      { bits, word }: Encoded,
      mode: number,
      isIntegral = false,
      unmasked = 0,
    ): Outcome => {
      begin(mode, unmasked)
      const way = exports[`${source} ${target} ${isIntegral}`] as (b: bigint, w: number, mode: number) => bigint
      const result = BigInt.asUintN(64, way(bits, word, mode))
      const exponent = isExtended(target) ? view.getUint32(STATE + SCRATCH + float.F_WORD, true) : 0
      // What the host's floating point might have spoiled beside it stays.
      expect(view.getUint8(STATE + SCRATCH + float.SCRATCH_BYTES)).toBe(0)
      return { bits: result, word: exponent, raised: raised() }
    },
    calculate: (name: string, a: Encoded, b: Encoded, mode: number): Outcome => {
      begin(mode)
      const operation = exports[name] as (a: bigint, aWord: number, b: bigint, bWord: number) => bigint
      const bits = BigInt.asUintN(64, operation(a.bits, a.word, b.bits, b.word))
      return { bits, word: view.getUint32(STATE + SCRATCH + float.F_WORD, true), raised: raised() }
    },
    toInteger: (a: Encoded, width: number, mode: number): readonly [value: bigint, raised: number] => {
      begin(0)
      const to = exports['toInteger'] as (a: bigint, word: number, width: number, mode: number) => bigint
      return [to(a.bits, a.word, width, mode), raised()]
    },
    compare: (a: bigint, b: bigint, isQuiet: boolean): readonly [result: number, raised: number] => {
      begin(0)
      return [(exports['compare'] as (a: bigint, b: bigint, q: number) => number)(a, b, Number(isQuiet)), raised()]
    },
  }
}

const { run, calculate, toInteger: integerOf, compare: compared } = converter()
/** m · 2^e. */
interface Exact {
  readonly sign: number
  readonly m: bigint
  readonly e: number
}
const lengthOf = (m: bigint): number => m.toString(2).length

/** Cuts a number at 2^q. */
function cut({ sign, m, e }: Exact, q: number, mode: number): { readonly m: bigint; readonly inexact: number } {
  if (q <= e) return { m: m << BigInt(e - q), inexact: 0 }
  const by = BigInt(q - e)
  const floor = m >> by
  const rest = m - (floor << by)
  const half = 1n << (by - 1n)
  const isUp =
    mode === float.ROUND_NEAREST
      ? rest > half || (rest === half && (floor & 1n) === 1n)
      : rest !== 0n && ((mode === float.ROUND_UP && sign === 0) || (mode === float.ROUND_DOWN && sign === 1))
  const inexact = rest === 0n ? 0 : isUp ? float.FE_PRECISION | float.FE_ROUNDED_UP : float.FE_PRECISION
  return { m: floor + (isUp ? 1n : 0n), inexact }
}

function encoded(target: Target, value: Exact, mode: number): Outcome {
  const { precision, least, most, bias } = TARGET[target]
  const p = BigInt(precision)
  const pack = (exponent: number, m: bigint, raised: number): Outcome => {
    const biased = m < 1n << (p - 1n) ? 0 : exponent + bias
    if (isExtended(target)) return { bits: m << (64n - p), word: (value.sign << 15) | biased, raised }
    const width = target === 'single' ? 32n : target === 'double' ? 64n : 16n
    const fraction = m & ((1n << (p - 1n)) - 1n)
    return { bits: (BigInt(value.sign) << (width - 1n)) | (BigInt(biased) << (p - 1n)) | fraction, word: 0, raised }
  }
  if (value.m === 0n) return pack(0, 0n, 0)
  const top = lengthOf(value.m) - 1 + value.e
  const q = Math.max(top, least) - (precision - 1)
  const { m, inexact } = cut(value, q, mode)
  const [significand, exponent] = m === 1n << p ? [m >> 1n, q + precision] : [m, q + precision - 1]
  if (exponent <= most)
    return pack(exponent, significand, top < least && inexact !== 0 ? inexact | float.FE_UNDERFLOW : inexact)
  const largest = (1n << p) - 1n
  // It has no infinity, so that what is too large is invalid.
  if (target === 'alternative') return pack(most, largest, float.FE_INVALID)
  const isLargest =
    mode === float.ROUND_ZERO ||
    (mode === float.ROUND_UP && value.sign === 1) ||
    (mode === float.ROUND_DOWN && value.sign === 0)
  const raised = float.FE_OVERFLOW | float.FE_PRECISION
  return isLargest ? pack(most, largest, raised) : pack(most + 1, 1n << (p - 1n), raised | float.FE_ROUNDED_UP)
}

const random = words(20_261_124)
const wide = (): bigint => (BigInt(random()) << 32n) | BigInt(random())
/** Bits of every length, with few ones, or many. */
const someBits = (): bigint => {
  const bits = wide() >> BigInt(random() % 64)
  return random() % 3 === 0 ? BigInt.asUintN(64, ~bits) : random() % 2 === 0 ? bits : 1n << BigInt(random() % 64)
}

/** A number of a format, and what it is. */
function drawn(source: Source): readonly [Encoded, Exact] {
  const bits = someBits()
  if (source === 'unsigned')
    return [
      { bits, word: 0 },
      { sign: 0, m: bits, e: 0 },
    ]
  if (source === 'integer') {
    const value = BigInt.asIntN(64, bits)
    return [
      { bits, word: 0 },
      { sign: Number(value < 0n), m: value < 0n ? -value : value, e: 0 },
    ]
  }
  const sign = random() & 1
  if (source === 'extended') {
    const near = [0, 1, 2, 16383, 16383 - 15, 16383 + 16, 16383 - 127, 16383 + 128, 16383 + 1024, 16383 - 1023, 32765]
    const biased = Math.min(0x7ffe, Math.max(0, near[random() % near.length]! + (random() % 5) - 2))
    // A significand without its integer bit is of the smallest exponent alone, where it may have it too.
    const m = biased === 0 ? bits : bits | (1n << 63n)
    return [
      { bits: m, word: (sign << 15) | biased },
      { sign, m, e: Math.max(biased, 1) - 16383 - 63 },
    ]
  }
  const { precision, bias, most } = TARGET[source]
  const p = BigInt(precision)
  const last = most + bias
  const biased = [0, 1, last, random() % (last + 1), bias - 3 + (random() % 8)][random() % 5]!
  const fraction = bits & ((1n << (p - 1n)) - 1n)
  const width = source === 'single' ? 32n : source === 'double' ? 64n : 16n
  const m = biased === 0 ? fraction : fraction | (1n << (p - 1n))
  return [
    { bits: (BigInt(sign) << (width - 1n)) | (BigInt(biased) << (p - 1n)) | fraction, word: 0 },
    { sign, m, e: Math.max(biased, 1) - bias - (precision - 1) },
  ]
}

const isDenormal = (source: Source, { word }: Encoded, { m }: Exact): boolean =>
  source === 'extended' && (word & 0x7fff) === 0 && m !== 0n
const MODES = [float.ROUND_NEAREST, float.ROUND_DOWN, float.ROUND_UP, float.ROUND_ZERO]

describe.each(SOURCES)('from %s', (source) => {
  test.each(TARGETS)('to %s', (target) => {
    for (let i = 0; i < 250; i++) {
      const [given, value] = drawn(source)
      const mode = MODES[i % 4]!
      const { raised, ...expected } = encoded(target, value, mode)
      const denormal = isDenormal(source, given, value) ? float.FE_DENORMAL : 0
      const what = `${given.word.toString(16)} ${given.bits.toString(16)} rounded by ${mode}`
      expect(run(source, target, given, mode), what).toEqual({ ...expected, raised: raised | denormal })
    }
  })

  test('to an integer of its format', () => {
    for (let i = 0; i < 400; i++) {
      const [given, value] = drawn(source)
      const mode = MODES[i % 4]!
      const { m, inexact } = cut(value, 0, mode)
      const expected = encoded('extended64', { sign: value.sign, m, e: 0 }, float.ROUND_NEAREST)
      const raised = inexact | (isDenormal(source, given, value) ? float.FE_DENORMAL : 0)
      expect(run(source, 'extended64', given, mode, true), `${given.bits.toString(16)} by ${mode}`).toEqual({
        ...expected,
        raised,
      })
    }
  })
})

/** A number with bits below it that are only known not to be zero. */
const inexactly = (m: bigint, e: number, hasRest: boolean): Omit<Exact, 'sign'> => ({
  ...{ m: (m << 1n) | (hasRest ? 1n : 0n), e: e - 1 },
})
function rootOf(m: bigint): bigint {
  let root = 1n << BigInt((lengthOf(m) + 1) >> 1)
  for (;;) {
    const next = (root + m / root) >> 1n
    if (next >= root) return root
    root = next
  }
}

/** What an operation gives, exactly but for a rest far below. */
const EXACTLY: Readonly<Record<string, (a: Exact, b: Exact, mode: number) => Exact>> = {
  add: (a, b, mode) => {
    const e = Math.min(a.e, b.e)
    const signed = (x: Exact): bigint => (x.sign === 0 ? x.m : -x.m) << BigInt(x.e - e)
    const sum = signed(a) + signed(b)
    const ofZero = a.sign === b.sign ? a.sign : mode === float.ROUND_DOWN ? 1 : 0
    return { sign: sum === 0n ? ofZero : Number(sum < 0n), m: sum < 0n ? -sum : sum, e }
  },
  subtract: (a, b, mode) => EXACTLY['add']!(a, { ...b, sign: 1 - b.sign }, mode),
  multiply: (a, b) => ({ sign: a.sign ^ b.sign, m: a.m * b.m, e: a.e + b.e }),
  divide: (a, b) => {
    const shifted = a.m << 130n
    return { sign: a.sign ^ b.sign, ...inexactly(shifted / b.m, a.e - b.e - 130, shifted % b.m !== 0n) }
  },
  squareRoot: (a) => {
    const by = 130 + ((a.e - 130) & 1)
    const m = a.m << BigInt(by)
    const root = m === 0n ? 0n : rootOf(m)
    return { sign: a.sign, ...inexactly(root, (a.e - by) / 2, root * root !== m) }
  },
}

describe('double-extended arithmetic', () => {
  /** Near 1, so that sums cancel; few digits, so that some results are exact, or between two numbers. */
  const operand = (): readonly [Encoded, Exact] => {
    const sign = random() & 1
    const biased = 16383 + (random() % 9) - 4 + (random() % 4 === 0 ? 62 : 0)
    const m = someBits() | (1n << 63n)
    return [
      { bits: m, word: (sign << 15) | biased },
      { sign, m, e: biased - 16383 - 63 },
    ]
  }
  const NOTHING = [
    { bits: 0n, word: 0 },
    { sign: 0, m: 0n, e: 0 },
  ] as const

  test.each(Object.keys(EXACTLY))('%s', (name) => {
    for (let i = 0; i < 1500; i++) {
      const mode = MODES[i % 4]!
      const drawnA = operand()
      const [a, exactA] =
        name === 'squareRoot'
          ? [
              { ...drawnA[0], word: drawnA[0].word & 0x7fff },
              { ...drawnA[1], sign: 0 },
            ]
          : drawnA
      const [b, exactB] =
        i % 50 === 0 && name !== 'divide' ? NOTHING : i % 20 === 0 ? ([a, exactA] as const) : operand()
      const expected = encoded('extended64', EXACTLY[name]!(exactA, exactB, mode), mode)
      const given = [a.word.toString(16), a.bits.toString(16), b.word.toString(16), b.bits.toString(16), mode]
      expect(calculate(name, a, b, mode), given.join(' ')).toEqual(expected)
    }
  })

  // A radicand of 128 bits is a significand above 63 zeros or 64: a square has a root of 32 bits, shifted.
  test('square roots, at the ends of the range, of squares, halfway between two roots, and beside these', () => {
    const check = (m: bigint): void => {
      if (m < 1n << 63n || m >= 1n << 64n) return
      for (const mode of MODES)
        for (const word of [16383, 16384]) {
          const exact = EXACTLY['squareRoot']!({ sign: 0, m, e: word - 16383 - 63 }, NOTHING[1], mode)
          const given = `${m.toString(16)} ${word} ${mode}`
          const expected = encoded('extended64', exact, mode)
          expect(calculate('squareRoot', { bits: m, word }, NOTHING[0], mode), given).toEqual(expected)
        }
    }
    for (let i = 0n; i < 500n; i++) {
      const [root, large] = [wide() >> 32n, (1n << 32n) - 1n - i]
      const squares = [root, large].flatMap((r) => [r ** 2n, 2n * r ** 2n])
      const between = (wide() * 2n + 1n) ** 2n
      for (const m of [1n << 63n, 1n << 64n, ...squares, between >> 66n, between >> 65n])
        for (const near of [-1n - i, -1n, 0n, 1n, i]) check(m + near)
    }
  })
})

// SDM vol. 1, "Integer Indefinite": what does not fit is the integer that is farthest below zero.
test.each([16, 32, 64])('integers of %i bits', (width) => {
  const indefinite = -(1n << BigInt(width - 1))
  for (let i = 0; i < 1500; i++) {
    const mode = MODES[i % 4]!
    const sign = random() & 1
    const isEdge = i % 3 === 0
    // Up to a half around the largest and the smallest, and numbers of any size.
    const biased = isEdge ? 16383 + width - 1 - (random() % 2) : 16383 - 3 + (random() % 70)
    const m = isEdge ? -1n + (1n << 64n) - (someBits() >> BigInt(random() % 64)) : someBits() | (1n << 63n)
    const bits = m | (1n << 63n)
    const { m: magnitude, inexact } = cut({ sign, m: bits, e: biased - 16383 - 63 }, 0, mode)
    const value = sign === 0 ? magnitude : -magnitude
    const fits = value >= indefinite && value < -indefinite
    expect(
      integerOf({ bits, word: (sign << 15) | biased }, width, mode),
      `${sign} ${biased} ${bits.toString(16)}`,
    ).toEqual(fits ? [value, inexact] : [indefinite, float.FE_INVALID])
  }
  for (const [word, bits] of [
    [0x7fff, 1n << 63n],
    [0xffff, 1n << 63n],
    [0x7fff, 3n << 62n],
    [0x3fff, 1n],
  ] as const)
    expect(integerOf({ word, bits }, width, 0)).toEqual([indefinite, float.FE_INVALID])
  for (const word of [0, 0x8000]) expect(integerOf({ word, bits: 0n }, width, 0)).toEqual([0n, 0])
})

// Arm ARM (DDI 0487), FPCR.FZ16: the bit for single and double precision leaves half precision alone.
test.each([false, true])('half precision is flushed as the others are: %s', (flushesHalf) => {
  const calculates = calculator(16, { ...RULES, flushesHalf })
  const [tiny, two] = [0x0400n, 0x4000n]
  expect(calculates('divide', float.FC_FTZ, tiny, two).bits).toBe(flushesHalf ? 0n : 0x0200n)
  expect(calculates('divide', 0, tiny, two).bits).toBe(0x0200n)
  expect(calculates('add', float.FC_DAZ, 1n, 0n).bits).toBe(flushesHalf ? 0n : 1n)
})

test('the parts of the scratch area are aligned, and do not overlap', () => {
  const slots = [float.SLOT_A, float.SLOT_B, float.SLOT_R, float.SLOT_C]
  const parts = [...slots.map((at) => [at, 32]), [float.F_CONTROL, 4], [float.F_FLAGS, 4], [float.F_WORD, 4]] as [
    number,
    number,
  ][]
  for (const [at, bytes] of parts) {
    expect([at % Math.min(bytes, 16), at >= 16, at + bytes <= float.SCRATCH_BYTES]).toEqual([0, true, true])
    for (const [other, length] of parts) expect(other === at || other >= at + bytes || other + length <= at).toBe(true)
  }
  expect(float.SCRATCH_BYTES % 16).toBe(0)
})

// SDM vol. 1, "Denormal Operand Exception (#D)"; Arm ARM (DDI 0487), "Input Denormal exception".
test.each(['raises', 'raises-when-flushed'] as const)('a denormal operand %s', (denormalOperand) => {
  for (const width of [16, 32, 64] as const)
    for (const flushesHalf of [false, true]) {
      const calculates = calculator(width, { ...RULES, denormalOperand, flushesHalf })
      const one = { 16: 0x3c00n, 32: 0x3f80_0000n, 64: 0x3ff0_0000_0000_0000n }[width]
      const raised = (control: number): number => calculates('multiply', control, 1n, one).raised & float.FE_DENORMAL
      // Of half precision nothing is told.
      expect(raised(0)).toBe(width !== 16 && denormalOperand === 'raises' ? float.FE_DENORMAL : 0)
      expect(raised(float.FC_DAZ)).toBe(
        width !== 16 && denormalOperand === 'raises-when-flushed' ? float.FE_DENORMAL : 0,
      )
      const isFlushed = width !== 16 || flushesHalf
      expect(calculates('multiply', float.FC_DAZ, 1n, one).bits).toBe(isFlushed ? 0n : 1n)
    }
})

// SDM vol. 1, table 8-3, "Unsupported Double Extended-Precision Floating-Point Encodings and Pseudo-Denormals".
test.each([
  ['infinity', 0x7fff, 1n << 63n, 0x7ff0_0000_0000_0000n, 0],
  ['minus infinity', 0xffff, 1n << 63n, 0xfff0_0000_0000_0000n, 0],
  ['a quiet NaN', 0xffff, 0xc000_0000_0012_3800n, 0xfff8_0000_0000_0247n, 0],
  ['a signalling NaN', 0x7fff, 0x8000_0000_0012_3800n, 0x7ff8_0000_0000_0247n, float.FE_INVALID],
  ['a pseudo-NaN', 0x7fff, 0x4000_0000_0000_0001n, 0x7ff8_0000_0000_0000n, float.FE_INVALID],
  ['a pseudo-infinity', 0x7fff, 0n, 0x7ff8_0000_0000_0000n, float.FE_INVALID],
  ['an unnormal', 0x3fff, 0x7fff_ffff_ffff_ffffn, 0x7ff8_0000_0000_0000n, float.FE_INVALID],
  ['a zero with an exponent', 1, 0n, 0x7ff8_0000_0000_0000n, float.FE_INVALID],
  ['minus zero', 0x8000, 0n, 0x8000_0000_0000_0000n, 0],
])('%s of the extended format', (_, word, bits, expected, raised) => {
  expect(run('extended', 'double', { word, bits }, float.ROUND_NEAREST)).toEqual({ bits: expected, word: 0, raised })
})

test('the alternative half has neither infinities nor NaNs', () => {
  const of = (bits: bigint) => run('double', 'alternative', { bits, word: 0 }, float.ROUND_NEAREST)
  expect(of(0x7ff0_0000_0000_0000n)).toEqual({ bits: 0x7fffn, word: 0, raised: float.FE_INVALID })
  expect(of(0xfff0_0000_0000_0000n)).toEqual({ bits: 0xffffn, word: 0, raised: float.FE_INVALID })
  expect(of(0xfff8_0000_0000_0000n)).toEqual({ bits: 0x8000n, word: 0, raised: float.FE_INVALID })
  expect(run('alternative', 'double', { bits: 0x7c00n, word: 0 }, 0).bits).toBe(0x40f0_0000_0000_0000n)
})

// The result is the unit's: none where the exception is taken, but what has been raised is the same for all formats.
test.each([
  { what: 'exact', bits: 0x3ee0_0000_0000_0000n, raised: float.FE_UNDERFLOW },
  { what: 'inexact', bits: 0x3ee0_0000_0000_0001n, raised: float.FE_UNDERFLOW | float.FE_PRECISION },
])('an unmasked underflow of a half, $what, raises nothing else', ({ bits, raised }) => {
  for (const target of ['half', 'alternative'] as const)
    expect(run('double', target, { bits, word: 0 }, float.ROUND_ZERO, false, float.FE_UNDERFLOW).raised, target).toBe(
      raised,
    )
})

// Half of the last place below 1 is 2^-65: what is far below decides whether it is a tie.
test.each([
  { what: 'less than a tie', bits: (1n << 64n) - 1n, word: 0x3fff - 66, is: 1n << 63n, at: 0x3fff, up: true },
  { what: 'a tie', bits: 1n << 63n, word: 0x3fff - 65, is: 1n << 63n, at: 0x3fff, up: true },
  { what: 'more than a tie', bits: (1n << 63n) | 1n, word: 0x3fff - 65, is: (1n << 64n) - 1n, at: 0x3ffe, up: false },
  { what: 'exact', bits: 1n << 63n, word: 0x3fff - 64, is: (1n << 64n) - 1n, at: 0x3ffe, up: null },
])('1 less a little, $what', ({ bits, word, is, at, up }) => {
  const raised = up === null ? 0 : up ? float.FE_PRECISION | float.FE_ROUNDED_UP : float.FE_PRECISION
  const one = { bits: 1n << 63n, word: 0x3fff }
  expect(calculate('subtract', one, { bits, word }, float.ROUND_NEAREST)).toEqual({ bits: is, word: at, raised })
  expect(calculate('add', one, { bits, word: word | 0x8000 }, float.ROUND_NEAREST)).toEqual({
    bits: is,
    word: at,
    raised,
  })
})

test('comparisons are those of the host, and NaNs are invalid where they say so', () => {
  const view = new DataView(new ArrayBuffer(8))
  const bitsOf = (value: number): bigint => {
    view.setFloat64(0, value)
    return view.getBigUint64(0)
  }
  const numbers = [0, 5e-324, 2 ** -1022, 1, 1 + 2 ** -52, 1.5, 2, 2 ** 53, Number.MAX_VALUE, Infinity]
  const all = numbers.flatMap((value) => [value, -value])
  for (const a of all)
    for (const b of all) {
      const expected = a < b ? float.LESS : a === b ? float.EQUAL : float.GREATER
      const [result, raised] = compared(bitsOf(a), bitsOf(b), false)
      expect([result, raised & ~float.FE_DENORMAL], `${a} ${b}`).toEqual([expected, 0])
    }
  const [quiet, signalling] = [0x7ff8_0000_0000_0000n, 0x7ff0_0000_0000_0001n]
  for (const [nan, isQuiet, raised] of [
    [quiet, true, 0],
    [quiet, false, float.FE_INVALID],
    [signalling, true, float.FE_INVALID],
    [signalling, false, float.FE_INVALID],
  ] as const) {
    expect(compared(nan, bitsOf(1), isQuiet)).toEqual([float.UNORDERED, raised])
    expect(compared(bitsOf(1), nan, isQuiet)).toEqual([float.UNORDERED, raised])
  }
})
