import { F32, F64 } from '@retrap/wasm-emitter'
import type { FunctionBuilder, I32, Local } from '@retrap/wasm-emitter'
import { S_MXCSR } from '../state-layout.ts'
import type { Context } from './context.ts'
import { F_TEMPORARY, ROUND_DOWN } from './softfloat-layout.ts'
import { MXCSR_RC_SHIFT, ORDINARY_64 } from './mxcsr-bits.ts'
import { SMALLEST_NORMAL, bitsOf, float, floatTest, isPlain, isZero } from './sse-float-operands.ts'
import type { Float } from './sse-float-operands.ts'
import type { Bits } from './vector-elements.ts'

/**
 * Arithmetic of SSE in the host's floating point, where it is exact in result and flags: of scalars here, of vectors in
 * `sse-float-packed.ts`.
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

/** Where the exponent lies, and masks of tests on it. */
interface Shape {
  readonly fractionBits: number
  readonly exponent: number
  /** Exponents plus 1 that are not 0 under this mask are neither the two smallest, nor the third, nor the largest. */
  readonly ordinary: number
  /** The number of low bits that are zero in both factors of a product that is exact. */
  readonly lowHalf: number
}

/** The formats of the two widths. */
export const SHAPES: Readonly<Record<Bits, Shape>> = {
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
