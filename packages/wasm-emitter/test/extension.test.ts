// Values that 32 bits determine are computed and compared in 32 bits. Whatever is known of them, an expression means what
// the same operations on integers mean.
import fc from 'fast-check'
import { expect, test } from 'vitest'
import { I64 as Integer, type I32, type I64 } from '../src/index.ts'
import { runner } from './support/wasm.ts'

const signed = (value: bigint): bigint => BigInt.asIntN(64, value)
const unsigned = (value: bigint): bigint => BigInt.asUintN(64, value)

/** An operation of an expression: as it is built, and on integers. */
interface Operation {
  readonly build: (a: I64, b: I64) => I64
  readonly mean: (a: bigint, b: bigint) => bigint
}

const BINARY: Readonly<Record<string, Operation>> = {
  add: { build: (a, b) => a.add(b), mean: (a, b) => a + b },
  sub: { build: (a, b) => a.sub(b), mean: (a, b) => a - b },
  mul: { build: (a, b) => a.mul(b), mean: (a, b) => a * b },
  and: { build: (a, b) => a.and(b), mean: (a, b) => a & b },
  or: { build: (a, b) => a.or(b), mean: (a, b) => a | b },
  xor: { build: (a, b) => a.xor(b), mean: (a, b) => a ^ b },
  shl: { build: (a, b) => a.shl(b), mean: (a, b) => a << (b & 63n) },
  shrU: { build: (a, b) => a.shrU(b), mean: (a, b) => unsigned(a) >> (b & 63n) },
  shrS: { build: (a, b) => a.shrS(b), mean: (a, b) => a >> (b & 63n) },
}
const UNARY: Readonly<Record<string, { build: (a: I64) => I64; mean: (a: bigint) => bigint }>> = {
  extend8S: { build: (a) => a.extend8S(), mean: (a) => BigInt.asIntN(8, a) },
  extend16S: { build: (a) => a.extend16S(), mean: (a) => BigInt.asIntN(16, a) },
  extend32S: { build: (a) => a.extend32S(), mean: (a) => BigInt.asIntN(32, a) },
  low8: { build: (a) => a.and(0xff), mean: (a) => a & 0xffn },
  low16: { build: (a) => a.and(0xffff), mean: (a) => a & 0xffffn },
  low32: { build: (a) => a.and(0xffff_ffffn), mean: (a) => a & 0xffff_ffffn },
  wrapU: { build: (a) => a.toI32().toI64U(), mean: (a) => BigInt.asUintN(32, a) },
  wrapS: { build: (a) => a.toI32().toI64S(), mean: (a) => BigInt.asIntN(32, a) },
  by3: { build: (a) => a.shl(3), mean: (a) => a << 3n },
  by7U: { build: (a) => a.shrU(7), mean: (a) => unsigned(a) >> 7n },
  by33U: { build: (a) => a.shrU(33), mean: (a) => unsigned(a) >> 33n },
  by7S: { build: (a) => a.shrS(7), mean: (a) => a >> 7n },
  by40S: { build: (a) => a.shrS(40), mean: (a) => a >> 40n },
}
const COMPARE: Readonly<Record<string, { build: (a: I64, b: I64) => I32; mean: (a: bigint, b: bigint) => boolean }>> = {
  eq: { build: (a, b) => a.eq(b), mean: (a, b) => a === b },
  ne: { build: (a, b) => a.ne(b), mean: (a, b) => a !== b },
  ltS: { build: (a, b) => a.ltS(b), mean: (a, b) => a < b },
  ltU: { build: (a, b) => a.ltU(b), mean: (a, b) => unsigned(a) < unsigned(b) },
  gtS: { build: (a, b) => a.gtS(b), mean: (a, b) => a > b },
  gtU: { build: (a, b) => a.gtU(b), mean: (a, b) => unsigned(a) > unsigned(b) },
  leS: { build: (a, b) => a.leS(b), mean: (a, b) => a <= b },
  leU: { build: (a, b) => a.leU(b), mean: (a, b) => unsigned(a) <= unsigned(b) },
  geS: { build: (a, b) => a.geS(b), mean: (a, b) => a >= b },
  geU: { build: (a, b) => a.geU(b), mean: (a, b) => unsigned(a) >= unsigned(b) },
  eqz: { build: (a) => a.eqz(), mean: (a) => a === 0n },
}

type Tree =
  | { readonly parameter: 0 | 1 }
  | { readonly constant: bigint }
  | { readonly unary: string; readonly of: Tree }
  | { readonly binary: string; readonly left: Tree; readonly right: Tree }

