import { F32, F64, I32, V128, numeric } from '@retrap/wasm-emitter'
import type { FunctionBuilder, Local } from '@retrap/wasm-emitter'
import { S_MXCSR } from '../state-layout.ts'
import type { Context } from './context.ts'
import { F_TEMPORARY, ROUND_DOWN } from './softfloat-layout.ts'
import { MXCSR_RC_SHIFT, ORDINARY_64, isRoundingSettled } from './mxcsr-bits.ts'
import {
  SMALLEST_NORMAL,
  allSet,
  and,
  bitsOf,
  float,
  floatTest,
  isPlain,
  isZero,
  or,
  ordinaryMask,
  plainMask,
  vector,
} from './sse-float-operands.ts'
import type { Float } from './sse-float-operands.ts'
import type { Bits } from './vector-elements.ts'

/**
 * Arithmetic of SSE in the host's floating point, where it is exact in result and flags.
 *
 * WebAssembly rounds to nearest and keeps no flags. Its result stands in three cases, all of which need operands that are
 * not denormal, since such an operand sets DE:
 *
 * - MXCSR is settled: rounding to nearest, PE masked and set. Then a result whose exponent is neither among the smallest
 *   nor the largest is right, and changes no flag. This is the quick test. Of vectors it looks at exponents alone: an
 *   operand that is zero fails it like a denormal one.
 * - The result is exact, which raises nothing in any mode; a program of whole numbers never sets PE. This is tested when
 *   the quick test has failed.
 * - Else software computes it.
 */

export type Operation = 'add' | 'sub' | 'mul' | 'div' | 'sqrt'

/** A scalar operand. */
export interface FloatOperand {
  readonly value: Float
  /** It is known not to be denormal. */
  readonly isNormal: boolean
  /** Its number. */
  readonly number: number
}

/** An operand by 128-bit lanes. */
export interface VectorOperand {
  readonly lanes: readonly V128[]
  readonly isNormal: boolean
  /** Its number; undefined of what is not an operand as it stands. */
  readonly number: number | undefined
}

/** Where the exponent lies, and masks of tests on it. */
interface Shape {
  readonly fractionBits: number
  readonly exponent: number
  /** Exponents plus 1 that are not 0 under this mask are neither the two smallest, nor the third, nor the largest. */
  readonly ordinary: number
  /** The number of low bits that are zero in both factors of a product that is exact. */
  readonly lowHalf: number
}

const SHAPES: Readonly<Record<Bits, Shape>> = {
  32: { fractionBits: 23, exponent: 0xff, ordinary: 0xfc, lowHalf: 12 },
  64: { fractionBits: 52, exponent: 0x7ff, ordinary: ORDINARY_64, lowHalf: 27 },
}

/** Exponent, and the sign above it. */
function exponentOf(bits: Bits, x: Float): I32 {
  const { fractionBits } = SHAPES[bits]
  return bits === 64 ? (x as F64).asI64().shrU(fractionBits).toI32() : (x as unknown as F32).asI32().shrU(fractionBits)
}

/** 1 if it is denormal: twice its magnitude, less 1, is below the smallest normal number's, where that of zero is not. */
export function isDenormal(bits: Bits, x: Float): I32 {
  const limit = 2n ** BigInt(SHAPES[bits].fractionBits + 1) - 1n
  return bits === 64
    ? (x as F64).asI64().shl(1).sub(1).ltU(limit)
    : (x as unknown as F32).asI32().shl(1).sub(1).ltU(Number(limit))
}

/**
 * {@link isDenormal} after a test of the same number, written differently: V8 would keep the result of the first one, in
 * memory, on the way where the second is not needed.
 */
function isDenormalLater(bits: Bits, x: Float): I32 {
  const limit = SMALLEST_NORMAL[bits]
  const constant = (value: number): Float => (bits === 64 ? F64.of(value) : F32.of(value)) as Float
  const isBetween = floatTest(bits, 'lt', x, constant(limit)).and(floatTest(bits, 'gt', x, constant(-limit)))
  return isBetween.and(floatTest(bits, 'ne', x, constant(0)))
}

/** 1 if it is neither denormal nor zero, nor an infinity, nor a NaN. */
export function isFiniteNormal(bits: Bits, x: Float): I32 {
  const { exponent } = SHAPES[bits]
  return exponentOf(bits, x)
    .add(1)
    .and(exponent & ~1)
    .ne(0)
}

/** Not 0 of {@link isFiniteNormal} numbers but the smallest. */
function ordinaryBits(bits: Bits, x: Float): I32 {
  return exponentOf(bits, x).add(1).and(SHAPES[bits].ordinary)
}

