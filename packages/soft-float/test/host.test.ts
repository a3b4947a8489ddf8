/**
 * What is computed with the host's floating point where that is exact, beside the same in software. Source: IEEE 754-2008, 3.4
 * (encodings), 5.4.1 (operations).
 */
import { I32, ModuleBuilder } from '@retrap/wasm-emitter'
import { words } from '@retrap/tooling/random'
import { describe, expect, test } from 'vitest'
import * as F from '../src/index.ts'
import { calculator, type Name, RULES } from './support/calculator.ts'

const OPERATIONS: Readonly<Record<F.Operation, Name>> = {
  add: 'add',
  sub: 'subtract',
  mul: 'multiply',
  div: 'divide',
  sqrt: 'squareRoot',
}
const FACTOR = 0
const SECOND = 16
const ADDEND = 32
const RESULT = 48

type Run = (a: bigint, b: bigint) => bigint | number

/** The functions of one width, compiled. */
function host(bits: 32 | 64) {
  const module = new ModuleBuilder()
  module.importMemory({ module: 'env', name: 'memory', initialPages: 1 })
  const two = { params: ['i64', 'i64'], result: 'i32' } as const
  for (const operation of Object.keys(OPERATIONS) as F.Operation[]) {
    const f = module.function(operation, two, { export: true })
    const [x, y] = [F.asFloat(f, bits, f.param(0, 'i64').get), F.asFloat(f, bits, f.param(1, 'i64').get)]
    const r = f.let(F.float(bits, operation, ...(operation === 'sqrt' ? [x] : [x, y])))
    f.return(F.isExactAnyway(I32.of(1), operation, bits, r, x, operation === 'sqrt' ? x : y))
  }
  for (const [name, of] of Object.entries({
    exponentOf: F.exponentOf,
    isDenormal: F.isDenormal,
    isFiniteNormal: F.isFiniteNormal,
    isOrdinary: F.isOrdinary,
    isPlain: F.isPlain,
    ordinaryBits: F.ordinaryBits,
  })) {
    const f = module.function(name, two, { export: true })
    f.return(of(bits, F.asFloat(f, bits, f.param(0, 'i64').get)))
  }
  const f = module.function('multiplyAdd', { params: [], result: 'i32' } as const, { export: true })
  const library = new F.FloatLibrary(module, 0x1000, RULES)
  const operands = [FACTOR, SECOND, ADDEND].map((at) => f.load('v128.load', I32.of(at), 0))
  const whole = bits === 64 ? F.hostMultiplyAdd64(library) : F.hostMultiplyAdd32(library)
  f.store('v128.store', I32.of(RESULT), f.call(whole, ...(operands as [never, never, never])), 0)
  f.return(I32.of(0))
  const memory = new WebAssembly.Memory({ initial: 1 })
  const { exports } = new WebAssembly.Instance(new WebAssembly.Module(Uint8Array.from(module.build())), {
    env: { memory },
  })
  const of =
    (name: string) =>
    (a: bigint, b = 0n) =>
      Number((exports[name] as Run)(a, b))
  const view = bits === 64 ? new BigUint64Array(memory.buffer) : new Uint32Array(memory.buffer)
  const count = 128 / bits
  const multiplyAdd = (lanes: readonly (readonly [bigint, bigint, bigint])[]): bigint[] => {
    lanes.forEach((lane, i) =>
      lane.forEach((value, k) => (view[(k * 128) / bits + i] = bits === 64 ? value : (Number(value) as never))),
    )
    ;(exports['multiplyAdd'] as () => void)()
    return Array.from({ length: count }, (_, i) => BigInt(view[3 * count + i]!))
  }
  return { of, multiplyAdd, count }
}

