import { I32, V128, numeric } from '@retrap/wasm-emitter'
import type { F32, F64, FunctionBuilder, Local } from '@retrap/wasm-emitter'
import { S_MXCSR } from '../state-layout.ts'
import type { Context } from './context.ts'
import { F_TEMPORARY, ROUND_DOWN } from './softfloat-layout.ts'
import { MXCSR_RC_SHIFT, isRoundingSettled } from './mxcsr-bits.ts'
import {
  allSet,
  and,
  float,
  floatTest,
  isPlain,
  isZero,
  or,
  ordinaryMask,
  plainMask,
  vector,
  zeroMask,
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
 *   nor the largest is right, and changes no flag. This is the quick test, which looks at exponents alone: an operand that
 *   is zero fails it like a denormal one.
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
  /** Bits that are zero in both factors of a product that is exact. */
  readonly lowHalf: bigint
}

const SHAPES: Readonly<Record<Bits, Shape>> = {
  32: { fractionBits: 23, exponent: 0xff, ordinary: 0xfc, lowHalf: 0xfffn },
  64: { fractionBits: 52, exponent: 0x7ff, ordinary: 0x7fc, lowHalf: 0x7ff_ffffn },
}

/** Exponent, and the sign above it. */
function exponentOf(bits: Bits, x: Float): I32 {
  const { fractionBits } = SHAPES[bits]
  return bits === 64 ? (x as F64).asI64().shrU(fractionBits).toI32() : (x as unknown as F32).asI32().shrU(fractionBits)
}