/** {@link ordinaryBits} where MXCSR is settled, else 0. */
function settledBits(c: Context, bits: Bits, x: Float): I32 {
  if (bits === 32) return ordinaryBits(bits, x).and(c.settled())
  return exponentOf(bits, x).add(1).and(c.settledExponents())
}

// ---------------------------------------------------------------- scalars

/** Reads scalar operand `i`. */
export function readFloat(c: Context, i: number, bits: Bits): FloatOperand {
  const op = bits === 64 ? 'f64.load' : ('f32.load' as 'f64.load')
  const value = c.kindOf(i) === 'mem' ? c.loadMemory(op, c.address(i), bits / 8) : c.f.load(op, c.registerAddress(i))
  return { value, isNormal: c.isNormal(i, bits, true), number: i }
}

/** Writes the destination's low element; the others stay. @param above - of a VEX form: operand that they come from */
export function writeFloat(c: Context, bits: Bits, value: Float, above = 1): void {
  if (c.form.vex) c.copyVector(0, above)
  c.f.store(bits === 64 ? 'f64.store' : ('f32.store' as 'f64.store'), c.registerAddress(0), value as F64)
}

/** 1 if neither is denormal or a NaN, nor both the same infinity. */
export function areComparable(f: FunctionBuilder, bits: Bits, x: FloatOperand, y: FloatOperand): I32 {
  // One comparison tells of both: the difference of two numbers is a number.
  const difference = f.let(float(bits, 'sub', x.value, y.value))
  return [x, y]
    .filter(({ isNormal }) => !isNormal)
    .reduce((all, { value }) => all.and(isDenormal(bits, value).eqz()), floatTest(bits, 'eq', difference, difference))
}

/** An operation on scalars. */
export interface ScalarOperation {
  readonly operands: readonly FloatOperand[]
  readonly compute: Float
  /** Whether what was computed is exact, where the operands are not denormal. */
  readonly isExact: (result: Float) => I32
  /** Calls software, which leaves the result in F_TEMPORARY. */
  readonly slow: () => void
  /** See {@link writeFloat}. */
  readonly above?: number
}

/** Writes the result of an operation to the destination. `from`: type of the operands, where it is another. */
export function quickScalar(c: Context, bits: Bits, operation: ScalarOperation, from: Bits = bits): void {
  const { f } = c
  const { operands, compute, isExact, slow, above } = operation
  const result = (bits === 64 ? f.local('f64') : f.local('f32')) as Local<'f64'>
  const value = result.get as Float
  f.set(result, compute as F64)
  const unknown = operands.filter(({ isNormal }) => !isNormal)
  f.block((done) => {
    f.block((doubtful) => {
      for (const x of unknown) f.brIf(isDenormal(from, x.value), doubtful)
      f.brIf(settledBits(c, bits, value), done)
      if (c.isSpecialised) f.brIf(isExact(value), done)
    })
    slow()
    f.set(result, f.loadExpression(bits === 64 ? 'f64.load' : ('f32.load' as 'f64.load'), c.state, F_TEMPORARY))
    c.refreshMxcsr()
    if (c.takesNormal) {
      const denormal = unknown.reduce((any, x) => any.or(isDenormalLater(from, x.value)), isDenormal(bits, value))
      f.if(denormal, () => {
        writeFloat(c, bits, value, above)
        c.retire()
      })
    }
  })
  for (const { number } of operands) c.setNormal(number, from, true)
  writeFloat(c, bits, value, above)
  c.setNormal(0, bits, true)
}

/** 1 unless rounding is downwards: then an exact sum of zero is negative, and the host's is not. */
export function isZeroPositive(f: FunctionBuilder): I32 {
  return f
    .loadExpression('i32.load', f.param(0, 'i32').get, S_MXCSR)
    .and(3 << MXCSR_RC_SHIFT)
    .ne(ROUND_DOWN << MXCSR_RC_SHIFT)
}

function lowHalvesAreZero(bits: Bits, a: Float, b: Float): I32 {
  const { lowHalf } = SHAPES[bits]
  const low = bitsOf(bits, a)
    .or(bitsOf(bits, b))
    .and(2n ** BigInt(lowHalf) - 1n)
  return low.eqz()
}

/**
 * 1 if `r`, what the host computed of `x` and `y`, which are not denormal, is exact, and is no denormal number.
 *
 * A sum is exact if both operands come back from it: then the error that Knuth's TwoSum computes is zero.
 */
