// The emitter is a partial evaluator: what is known is computed when the code is generated. Each operation must give
// what the same WebAssembly instruction gives when the code runs, whichever of its operands is known.
import fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import { I32, I64, select } from '../src/index.ts'
import { instructionsOf, moduleOf, runner } from './support/wasm.ts'

const BINARY_32 = [
  ...['add', 'sub', 'mul', 'and', 'or', 'xor', 'shl', 'shrU', 'shrS', 'rotl', 'rotr'],
  ...['eq', 'ne', 'ltS', 'ltU', 'gtS', 'gtU', 'leS', 'leU', 'geS', 'geU'],
] as const
type Binary = Exclude<{ [K in keyof I32]: I32[K] extends (other: number) => I32 ? K : never }[keyof I32], undefined>

const UNARY_32 = ['eqz', 'clz', 'ctz', 'popcnt', 'extend8S', 'extend16S', 'toI64U', 'toI64S'] as const
const UNARY_64 = ['eqz', 'clz', 'ctz', 'popcnt', 'extend8S', 'extend16S', 'extend32S', 'toI32'] as const

const EDGES_32 = [0, 1, 2, 7, 31, 32, 33, 0x7f, 0x80, 0x7fff, 0x8000, 0x7fff_ffff, -0x8000_0000, -1, -2]
const words = fc.oneof(fc.constantFrom(...EDGES_32), fc.integer({ min: -0x8000_0000, max: 0x7fff_ffff }))
const EDGES_64 = [
  0n,
  1n,
  2n,
  31n,
  32n,
  63n,
  64n,
  65n,
  0xffff_ffffn,
  1n << 32n,
  (1n << 63n) - 1n,
  -(1n << 63n),
  -1n,
  -2n,
]
const doubleWords = fc.oneof(fc.constantFrom(...EDGES_64), fc.bigInt({ min: -(1n << 63n), max: (1n << 63n) - 1n }))

const TWO_32 = { params: ['i32', 'i32'], result: 'i32' } as const

describe('an operation on 32-bit values gives the same with known operands as at run time', () => {
  test.each(BINARY_32)('%s', (name) => {
    const op = name as Binary
    const compiled = runner<number>(TWO_32, (f) => f.return(f.param(0, 'i32').get[op](f.param(1, 'i32').get)))
    fc.assert(
      fc.property(words, words, (a, b) => {
        const expected = compiled(a, b)
        expect(I32.of(a)[op](b).known).toBe(expected)
        // One known operand may pick a shorter form, which must mean the same.
        const known = runner<number>(TWO_32, (f) => f.return(f.param(0, 'i32').get[op](b)))
        expect(known(a, b)).toBe(expected)
        const swapped = runner<number>(TWO_32, (f) => f.return(I32.of(a)[op](f.param(1, 'i32').get)))
        expect(swapped(a, b)).toBe(expected)
      }),
      { numRuns: 60 },
    )
  })

  test.each(UNARY_32)('%s', (name) => {
    const result = name.startsWith('to') ? 'i64' : 'i32'
    const compiled = runner<number | bigint>({ params: ['i32'], result }, (f) =>
      f.return(f.param(0, 'i32').get[name]()),
    )
    fc.assert(
      fc.property(words, (a) => {
        const folded = runner<number | bigint>({ params: [], result }, (f) => f.return(I32.of(a)[name]()))
        expect(folded()).toBe(compiled(a))
      }),
      { numRuns: 60 },
    )
  })
})

describe('an operation on 64-bit values gives the same with known operands as at run time', () => {
  test.each(BINARY_32)('%s', (name) => {
    const op = name as Exclude<Binary, 'divU'>
    const probe = I64.of(1)[op](1)
    const signature = { params: ['i64', 'i64'], result: probe.type } as const
    const compiled = runner<number | bigint>(signature, (f) =>
      f.return(f.param(0, 'i64').get[op](f.param(1, 'i64').get)),
    )
    fc.assert(
      fc.property(doubleWords, doubleWords, (a, b) => {
        const expected = compiled(a, b)
        const both = runner<number | bigint>(signature, (f) => f.return(I64.of(a)[op](b)))
        expect(both(a, b)).toBe(expected)
        const right = runner<number | bigint>(signature, (f) => f.return(f.param(0, 'i64').get[op](b)))
        expect(right(a, b)).toBe(expected)
        const left = runner<number | bigint>(signature, (f) => f.return(I64.of(a)[op](f.param(1, 'i64').get)))
        expect(left(a, b)).toBe(expected)
      }),
      { numRuns: 60 },
    )
  })

  test.each(UNARY_64)('%s', (name) => {
    const result = name === 'eqz' || name === 'toI32' ? 'i32' : 'i64'
    const compiled = runner<number | bigint>({ params: ['i64'], result }, (f) =>
      f.return(f.param(0, 'i64').get[name]()),
    )
    fc.assert(
      fc.property(doubleWords, (a) => {
        const folded = runner<number | bigint>({ params: [], result }, (f) => f.return(I64.of(a)[name]()))
        expect(folded()).toBe(compiled(a))
      }),
      { numRuns: 60 },
    )
  })
})