/** 1 if it is denormal or zero. */
export function isSmall(bits: Bits, x: Float): I32 {
  return exponentOf(bits, x).and(SHAPES[bits].exponent).eqz()
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

/** Whether an operand is not denormal, of a NaN either answer. */
function isPlainOperand(bits: Bits, { value, isNormal }: FloatOperand): I32 {
  return isNormal ? I32.of(1) : isSmall(bits, value).eqz().or(isZero(bits, value))
}

/** 1 if neither is denormal or a NaN. */
export function areComparable(bits: Bits, x: FloatOperand, y: FloatOperand): I32 {
  const ordered = floatTest(bits, 'lt', x.value, y.value).or(floatTest(bits, 'ge', x.value, y.value))
  return isPlainOperand(bits, x).and(isPlainOperand(bits, y)).and(ordered)
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
  f.block((done) => {
    f.block((doubtful) => {
      for (const operand of operands) {
        if (!operand.isNormal) f.brIf(isSmall(from, operand.value), doubtful)
      }
      f.brIf(ordinaryBits(bits, value).and(c.settled()), done)
    })
    if (c.isSpecialised)
      f.brIf(
        operands.reduce((all, x) => all.and(isPlainOperand(from, x)), isExact(value)),
        done,
      )
    slow()
    f.set(result, f.loadExpression(bits === 64 ? 'f64.load' : ('f32.load' as 'f64.load'), c.state, F_TEMPORARY))
    c.refreshMxcsr()
    if (c.takesNormal) {
      const small = operands.reduce(
        (any, x) => (x.isNormal ? any : any.or(isSmall(from, x.value))),
        isSmall(bits, value),
      )
      f.if(small, () => {
        writeFloat(c, bits, value, above)
        c.retire()
      })
    }
  })
  for (const { number } of operands) c.setNormal(number, from, true)
  writeFloat(c, bits, value, above)
  c.setNormal(0, bits, true)
}

/** 1 unless rounding is downwards: then an exact sum of zero is negative. */
function isZeroPositive(f: FunctionBuilder): I32 {
  return f
    .loadExpression('i32.load', f.param(0, 'i32').get, S_MXCSR)
    .and(3 << MXCSR_RC_SHIFT)
    .ne(ROUND_DOWN << MXCSR_RC_SHIFT)
}

function lowHalvesAreZero(bits: Bits, a: Float, b: Float): I32 {
  const { lowHalf } = SHAPES[bits]
  return bits === 64
    ? (a as F64)
        .asI64()
        .or((b as F64).asI64())
        .and(lowHalf)
        .eqz()
    : (a as unknown as F32)
        .asI32()
        .or((b as unknown as F32).asI32())
        .and(Number(lowHalf))
        .eqz()
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
      return same(back, y).and(same(other, x)).and(isSmall(bits, r).eqz().or(zero))
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
  /** Elements that are exact, where the operands are not denormal; see {@link exactMask}. */
  readonly exact: (result: V128, lane: number) => V128
  /** Calls software, which leaves the lanes from F_TEMPORARY on. */
  readonly slow: () => void
}

/** Writes the result of an operation, lane by lane, which succeed or fail together: there is one exception for the whole instruction. */
export function quickPacked(c: Context, bits: Bits, operation: PackedOperation): void {
  const { f } = c
  const { operands, compute, exact, slow } = operation
  const results = compute.map((value) => {
    const local = f.local('v128')
    f.set(local, value)
    return local
  })
  const values = results.map(({ get }) => get)
  const plain = (): V128 =>
    values
      .map((x) => plainMask(bits, x))
      .concat(plainOperands(bits, operands))
      .reduce(and)
  f.block((done) => {
    f.block((doubtful) => {
      f.brIf(c.settled().eqz(), doubtful)
      f.brIf(allSet(bits, quickMask(c, bits, operands, values)), done)
    })
    if (c.isSpecialised) {
      const fine = values.map((r, lane) => or(and(ordinaryMask(bits, r), splat32(c.settled())), exact(r, lane)))
      f.brIf(allSet(bits, fine.concat(plain()).reduce(and)), done)
    }
    slow()
    for (const [lane, local] of results.entries()) {
      f.set(local, f.loadExpression('v128.load', c.state, F_TEMPORARY + 16 * lane))
    }
    c.refreshMxcsr()
    if (c.takesNormal) {
      f.if(allSet(bits, plain()).eqz(), () => {
        c.writeLanes(0, values)
        c.retire()
      })
    }
  })
  for (const { number } of operands) if (number !== undefined) c.setNormal(number, bits, false)
  c.writeLanes(0, values)
  c.setNormal(0, bits, false)
}

function plainOperands(bits: Bits, operands: readonly VectorOperand[]): V128[] {
  return operands.flatMap(({ lanes, isNormal }) => (isNormal ? [] : lanes.map((x) => plainMask(bits, x))))
}

function splat32(value: I32): V128 {
  return numeric('i32x4.splat', value)
}

/** The elements of `r`, what the host computed of `x` and `y`, which are exact where those are not denormal. */
export function exactMask(f: FunctionBuilder, operation: Operation, bits: Bits, r: V128, x: V128, y: V128): V128 {
  const same = (a: V128, b: V128): V128 => vector(bits, 'eq', a, b)
  const lowHalves = (a: V128, b: V128): V128 => {
    const low = and(or(a, b), constant(SHAPES[bits].lowHalf, bits))
    return bits === 64 ? numeric('i64x2.eq', low, V128.of([])) : numeric('i32x4.eq', low, V128.of([]))
  }
  const ordinary = ordinaryMask(bits, r)
  switch (operation) {
    case 'add':
    case 'sub': {
      const [back, other] =
        operation === 'add'
          ? [vector(bits, 'sub', r, x), vector(bits, 'sub', r, y)]
          : [vector(bits, 'sub', x, r), vector(bits, 'add', r, y)]
      const zero = and(zeroMask(bits, r), splat32(I32.of(0).sub(isZeroPositive(f))))
      return and(and(same(back, y), same(other, x)), or(ordinary, zero))
    }
    case 'mul':
      return or(and(ordinary, lowHalves(x, y)), and(zeroMask(bits, r), or(zeroMask(bits, x), zeroMask(bits, y))))
    case 'div':
      return or(
        and(and(ordinary, lowHalves(r, y)), same(vector(bits, 'mul', r, y), x)),
        and(zeroMask(bits, r), zeroMask(bits, x)),
      )
    case 'sqrt':
      return or(and(and(ordinary, lowHalves(r, r)), same(vector(bits, 'mul', r, r), x)), zeroMask(bits, x))
  }
}

/** A constant element in all elements. */
export function constant(value: bigint, bits: Bits): V128 {
  const bytes = Array.from({ length: 16 }, (_, i) => Number((value >> BigInt((8 * i) % bits)) & 0xffn))
  return V128.of(bytes)
}

/** {@link exactMask}; odd elements may have another operation. */
export function exactMixed(
  f: FunctionBuilder,
  even: Operation,
  odd: Operation,
  bits: Bits,
  r: V128,
  x: V128,
  y: V128,
): V128 {
  if (even === odd) return exactMask(f, even, bits, r, x, y)
  return numeric(
    'v128.bitselect',
    exactMask(f, odd, bits, r, x, y),
    exactMask(f, even, bits, r, x, y),
    oddElements(bits),
  )
}

/** A mask of the odd elements. */
export function oddElements(bits: Bits): V128 {
  return V128.of(Array.from({ length: 16 }, (_, i) => ((i * 8) & bits ? 0xff : 0)))
}

/** The elements that need no software, of operands of which nothing is known; `exact`: those that are exact. */
export function fineMask(f: FunctionBuilder, bits: Bits, operands: readonly V128[], r: V128, exact: V128): V128 {
  const settled = I32.of(0).sub(isRoundingSettled(f, f.param(0, 'i32').get))
  const fine = or(and(ordinaryMask(bits, r), splat32(settled)), exact)
  return [...operands, r].reduce((all, x) => and(all, plainMask(bits, x)), fine)
}