export function isExactResult(f: FunctionBuilder, operation: Operation, bits: Bits, r: Float, x: Float, y: Float): I32 {
  const same = (a: Float, b: Float): I32 => floatTest(bits, 'eq', a, b)
  const ordinary = ordinaryBits(bits, r).ne(0)
  switch (operation) {
    case 'add':
    case 'sub': {
      const [back, other] =
        operation === 'add'
          ? [float(bits, 'sub', r, x), float(bits, 'sub', r, y)]
          : [float(bits, 'sub', x, r), float(bits, 'add', r, y)]
      const zero = isZero(bits, r).and(isZeroPositive(f))
      return same(back, y)
        .and(same(other, x))
        .and(isZero(bits, r).or(isDenormal(bits, r)).eqz().or(zero))
    }
    case 'mul':
      return ordinary.and(lowHalvesAreZero(bits, x, y)).or(isZero(bits, r).and(isZero(bits, x).or(isZero(bits, y))))
    case 'div':
      return ordinary
        .and(lowHalvesAreZero(bits, r, y))
        .and(same(float(bits, 'mul', r, y), x))
        .or(isZero(bits, r).and(isZero(bits, x)))
    case 'sqrt':
      return ordinary
        .and(lowHalvesAreZero(bits, r, r))
        .and(same(float(bits, 'mul', r, r), x))
        .or(isZero(bits, x))
  }
}

/** The same of operands of which nothing is known: software looks at this first. */
export function isExactAnyway(f: FunctionBuilder, operation: Operation, bits: Bits, r: Float, x: Float, y: Float): I32 {
  return isPlain(bits, x)
    .and(isPlain(bits, y))
    .and(isExactResult(f, operation, bits, r, x, y))
}

// ---------------------------------------------------------------- vectors

/** Operand `i` by lanes. */
export function readFloats(c: Context, i: number, bits: Bits): VectorOperand {
  return { lanes: c.readLanes(i), isNormal: c.isNormal(i, bits, false), number: i }
}

/** Vectors whose elements are not zero in those elements that the quick test takes; of several one for all. */
function quickMask(c: Context, bits: Bits, operands: readonly VectorOperand[], results: readonly V128[]): V128 {
  const { fractionBits, exponent, ordinary } = SHAPES[bits]
  const repeated = (value: number): V128 => c.repeated(BigInt(value) << BigInt(fractionBits), bits)
  const tests = operands.flatMap(({ lanes, isNormal }) =>
    isNormal ? [] : lanes.map((x) => and(x, repeated(exponent))),
  )
  const add = bits === 64 ? 'i64x2.add' : 'i32x4.add'
  for (const x of results) tests.push(and(numeric(add, x, repeated(1)), repeated(ordinary)))
  // Only bits of the upper 32 are left in a test.
  return tests.reduce((a, b) => numeric('i32x4.min_u', a, b))
}

/** An operation on vectors. */
export interface PackedOperation {
  readonly operands: readonly VectorOperand[]
  readonly compute: readonly V128[]
  /** See {@link inexactBits}. */
  readonly inexact: (result: V128, lane: number) => V128
  /** Calls software, which leaves the lanes from F_TEMPORARY on. */
  readonly slow: () => void
}

/** Writes the result of an operation, lane by lane, which succeed or fail together: there is one exception for the whole instruction. */
export function quickPacked(c: Context, bits: Bits, operation: PackedOperation): void {
  const { f } = c
  const { operands, compute, inexact, slow } = operation
  const results = compute.map((value) => {
    const local = f.local('v128')
    f.set(local, value)
    return local
  })
  const values = results.map(({ get }) => get)
  const unknown = operands.flatMap(({ lanes, isNormal }) => (isNormal ? [] : lanes))
  f.block((done) => {
    f.block((doubtful) => {
      f.brIf(c.settled().eqz(), doubtful)
      f.brIf(allSet(bits, quickMask(c, bits, operands, values)), done)
    })
    if (c.isSpecialised) {
      // Software looks at mixtures of exact and other elements by itself.
      const faults = values
        .map(inexact)
        .concat(unknown.map((x) => denormalBits(c, bits, x)))
        .reduce(or)
      f.brIf(isAnySet(faults).eqz().and(isZeroPositive(f)), done)
    }
    slow()
    for (const [lane, local] of results.entries()) {
      f.set(local, f.loadExpression('v128.load', c.state, F_TEMPORARY + 16 * lane))
    }
    c.refreshMxcsr()
    if (c.takesNormal) {
      f.if(isAnySet([...values, ...unknown].map((x) => denormalBits(c, bits, x)).reduce(or)), () => {
        c.writeLanes(0, values)
        c.retire()
      })
    }
  })
  for (const { number } of operands) if (number !== undefined) c.setNormal(number, bits, false)
  c.writeLanes(0, values)
  c.setNormal(0, bits, false)
}

function isAnySet(v: V128): I32 {
  return numeric('v128.any_true', v)
}

/** Bits that are all 0 in elements that are not denormal. */
export function denormalBits(c: Constants, bits: Bits, x: V128): V128 {
  const magnitude = c.let(vector(bits, 'abs', x))
  return and(magnitude, vector(bits, 'lt', magnitude, c.repeated(smallestNormal(bits), bits)))
}