describe.each([
  { bits: 32, fraction: 23n, largest: 0xffn },
  { bits: 64, fraction: 52n, largest: 0x7ffn },
] as const)('in $bits bits', ({ bits, fraction, largest }) => {
  const { of, multiplyAdd, count } = host(bits)
  const calculate = calculator(bits)
  const bias = largest >> 1n
  const sign = 1n << BigInt(bits - 1)
  const encode = (exponent: bigint, rest: bigint, negative: bigint = 0n): bigint =>
    (exponent << fraction) | (rest & ((1n << fraction) - 1n)) | (negative * sign)
  const isNan = (value: bigint): boolean => (value & ~sign) > largest << fraction

  test('exponents, with the sign above them, and what they say of a number', () => {
    const exponents = [0n, 1n, 2n, 3n, 4n, 5n, 6n, 7n, 8n, bias, bias + 1n, largest - 2n, largest - 1n, largest]
    for (const exponent of exponents)
      for (const negative of [0n, 1n])
        for (const rest of [0n, 1n, (1n << fraction) - 1n]) {
          const value = encode(exponent, rest, negative)
          const seen = [of('exponentOf')(value), of('isDenormal')(value), of('isFiniteNormal')(value)]
          const isNormal = exponent > 0n && exponent < largest
          expect(seen, value.toString(16)).toEqual([
            Number(exponent | (negative * (largest + 1n))),
            Number(exponent === 0n && rest !== 0n),
            Number(isNormal),
          ])
          expect(of('isPlain')(value)).toBe(Number(exponent < largest ? isNormal || rest === 0n : rest === 0n))
          expect(of('isOrdinary')(value)).toBe(Number(isNormal && exponent > 1n))
          // The smallest normal numbers may have come about by rounding.
          expect(of('ordinaryBits')(value) !== 0, value.toString(16)).toBe(isNormal && exponent > 2n)
        }
  })

  const random = words(20_261_123)
  const wide = (): bigint => (BigInt(random()) << 32n) | BigInt(random())
  /** Numbers of few digits and of many, near 1 and anywhere, zeros among them. */
  const operand = (): bigint => {
    const kind = random() % 8
    if (kind === 0) return BigInt.asUintN(bits, wide())
    const few = (wide() >> (64n - fraction)) & ~((1n << (fraction - BigInt(1 + (random() % 14)))) - 1n)
    const near = bias - 8n + BigInt(random() % 16)
    const exponent = kind === 1 ? BigInt(random() % 4) : kind === 2 ? largest - BigInt(random() % 4) : near
    return encode(exponent, kind < 6 ? few : wide(), BigInt(random() & 1))
  }

  test.each(Object.entries(OPERATIONS))('%s is exact where it says so', (operation, name) => {
    let exact = 0
    for (let i = 0; i < 1500; i++) {
      const [drawn, b] = [operand(), i % 16 === 0 ? 0n : operand()]
      // Quotients and roots of random numbers are hardly ever exact.
      const factor = operation === 'sqrt' ? drawn : b
      const hasProduct = i % 2 === 0 && (operation === 'div' || operation === 'sqrt')
      const a = hasProduct ? calculate('multiply', 0, drawn, factor).bits : drawn
      if (of(operation)(a, b) === 0) continue
      exact++
      const { bits: result, raised } = calculate(name, 0, a, b)
      expect([raised & F.FE_PRECISION, raised], `${operation} ${a.toString(16)} ${b.toString(16)}`).toEqual([0, 0])
      // A tiny result is not for the host, which may flush nothing.
      const exponent = (result & ~sign) >> fraction
      expect(exponent !== 0n || (result & ~sign) === 0n).toBe(true)
    }
    expect(exact).toBeGreaterThan(50)
  })

  test('numbers of few digits are seen to be exact', () => {
    const half = bits === 32 ? 12n : 27n
    const short = (exponent: bigint, negative = 0n): bigint =>
      encode(exponent, ((wide() >> 40n) | 1n) << half, negative)
    const power = (exponent: bigint): bigint => encode(exponent, 0n)
    for (const far of [bias, bias - 3n, bias + 3n]) {
      expect(of('add')(power(far), power(bias))).toBe(1)
      expect(of('sub')(power(far), power(bias))).toBe(1)
      expect(of('mul')(short(far), short(bias, 1n))).toBe(1)
      expect(of('div')(power(far), power(bias))).toBe(1)
      expect(of('sqrt')(power((far & ~1n) | 1n))).toBe(1)
    }
    // What has one digit more than half of them is not looked at.
    expect(of('mul')(encode(bias, 1n << (half - 1n)), power(bias))).toBe(0)
    expect(of('mul')(encode(bias, 1n << half), power(bias))).toBe(1)
    for (const operation of Object.keys(OPERATIONS)) expect(of(operation)(0n, power(bias))).toBe(1)
    expect(of('mul')(power(bias), 0n)).toBe(1)
    // A zero of two numbers is positive, as the caller said.
    expect(of('sub')(power(bias), power(bias))).toBe(1)
    expect(of('add')(power(1n), encode(1n, 1n, 1n))).toBe(0)
    const [denormal, infinity, nan] = [1n, encode(largest, 0n), encode(largest, 1n)]
    for (const operation of ['add', 'sub', 'mul', 'div'])
      for (const other of [denormal, nan]) {
        expect(of(operation)(other, power(bias)), operation).toBe(0)
        expect(of(operation)(power(bias), other), operation).toBe(0)
      }
    expect(of('mul')(infinity, power(bias))).toBe(0)
  })

  test('a multiply-add is what software computes, or is left to it', () => {
    let done = 0
    for (let i = 0; i < 2000; i++) {
      const lanes = Array.from({ length: count }, () => {
        const [a, b] = [operand(), operand()]
        // As often as not the sum cancels.
        const product = calculate('multiply', 0, a, b).bits
        const c = [operand(), product ^ sign, (product ^ sign) + 1n, product][random() % 4]!
        return [a, b, BigInt.asUintN(bits, c)] as const
      })
      multiplyAdd(lanes).forEach((result, lane) => {
        if (isNan(result)) return
        done++
        const given = lanes[lane]!.map((value) => value.toString(16)).join(' ')
        expect(result.toString(16), given).toBe(calculate('multiplyAdd', 0, ...lanes[lane]!).bits.toString(16))
      })
    }
    expect(done).toBeGreaterThan(700 * count)
  })

  test('a product between two numbers is rounded by what is added to it, however small', () => {
    // Three times an odd number, which has one digit more than there is room for.
    const least = (2n << fraction) / 3n
    for (let i = 0; i < 200; i++) {
      const odd = (least + 2n + (wide() % least)) | 1n
      const length = BigInt(odd.toString(2).length)
      const b = encode(bias, odd << (fraction + 1n - length), BigInt(i & 1))
      const three = encode(bias + 1n, 1n << (fraction - 1n))
      for (const c of [0n, encode(bias - 60n, 0n), encode(bias - 60n, 0n, 1n), encode(bias - fraction - 9n, 1n)]) {
        const lanes = Array.from({ length: count }, () => [three, b, c] as const)
        const expected = calculate('multiplyAdd', 0, three, b, c).bits
        expect(multiplyAdd(lanes).map((bits) => bits.toString(16))).toEqual(lanes.map(() => expected.toString(16)))
      }
    }
  })

  test('in a multiply-add each element is by itself', () => {
    const one = encode(bias, 0n)
    const nan = encode(largest, 1n)
    for (let left = 0; left < count; left++) {
      // Zeros among them, whose results are not ordinary.
      const lanes = Array.from({ length: count }, (_, i) => [one, i === left ? nan : one, one ^ sign] as const)
      expect(multiplyAdd(lanes).map(isNan)).toEqual(lanes.map((_, i) => i === left))
      const zeros = Array.from({ length: count }, (_, i) => [one, one, i === left ? one : one ^ sign] as const)
      expect(multiplyAdd(zeros)).toEqual(zeros.map((_, i) => (i === left ? encode(bias + 1n, 0n) : 0n)))
    }
  })
})
