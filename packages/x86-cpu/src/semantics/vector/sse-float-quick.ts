import { F32, F64, type FunctionBuilder, type I32, type Local } from '@retrap/wasm-emitter'
import { S_MXCSR } from '../../state/state-layout.ts'
import type { Context } from '../context.ts'
import {
  exponentOf,
  float,
  floatTest,
  isDenormal,
  ordinaryBits,
  ROUND_DOWN,
  SMALLEST_NORMAL,
  type Float,
} from '@retrap/soft-float'
import { F_TEMPORARY, MXCSR_RC_SHIFT } from '../float-scratch.ts'
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

/** A scalar operand. */
export interface FloatOperand {
  readonly value: Float
  /** The value is known not to be denormal. */
  readonly isNormal: boolean
  readonly number: number
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
