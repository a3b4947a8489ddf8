import {
  float,
  floatTest,
  hasFusedMultiplyAdd,
  hostMultiplyAdd32,
  hostMultiplyAdd64,
  ofBits,
  ORDINARY_64,
  ordinaryBits,
  SHAPES,
  vector,
} from '@retrap/soft-float'
import type { Bits, Float } from '@retrap/soft-float'
import { I64, numeric, V128, type F64, type I32, type Local } from '@retrap/wasm-emitter'
import type { ArmContext } from '../context.ts'
import { FPCR_FZ_SHIFT, FPCR_RMODE_SHIFT, FPSR_IXC } from '../../state/float-rules.ts'
import { S_FPCR } from '../../state/state-layout.ts'
import { repeated, vectorBytes } from '../vector/lanes.ts'
import type { Precision } from './element.ts'

/** The elements of a result. */
export interface Elements {
  readonly bits: Precision
  /** 1 of scalars. */
  readonly count: number
}

/**
 * Arithmetic in the host's floating point, which rounds to nearest and keeps no flags, where its result is right: denormal
 * numbers are not flushed, the result is a number whose exponent is neither the smallest nor the largest, and that it is
 * inexact is known already (FPSR.IXC is set). Everything else is computed in software, which also looks whether a result is
 * exact: a program of whole numbers never sets IXC.
 */

/** The condition for the host's result. */
type Test =
  /** The result may be inexact, rounded to nearest. */
  | 'rounded'
  /** The result is never inexact; nothing is flushed, and it is no NaN. */
  | 'number'
  /** Operands of a comparison. */
  | 'ordered'

/** An operation of the host, of scalars and of vectors. */
interface HostOperation {
  readonly op: string
  readonly test: Test
  /** Of the magnitudes of the operands. */
  readonly ofMagnitudes?: boolean
}

export const HOST: Readonly<Record<string, HostOperation>> = {
  ADD: { op: 'add', test: 'rounded' },
  SUB: { op: 'sub', test: 'rounded' },
  MUL: { op: 'mul', test: 'rounded' },
  MULX: { op: 'mul', test: 'rounded' },
  DIV: { op: 'div', test: 'rounded' },
  SQRT: { op: 'sqrt', test: 'rounded' },
  MAX: { op: 'max', test: 'number' },
  MIN: { op: 'min', test: 'number' },
  MAXNM: { op: 'max', test: 'number' },
  MINNM: { op: 'min', test: 'number' },
  CMEQ: { op: 'eq', test: 'ordered' },
  CMGE: { op: 'ge', test: 'ordered' },
  CMGT: { op: 'gt', test: 'ordered' },
  CMLE: { op: 'le', test: 'ordered' },
  CMLT: { op: 'lt', test: 'ordered' },
  ACGE: { op: 'ge', test: 'ordered', ofMagnitudes: true },
  ACGT: { op: 'gt', test: 'ordered', ofMagnitudes: true },
}

const RMODE: bigint = 3n << BigInt(FPCR_RMODE_SHIFT)
const FZ: bigint = 1n << BigInt(FPCR_FZ_SHIFT)
const IXC: bigint = BigInt(FPSR_IXC) << 32n

/** Returns FPCR in the low word, FPSR in the high word. */
const controlAndStatus = (c: ArmContext): I64 => c.f.loadExpression('i64.load', c.state, S_FPCR)

/** 1 if rounding is to nearest and nothing is flushed; and, unless that does not matter, IXC is set. */
export const isSettled = (c: ArmContext): I32 =>
  controlAndStatus(c)
    .and(RMODE | FZ | IXC)
    .eq(IXC)

/** 1 if rounding is to nearest and nothing is flushed. */
export const isNearest = (c: ArmContext): I32 =>
  controlAndStatus(c)
    .and(RMODE | FZ)
    .eqz()

/** 1 if denormal numbers are not flushed. */
export const keepsDenormals = (c: ArmContext): I32 => controlAndStatus(c).and(FZ).eqz()

/** 1 if an inexact result changes nothing, and nothing is flushed. */
export const isInexactAlready = (c: ArmContext): I32 =>
  controlAndStatus(c)
    .and(FZ | IXC)
    .eq(IXC)

const isNumber = (bits: Bits, x: Float): I32 => floatTest(bits, 'eq', x, x)

export const floatLocal = (c: ArmContext, bits: Bits): Local<'f64'> =>
  bits === 64 ? c.f.local('f64') : (c.f.local('f32') as unknown as Local<'f64'>)

/** Returns the host's result if it is correct; otherwise the encoding from `slow`. */
export function hostScalar(c: ArmContext, bits: Bits, name: string, operands: readonly Float[], slow: () => I64): F64 {
  const { f } = c
  const { op, test } = HOST[name]!
  const value = floatLocal(c, bits)
  f.set(value, float(bits, op, ...operands))
  const isRight =
    test === 'rounded'
      ? ordinaryBits(bits, value.get).ne(0).and(isSettled(c))
      : isNumber(bits, value.get).and(keepsDenormals(c))
  f.if(isRight.eqz(), () => f.set(value, ofBits(bits, slow()) as F64))
  return value.get
}

/** a · b + addend by the host: exact Arm results only for {@link ordinaryElements}, and while {@link isSettled} is 1. */
export function hostMultiplyAdd(
  c: Pick<ArmContext, 'f' | 'library'>,
  bits: Bits,
  a: V128,
  b: V128,
  addend: V128,
): V128 {
  if (hasFusedMultiplyAdd()) return numeric(bits === 64 ? 'f64x2.relaxed_madd' : 'f32x4.relaxed_madd', a, b, addend)
  return c.f.call(bits === 64 ? hostMultiplyAdd64(c.library) : hostMultiplyAdd32(c.library), a, b, addend)
}