describe('code for what is known never appears', () => {
  const x = { params: ['i32'], result: 'i32' } as const
  test.each([
    { expression: 'x + 0', build: (v: I32) => v.add(0), code: ['local.get 0'] },
    { expression: '0 + x', build: (v: I32) => I32.of(0).add(v), code: ['local.get 0'] },
    { expression: 'x * 1', build: (v: I32) => v.mul(1), code: ['local.get 0'] },
    { expression: 'x & -1', build: (v: I32) => v.and(-1), code: ['local.get 0'] },
    { expression: 'x & 0', build: (v: I32) => v.and(0), code: ['i32.const 0'] },
    { expression: 'x | 0', build: (v: I32) => v.or(0), code: ['local.get 0'] },
    { expression: 'x << 0', build: (v: I32) => v.shl(0), code: ['local.get 0'] },
    {
      expression: '(2 + 3) * 4 + x',
      build: (v: I32) => I32.of(2).add(3).mul(4).add(v),
      code: ['i32.const 20', 'local.get 0', 'i32.add'],
    },
    { expression: '1 ? x : 5', build: (v: I32) => select(1, v, I32.of(5)), code: ['local.get 0'] },
    { expression: '0 ? x : 5', build: (v: I32) => select(0, v, I32.of(5)), code: ['i32.const 5'] },
    {
      expression: 'x ? x : 5',
      build: (v: I32) => select(v, v, I32.of(5)),
      code: ['local.get 0', 'i32.const 5', 'local.get 0', 'select'],
    },
  ])('$expression', ({ build, code }) => {
    const bytes = moduleOf(x, (f) => f.return(build(f.param(0, 'i32').get)))
    expect(instructionsOf(bytes)).toEqual([...code, 'return'])
  })

  const low = ['local.get 0', 'i32.wrap_i64']
  const wide = ['i32.wrap_i64']
  test.each([
    { expression: 'x + 5', build: (v: I64) => v.add(5n), code: [...low, 'i32.const 5', 'i32.add'] },
    { expression: 'x - 5', build: (v: I64) => v.sub(5n), code: [...low, 'i32.const 5', 'i32.sub'] },
    { expression: 'x * 5', build: (v: I64) => v.mul(5n), code: [...low, 'i32.const 5', 'i32.mul'] },
    { expression: 'x & 5', build: (v: I64) => v.and(5n), code: [...low, 'i32.const 5', 'i32.and'] },
    { expression: 'x | 5', build: (v: I64) => v.or(5n), code: [...low, 'i32.const 5', 'i32.or'] },
    { expression: 'x ^ 5', build: (v: I64) => v.xor(5n), code: [...low, 'i32.const 5', 'i32.xor'] },
    { expression: 'x << 31', build: (v: I64) => v.shl(31n), code: [...low, 'i32.const 31', 'i32.shl'] },
    { expression: 'x << 65', build: (v: I64) => v.shl(65n), code: [...low, 'i32.const 1', 'i32.shl'] },
    { expression: 'x << 32', build: (v: I64) => v.shl(32n), code: ['local.get 0', 'i64.const 32', 'i64.shl', ...wide] },
  ])('nor code for the upper half of $expression, where only the lower half is used', ({ build, code }) => {
    const bytes = moduleOf({ params: ['i64'], result: 'i32' }, (f) => f.return(build(f.param(0, 'i64').get).toI32()))
    expect(instructionsOf(bytes)).toEqual([...code, 'return'])
  })

  test('a division by a known zero still traps, at run time', () => {
    const divide = runner<number>({ params: [], result: 'i32' }, (f) => f.return(I32.of(1).divU(0)))
    expect(divide).toThrow(WebAssembly.RuntimeError)
  })

  test('only the arm of a known condition is built', () => {
    const bytes = moduleOf({ params: [], result: 'i32' }, (f) => {
      f.if(
        I32.of(4).gtS(3),
        () => f.return(1),
        () => f.unreachable(),
      )
      f.return(
        f.ifElse(
          'i32',
          0,
          () => I32.of(2),
          () => I32.of(3),
        ),
      )
    })
    expect(instructionsOf(bytes)).toEqual(['i32.const 1', 'return', 'i32.const 3', 'return'])
  })
})
