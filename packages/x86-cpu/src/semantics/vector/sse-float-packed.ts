import { I32, V128, numeric, type FunctionBuilder } from '@retrap/wasm-emitter'
import { and, or } from './sse-float-operands.ts'
import type { Context } from '../context.ts'
import { isRoundingSettled, F_TEMPORARY } from '../float-scratch.ts'
import { allSet, ordinaryMask, plainMask, SHAPES, vector, type Operation } from '@retrap/soft-float'
import { isZeroPositive } from './sse-float-quick.ts'
import type { Bits } from './vector-elements.ts'

// Vectors of the numbers that `sse-float-quick.ts` is about, by the same three cases.

/** An operand by 128-bit lanes. */
export interface VectorOperand {
  readonly lanes: readonly V128[]
  readonly isNormal: boolean
  /** Number; undefined of what is not an operand as it stands. */
  readonly number: number | undefined
}

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
