import { I32, V128, numeric, ModuleBuilder, extractLane, type F64 } from '@retrap/wasm-emitter'
import type { FloatModule, SharedFunction } from './float-module.ts'
import { and, or, ordinaryMask, plainMask, splat, vector, zeroMask } from './host-numbers.ts'

/**
 * Fused multiply-add in the host's floating point, which has no such instruction: error-free transformations. The rounding error
 * of a sum or a product is itself a number of the format, computable without error, and the two parts are added with the result
 * rounded to odd first. So the last rounding is the only one that counts.
 *
 * Source: S. Boldo, G. Melquiond, "Emulation of FMA and Correctly Rounded Sums: Proved Algorithms Using Rounding to Odd",
 * IEEE Transactions on Computers 57 (2008).
 */

/** Error of x + y, where s is the rounded sum: Knuth's TwoSum. */
function sumError(c: SumContext, x: V128, y: V128, s: V128): V128 {
  const d = c.let(vector(64, 'sub', s, x))
  return vector(64, 'add', vector(64, 'sub', x, vector(64, 'sub', s, d)), vector(64, 'sub', y, d))
}

interface SumContext {
  let(value: V128): V128
}

/** `s` rounded to odd, where the exact value is s + error: if it is not exact, that neighbour whose last bit is set. */
function toOdd(c: SumContext, s: V128, error: V128): V128 {
  const one = V128.of([1, 0, 0, 0, 0, 0, 0, 0, 1])
  const isEven = numeric('i64x2.eq', and(s, one), V128.of([]))
  const inexact = vector(64, 'ne', error, V128.of([]))
  // Away from zero where the error has the sum's sign.
  const step = c.let(or(numeric('i64x2.shr_s', numeric('v128.xor', s, error), I32.of(63)), one))
  return numeric('i64x2.add', s, and(step, and(isEven, inexact)))
}

/** (a, b, c of 32 bits) → a · b + c; NaN in elements that need the long way. */
export function hostMultiplyAdd32(c: FloatModule): SharedFunction<'v128'> {
  return c.shared('fma.fast32', ['v128', 'v128', 'v128'], 'v128', (f) => {
    const operands = [0, 1, 2].map((i) => f.param(i, 'v128').get)
    const half = (upper: boolean): readonly [result: V128, zero: V128] => {
      const [x, y, z] = operands.map((v) => {
        const moved = upper ? v.shuffle(v, [8, 9, 10, 11, 12, 13, 14, 15, 8, 9, 10, 11, 12, 13, 14, 15]) : v
        return f.let(numeric('f64x2.promote_low_f32x4', moved))
      }) as [V128, V128, V128]
      // Exact: 48 bits.
      const product = f.let(vector(64, 'mul', x, y))
      const sum = f.let(vector(64, 'add', product, z))
      const odd = toOdd(f, sum, f.let(sumError(f, product, z, sum)))
      return [f.let(numeric('f32x4.demote_f64x2_zero', odd)), f.let(vector(64, 'eq', sum, V128.of([])))]
    }
    const [[low, lowZero], [high, highZero]] = [half(false), half(true)]
    const join = [0, 1, 2, 3, 4, 5, 6, 7, 16, 17, 18, 19, 20, 21, 22, 23]
    const result = f.let(low.shuffle(high, join))
    // Both 32-bit halves of an element's 64-bit mask are equal, so its low half is the 32-bit mask.
    const zero = lowZero.shuffle(highZero, [0, 1, 2, 3, 8, 9, 10, 11, 16, 17, 18, 19, 24, 25, 26, 27])
    const fine = and(operands.map((v) => plainMask(32, v)).reduce(and), or(ordinaryMask(32, result), zero))
    f.return(or(result, numeric('v128.not', fine)))
  })
}

/** Magnitudes between which nothing in the computation can overflow or lose bits to underflow. */
const FACTOR_RANGE = 2 ** 400
const ADDEND_RANGE = 2 ** 800
/** Splits 53 bits into 26 and 27 (Veltkamp). */
const SPLITTER = 2 ** 27 + 1

function withinOrZero(x: V128, range: number): V128 {
  const magnitude = vector(64, 'abs', x)
  return or(
    and(vector(64, 'ge', magnitude, splat(64, 1 / range)), vector(64, 'le', magnitude, splat(64, range))),
    zeroMask(64, x),
  )
}