const EDGES = [0n, 1n, -1n, 0x7fn, 0x80n, 0xffn, 0x7fff_ffffn, 0x8000_0000n, 0xffff_ffffn, -0x8000_0000n, 1n << 63n]
const integers = fc.oneof(
  fc.constantFrom(...EDGES.map(signed)),
  fc.bigInt({ min: -(1n << 63n), max: (1n << 63n) - 1n }),
)
const { tree: trees } = fc.letrec<{ tree: Tree }>((tie) => ({
  tree: fc.oneof(
    { depthSize: 'small', withCrossShrink: true },
    fc.record({ parameter: fc.constantFrom<0 | 1>(0, 1) }),
    fc.record({ constant: integers }),
    fc.record({ unary: fc.constantFrom(...Object.keys(UNARY)), of: tie('tree') }),
    fc.record({ binary: fc.constantFrom(...Object.keys(BINARY)), left: tie('tree'), right: tie('tree') }),
  ),
}))

function build(tree: Tree, of: (i: 0 | 1) => I64, constant: (value: bigint) => I64): I64 {
  const inner = (each: Tree): I64 => build(each, of, constant)
  if ('parameter' in tree) return of(tree.parameter)
  if ('constant' in tree) return constant(tree.constant)
  if ('unary' in tree) return UNARY[tree.unary]!.build(inner(tree.of))
  return BINARY[tree.binary]!.build(inner(tree.left), inner(tree.right))
}

function mean(tree: Tree, parameters: readonly bigint[]): bigint {
  if ('parameter' in tree) return parameters[tree.parameter]!
  if ('constant' in tree) return tree.constant
  if ('unary' in tree) return signed(UNARY[tree.unary]!.mean(mean(tree.of, parameters)))
  return signed(BINARY[tree.binary]!.mean(mean(tree.left, parameters), mean(tree.right, parameters)))
}

test('an expression of 64-bit integers means what its operations mean', () => {
  fc.assert(
    fc.property(trees, integers, integers, (tree, a, b) => {
      const run = runner<bigint>({ params: ['i64', 'i64'], result: 'i64' }, (f) =>
        f.return(
          build(
            tree,
            (i) => f.param(i, 'i64').get,
            (value) => Integer.of(value),
          ),
        ),
      )
      expect(run(a, b)).toBe(mean(tree, [a, b]))
    }),
    { numRuns: 600 },
  )
})

test('a value that is known to be an extension is taken for one', () => {
  fc.assert(
    fc.property(trees, integers, integers, fc.boolean(), (tree, a, b, isSigned) => {
      const narrow = (value: bigint): bigint => (isSigned ? BigInt.asIntN(32, value) : BigInt.asUintN(32, value))
      const run = runner<bigint>({ params: ['i64', 'i64'], result: 'i64' }, (f) =>
        f.return(
          build(
            tree,
            (i) => f.param(i, 'i64').get.knownExtended(isSigned),
            (value) => Integer.of(value),
          ),
        ),
      )
      const parameters = [a, b].map(narrow) as [bigint, bigint]
      expect(run(...parameters)).toBe(mean(tree, parameters))
    }),
    { numRuns: 400 },
  )
})

test.each([0n, 64n, 1n << 31n])('a shift by %d, which is by 0, leaves an extension as it is', (count) => {
  const run = runner<bigint>({ params: ['i64'], result: 'i64' }, (f) =>
    f.return(f.param(0, 'i64').get.knownExtended(false).shrU(Integer.of(count)).extend32S()),
  )
  expect(run(0x8000_0000n)).toBe(-0x8000_0000n)
})

test.each(Object.keys(COMPARE))('%s of two expressions', (name) => {
  const { build: compare, mean: compared } = COMPARE[name]!
  fc.assert(
    fc.property(trees, trees, integers, integers, (left, right, a, b) => {
      const run = runner<number>({ params: ['i64', 'i64'], result: 'i32' }, (f) => {
        const of = (tree: Tree): I64 =>
          build(
            tree,
            (i) => f.param(i, 'i64').get,
            (value) => Integer.of(value),
          )
        f.return(compare(of(left), of(right)))
      })
      expect(run(a, b)).toBe(Number(compared(mean(left, [a, b]), mean(right, [a, b]))))
    }),
    { numRuns: 150 },
  )
})

const EXTENSIONS: Readonly<Record<string, { build: (a: I64) => I64; mean: (a: bigint) => bigint }>> = {
  zero: UNARY['wrapU']!,
  sign: UNARY['wrapS']!,
  none: { build: (a) => a, mean: (a) => a },
}
const KINDS = Object.keys(EXTENSIONS).flatMap((left) => Object.keys(EXTENSIONS).map((right) => ({ left, right })))

test.each(KINDS)('all comparisons of $left with $right extensions, at the ends of their ranges', ({ left, right }) => {
  const [first, second] = [EXTENSIONS[left]!, EXTENSIONS[right]!]
  for (const [name, comparison] of Object.entries(COMPARE)) {
    const run = runner<number>({ params: ['i64', 'i64'], result: 'i32' }, (f) =>
      f.return(comparison.build(first.build(f.param(0, 'i64').get), second.build(f.param(1, 'i64').get))),
    )
    for (const a of EDGES.map(signed)) {
      for (const b of EDGES.map(signed)) {
        const expected = Number(comparison.mean(first.mean(a), second.mean(b)))
        expect([name, a, b, run(a, b)]).toEqual([name, a, b, expected])
      }
    }
  }
})