/** Magnitudes of products from which on a product's rounding error is representable. */
const SMALLEST_PRODUCT: Readonly<Record<Bits, bigint>> = { 32: 0x1f80_0000n, 64: 0x07b0_0000_0000_0000n }

/**
 * All ones in the elements of r = a · b + addend, rounded once, whose product and sum are exact. The test may miss
 * exact elements. Call it only for ordinary results.
 */
function exactElements(c: ArmContext, bits: Bits, a: V128, b: V128, addend: V128, r: V128): V128 {
  const parameters = ['v128', 'v128', 'v128', 'v128'] as const
  const callee = c.library.function(`fused.exact.${bits}`, parameters, 'v128', (f, x, y, z, sum) => {
    const and = (first: V128, second: V128): V128 => numeric('v128.and', first, second)
    const isZero = (value: V128): V128 => vector(bits, 'eq', value, V128.of([]))
    const product = f.let(vector(bits, 'mul', x, y))
    // The error of a small product may itself be lost, unless a factor is zero.
    const isLarge = vector(bits, 'ge', vector(bits, 'abs', product), everywhere(SMALLEST_PRODUCT[bits], bits))
    const isKept = numeric('v128.or', isLarge, numeric('v128.or', isZero(x), isZero(y)))
    const productError = hostMultiplyAdd({ f, library: c.library }, bits, x, y, vector(bits, 'neg', product))
    // Knuth's TwoSum: the rounding error of the sum of product and addend.
    const part = f.let(vector(bits, 'sub', sum, product))
    const ofProduct = vector(bits, 'sub', product, vector(bits, 'sub', sum, part))
    const sumError = vector(bits, 'add', ofProduct, vector(bits, 'sub', z, part))
    return and(isKept, and(isZero(productError), isZero(sumError)))
  })
  return c.f.call(callee, a, b, addend, r)
}

/**
 * 1 if the host's a · b + addend is right: its exponents are ordinary, rounding is to nearest, nothing is flushed, and the
 * result is exact, if that matters.
 *
 * @param r - its value, a local
 */
export function isFusedRight(c: ArmContext, elements: Elements, a: V128, b: V128, addend: V128, r: V128): I32 {
  const { f } = c
  const { count } = elements
  const bits = elements.bits as Bits
  const isOrdinary = areAllSet(ordinaryElements(r, bits), count, bits)
  return f.ifElse(
    'i32',
    isSettled(c),
    () => isOrdinary,
    () => isOrdinary.and(isNearest(c)).and(areAllSet(exactElements(c, bits, a, b, addend, r), count, bits)),
  )
}

/** A vector with an element all over it. */
export const everywhere = (value: bigint, bits: Precision): V128 =>
  numeric('i64x2.splat', I64.of(BigInt.asIntN(64, repeated(value, bits))))

/** Returns a vector with one byte value in the first elements, and another in the rest. */
const bytesOf = (count: number, bits: Precision, first: number, others: number): V128 =>
  V128.of(vectorBytes((i) => (i < (count * bits) / 8 ? first : others)))

/** Returns the first elements, with zeros above. */
export const firstOf = (value: V128, { bits, count }: Elements): V128 =>
  count * bits === 128 ? value : numeric('v128.and', value, bytesOf(count, bits, 0xff, 0))

/** 1 if no element of a vector, of the first `count`, is zero. */
export function areAllSet(test: V128, count: number, bits: Bits): I32 {
  const whole = count * bits === 128 ? test : numeric('v128.or', test, bytesOf(count, bits, 0, 0xff))
  return numeric(bits === 64 ? 'i64x2.all_true' : 'i32x4.all_true', whole)
}

/** Not zero in the elements whose exponents are neither among the smallest nor the largest. */
export function ordinaryElements(value: V128, bits: Bits): V128 {
  const { fractionBits, ordinary } = SHAPES[bits]
  const one = everywhere(1n << BigInt(fractionBits), bits)
  const sum = numeric(bits === 64 ? 'i64x2.add' : 'i32x4.add', value, one)
  return numeric(
    'v128.and',
    sum,
    everywhere(BigInt(bits === 64 ? ORDINARY_64 : ordinary) << BigInt(fractionBits), bits),
  )
}

/** {@link hostScalar} of the first `count` elements; the others become zero. */
export function hostVector(
  c: ArmContext,
  bits: Bits,
  count: number,
  name: string,
  operands: readonly V128[],
  slow: () => V128,
): V128 {
  const { f } = c
  const { op, test, ofMagnitudes } = HOST[name]!
  const values = operands.map((each) => (ofMagnitudes === true ? f.let(vector(bits, 'abs', each)) : each))
  const result = f.local('v128')
  f.set(result, vector(bits, op, ...values))
  const numbers = (test === 'number' ? [result.get] : values).map((each) => vector(bits, 'eq', each, each))
  const isRight =
    test === 'rounded'
      ? areAllSet(ordinaryElements(result.get, bits), count, bits).and(isSettled(c))
      : areAllSet(
          numbers.reduce((a, b) => numeric('v128.and', a, b)),
          count,
          bits,
        ).and(keepsDenormals(c))
  f.if(isRight.eqz(), () => f.set(result, slow()))
  return firstOf(result.get, { bits, count })
}