/** (a, b, c of 64 bits) → a · b + c; NaN in elements that need the long way. */
export function hostMultiplyAdd64(c: FloatModule): SharedFunction<'v128'> {
  return c.shared('fma.fast64', ['v128', 'v128', 'v128'], 'v128', (f) => {
    const [x, y, z] = [0, 1, 2].map((i) => f.param(i, 'v128').get) as [V128, V128, V128]
    const split = (v: V128): readonly [high: V128, low: V128] => {
      const scaled = f.let(vector(64, 'mul', v, splat(64, SPLITTER)))
      const high = f.let(vector(64, 'sub', scaled, vector(64, 'sub', scaled, v)))
      return [high, f.let(vector(64, 'sub', v, high))]
    }
    // Dekker's product: x · y = high + low.
    const [[xh, xl], [yh, yl]] = [split(x), split(y)]
    const high = f.let(vector(64, 'mul', x, y))
    const rest = vector(64, 'sub', vector(64, 'mul', xh, yh), high)
    const cross = vector(64, 'add', vector(64, 'add', rest, vector(64, 'mul', xh, yl)), vector(64, 'mul', xl, yh))
    const low = f.let(vector(64, 'add', cross, vector(64, 'mul', xl, yl)))
    const inner = f.let(vector(64, 'add', z, low))
    const innerError = f.let(sumError(f, z, low, inner))
    const outer = f.let(vector(64, 'add', high, inner))
    const outerError = f.let(sumError(f, high, inner, outer))
    const errors = f.let(vector(64, 'add', innerError, outerError))
    const odd = toOdd(f, errors, f.let(sumError(f, innerError, outerError, errors)))
    const sum = f.let(vector(64, 'add', outer, odd))
    // The sign of an exact zero is that of the plain sum.
    const result = f.let(numeric('v128.bitselect', vector(64, 'add', high, z), sum, zeroMask(64, sum)))
    const fine = and(and(withinOrZero(x, FACTOR_RANGE), withinOrZero(y, FACTOR_RANGE)), withinOrZero(z, ADDEND_RANGE))
    f.return(or(result, numeric('v128.not', fine)))
  })
}

/** Whether the host's multiply-add rounds once for both types, as it does on processors with such an instruction. */
let fused: boolean | undefined

/**
 * Tests once whether the host has a fused multiply-add. The result is constant while the host runs (WebAssembly core
 * specification, "Relaxed Operations"). Compiled code computes the same results without it.
 */
export function hasFusedMultiplyAdd(): boolean {
  fused ??= roundsOnce()
  return fused
}

/** The square of 1 + ε is 1 + 2ε + ε²; rounded, the last summand is lost. Less the others, it is zero or ε². */
const EPSILON_32 = 2 ** -12
const EPSILON_64 = 2 ** -27

function roundsOnce(): boolean {
  const module = new ModuleBuilder()
  const f = module.function('test', { params: ['f64', 'f64'], result: 'i32' } as const, { export: true })
  const splat64 = (value: F64): V128 => numeric('f64x2.splat', value)
  const splat32 = (value: F64): V128 => numeric('f32x4.splat', numeric('f32.demote_f64', value))
  // Not constants, which a compiler might compute with by itself.
  const [small32, small64] = [f.param(0, 'f64').get, f.param(1, 'f64').get]
  const one = numeric('f64.div', small64, small64)
  const factor = (epsilon: F64): F64 => numeric('f64.add', one, epsilon)
  const addend = (epsilon: F64): F64 => numeric('f64.neg', numeric('f64.add', factor(epsilon), epsilon))
  const [x32, x64] = [splat32(factor(small32)), splat64(factor(small64))]
  const r32 = numeric('f32x4.relaxed_madd', x32, x32, splat32(addend(small32)))
  const r64 = numeric('f64x2.relaxed_madd', x64, x64, splat64(addend(small64)))
  const [first, second] = [extractLane('f32x4.extract_lane', r32, 3), extractLane('f64x2.extract_lane', r64, 1)]
  const isRight = numeric('f64.eq', numeric('f64.promote_f32', first), numeric('f64.mul', small32, small32))
  f.return(isRight.and(numeric('f64.eq', second, numeric('f64.mul', small64, small64))).and(I32.of(1)))
  const bytes = module.build() as Uint8Array<ArrayBuffer>
  if (!WebAssembly.validate(bytes)) return false
  const { exports } = new WebAssembly.Instance(new WebAssembly.Module(bytes))
  return (exports['test'] as (a: number, b: number) => number)(EPSILON_32, EPSILON_64) === 1
}