function smallestNormal(bits: Bits): bigint {
  return 1n << BigInt(SHAPES[bits].fractionBits)
}

function splat32(value: I32): V128 {
  return numeric('i32x4.splat', value)
}

/** Where vector constants and locals come from. */
export interface Constants {
  /** Repeats an element all over a vector. */
  repeated(element: bigint, bits: Bits): V128
  /** Keeps a value for several uses. */
  let(value: V128): V128
}

/**
 * Bits that are all 0 in those elements of `r`, what the host computed of `x` and `y`, that are exact, are not denormal,
 * and have the right sign unless rounding is downwards; where `x` and `y` are not denormal.
 */
export function inexactBits(c: Constants, operation: Operation, bits: Bits, r: V128, x: V128, y: V128): V128 {
  const differs = (a: V128, b: V128): V128 => vector(bits, 'ne', a, b)
  const lowHalves = (a: V128, b: V128): V128 => {
    const moved = I32.of(bits - SHAPES[bits].lowHalf)
    return bits === 64 ? numeric('i64x2.shl', or(a, b), moved) : numeric('i32x4.shl', or(a, b), moved)
  }
  const magnitude = (v: V128): V128 => vector(bits, 'abs', v)
  // Something that may have been rounded up to the smallest normal number counts as tiny.
  const tiny = (v: V128): V128 => vector(bits, 'le', magnitude(v), c.repeated(smallestNormal(bits), bits))
  switch (operation) {
    case 'add':
      return or(
        or(differs(vector(bits, 'sub', r, x), y), differs(vector(bits, 'sub', r, y), x)),
        denormalBits(c, bits, r),
      )
    case 'sub':
      return or(
        or(differs(vector(bits, 'sub', x, r), y), differs(vector(bits, 'add', r, y), x)),
        denormalBits(c, bits, r),
      )
    case 'mul': {
      // A tiny product is exact where a factor is zero, which the smaller one is then. Infinities and NaNs are left out.
      const underflow = and(tiny(r), vector(bits, 'pmin', magnitude(x), magnitude(y)))
      const rest = c.let(vector(bits, 'sub', r, r))
      return or(or(lowHalves(x, y), underflow), differs(rest, rest))
    }
    case 'div':
      return or(or(lowHalves(r, y), differs(vector(bits, 'mul', r, y), x)), and(tiny(r), magnitude(x)))
    case 'sqrt':
      return or(lowHalves(r, r), differs(vector(bits, 'mul', r, r), x))
  }
}

/** The elements for which {@link inexactBits} are all 0; none where rounding is downwards. */
function exactMask(f: FunctionBuilder, bits: Bits, inexact: V128): V128 {
  const none = V128.of([])
  const mask = bits === 64 ? numeric('i64x2.eq', inexact, none) : numeric('i32x4.eq', inexact, none)
  return and(mask, splat32(I32.of(0).sub(isZeroPositive(f))))
}

/** Constants and locals of a function that is called. */
export function constantsOf(f: FunctionBuilder): Constants {
  return { repeated: constant, let: (value) => f.let(value) }
}

/** A constant element in all elements. */
export function constant(value: bigint, bits: Bits): V128 {
  const bytes = Array.from({ length: 16 }, (_, i) => Number((value >> BigInt((8 * i) % bits)) & 0xffn))
  return V128.of(bytes)
}

/** {@link inexactBits}; odd elements may have another operation. */
export function inexactMixed(
  c: Constants,
  even: Operation,
  odd: Operation,
  bits: Bits,
  r: V128,
  x: V128,
  y: V128,
): V128 {
  if (even === odd) return inexactBits(c, even, bits, r, x, y)
  return numeric(
    'v128.bitselect',
    inexactBits(c, odd, bits, r, x, y),
    inexactBits(c, even, bits, r, x, y),
    oddElements(bits),
  )
}

/** A mask of the odd elements. */
export function oddElements(bits: Bits): V128 {
  return V128.of(Array.from({ length: 16 }, (_, i) => ((i * 8) & bits ? 0xff : 0)))
}

/** The elements that need no software, of operands of which nothing is known. @param inexact - {@link inexactBits} */
export function fineMask(f: FunctionBuilder, bits: Bits, operands: readonly V128[], r: V128, inexact: V128): V128 {
  const settled = I32.of(0).sub(isRoundingSettled(f, f.param(0, 'i32').get))
  const fine = or(and(ordinaryMask(bits, r), splat32(settled)), exactMask(f, bits, inexact))
  return [...operands, r].reduce((all, x) => and(all, plainMask(bits, x)), fine)
}
