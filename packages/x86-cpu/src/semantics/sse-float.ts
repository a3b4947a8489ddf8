import { I32, V128, numeric, select } from '@retrap/wasm-emitter'

import type { Context } from './context.ts'
import {
  allSet,
  and,
  asFloat,
  bitsOf,
  callSlow,
  float,
  floatTest,
  isOrdinary,
  isPlain,
  isPrecisionSettled,
  isRoundingSettled,
  isZero,
  or,
  ordinaryMask,
  plainMask,
  readScalar,
  scalarResult,
  vector,
  vectorResult,
  writeScalar,
  zeroMask,
} from './sse-float-operands.ts'
import type { Float } from './sse-float-operands.ts'
import { roundingOfMxcsr, sseApproximations, sseDotProduct } from './sse-float-compound.ts'
import { sseConversions } from './convert-sse.ts'
import { sseFloatMoves } from './sse-float-move.ts'
import {
  binarySlow,
  compareFlagsSlow,
  compareSlow,
  integralSlow,
  packedBinarySlow,
  packedCompareSlow,
  packedIntegralSlow,
  packedSquareRootSlow,
  squareRootSlow,
} from './sse-float-slow.ts'
import type { BinaryOperation, Bits } from './sse-float-slow.ts'
import type { Semantics, SemanticsTable } from './table.ts'
import { FLAG_CF, FLAG_PF, FLAG_ZF } from '../state-layout.ts'

/**
 * SSE floating-point arithmetic, comparison and rounding.
 *
 * Source: Intel SDM vol. 2, the pages of each instruction; vol. 1, "SIMD Floating-Point Exceptions".
 */

/** A zero result that is exact, hence without an exception; operands are plain. */
function isExactZero(operation: BinaryOperation, bits: Bits, x: Float, y: Float, result: Float): I32 {
  const zero = isZero(bits, result)
  if (operation === 'mul') return zero.and(isZero(bits, x).or(isZero(bits, y)))
  return operation === 'div' ? zero.and(isZero(bits, x)) : zero
}

function exactZeroMask(operation: BinaryOperation, bits: Bits, x: V128, y: V128, result: V128): V128 {
  const zero = zeroMask(bits, result)
  if (operation === 'mul') return and(zero, or(zeroMask(bits, x), zeroMask(bits, y)))
  return operation === 'div' ? and(zero, zeroMask(bits, x)) : zero
}

function scalarArithmetic(operation: BinaryOperation, bits: Bits): (c: Context) => void {
  return (c) => {
    c.requireSse()
    const f = c.f
    const b = readScalar(c, 1, bits)
    const a = readScalar(c, 0, bits)
    const [x, y] = [asFloat(f, bits, a), asFloat(f, bits, b)]
    const result = f.let(float(bits, operation, x, y))
    const ordinary = isOrdinary(bits, result).or(isExactZero(operation, bits, x, y, result))
    const fast = isRoundingSettled(c).and(isPlain(bits, x)).and(isPlain(bits, y)).and(ordinary)
    const value = scalarResult(
      c,
      fast,
      () => bitsOf(bits, result),
      () => callSlow(c, binarySlow(c, operation, bits), a, b),
    )
    writeScalar(c, 0, bits, value)
  }
}

function packedArithmetic(operation: BinaryOperation, bits: Bits): (c: Context) => void {
  return (c) => {
    c.requireSse()
    const b = c.readV(1)
    const a = c.readV(0)
    c.writeV(0, packedSum(c, operation, operation, bits, a, b))
  }
}

/** An operation on whole vectors; odd elements may have another one. */
function packedSum(c: Context, even: BinaryOperation, odd: BinaryOperation, bits: Bits, a: V128, b: V128): V128 {
  const f = c.f
  const result =
    even === odd
      ? f.let(vector(bits, even, a, b))
      : f.let(numeric('v128.bitselect', vector(bits, odd, a, b), vector(bits, even, a, b), oddElements(bits)))
  const ordinary = or(ordinaryMask(bits, result), exactZeroMask(even, bits, a, b, result))
  const fast = isRoundingSettled(c).and(allSet(bits, and(and(plainMask(bits, a), plainMask(bits, b)), ordinary)))
  return vectorResult(
    c,
    fast,
    () => result,
    () => callSlow(c, packedBinarySlow(c, even, odd, bits), a, b),
  )
}

function oddElements(bits: Bits): V128 {
  return V128.of(Array.from({ length: 16 }, (_, i) => ((i * 8) & bits ? 0xff : 0)))
}

/** MIN and MAX: the second operand unless the first is less (greater). */
function scalarExtreme(operation: 'min' | 'max', bits: Bits): (c: Context) => void {
  return (c) => {
    c.requireSse()
    const f = c.f
    const b = readScalar(c, 1, bits)
    const a = readScalar(c, 0, bits)
    const [x, y] = [asFloat(f, bits, a), asFloat(f, bits, b)]
    const value = scalarResult(
      c,
      isPlain(bits, x).and(isPlain(bits, y)),
      () => select(floatTest(bits, operation === 'min' ? 'lt' : 'gt', x, y), a, b),
      () => callSlow(c, binarySlow(c, operation, bits), a, b),
    )
    writeScalar(c, 0, bits, value)
  }
}

function packedExtreme(operation: 'min' | 'max', bits: Bits): (c: Context) => void {
  return (c) => {
    c.requireSse()
    const b = c.readV(1)
    const a = c.readV(0)
    const value = vectorResult(
      c,
      allSet(bits, and(plainMask(bits, a), plainMask(bits, b))),
      () => numeric('v128.bitselect', a, b, vector(bits, operation === 'min' ? 'lt' : 'gt', a, b)),
      () => callSlow(c, packedBinarySlow(c, operation, operation, bits), a, b),
    )
    c.writeV(0, value)
  }
}

function scalarSquareRoot(bits: Bits): (c: Context) => void {
  return (c) => {
    c.requireSse()
    const f = c.f
    const a = readScalar(c, 1, bits)
    const x = asFloat(f, bits, a)
    const result = f.let(float(bits, 'sqrt', x))
    const fast = isRoundingSettled(c)
      .and(isPlain(bits, x))
      .and(isOrdinary(bits, result).or(isZero(bits, x)))
    const value = scalarResult(
      c,
      fast,
      () => bitsOf(bits, result),
      () => callSlow(c, squareRootSlow(c, bits), a),
    )
    writeScalar(c, 0, bits, value)
  }
}

function packedSquareRoot(bits: Bits): (c: Context) => void {
  return (c) => {
    c.requireSse()
    const a = c.readV(1)
    const result = c.let(vector(bits, 'sqrt', a))
    const ordinary = or(ordinaryMask(bits, result), zeroMask(bits, a))
    const value = vectorResult(
      c,
      isRoundingSettled(c).and(allSet(bits, and(plainMask(bits, a), ordinary))),
      () => result,
      () => callSlow(c, packedSquareRootSlow(c, bits), a),
    )
    c.writeV(0, value)
  }
}

/** Horizontal sums and differences: neighbours of the first operand, then of the second. */
function horizontal(operation: 'add' | 'sub', bits: Bits): (c: Context) => void {
  return (c) => {
    c.requireSse()
    const b = c.readV(1)
    const a = c.readV(0)
    const bytes = bits / 8
    const pick = (odd: number): number[] =>
      Array.from({ length: 16 }, (_, i) => (2 * Math.floor(i / bytes) + odd) * bytes + (i % bytes))
    const left = c.let(a.shuffle(b, pick(0)))
    const right = c.let(a.shuffle(b, pick(1)))
    c.writeV(0, packedSum(c, operation, operation, bits, left, right))
  }
}

function addSubtract(bits: Bits): (c: Context) => void {
  return (c) => {
    c.requireSse()
    const b = c.readV(1)
    const a = c.readV(0)
    c.writeV(0, packedSum(c, 'sub', 'add', bits, a, b))
  }
}

/** The immediate's low bits as flags of the relations for which predicate holds, each 0 or −1. */
function predicate(c: Context): { readonly number: I32; readonly holds: (relation: number) => I32 } {
  const number = c.let(c.immediate().toI32().and(7))
  const bits = c.let(I32.of(0x7ced_8312).shrU(number.shl(2)))
  return { number, holds: (relation) => I32.of(0).sub(bits.shrU(relation).and(1)) }
}

const RELATION_LESS = 0
const RELATION_EQUAL = 1
const RELATION_GREATER = 2

function scalarCompare(bits: Bits): (c: Context) => void {
  return (c) => {
    c.requireSse()
    const f = c.f
    const b = readScalar(c, 1, bits)
    const a = readScalar(c, 0, bits)
    const { number, holds } = predicate(c)
    const [x, y] = [asFloat(f, bits, a), asFloat(f, bits, b)]
    const value = scalarResult(
      c,
      isPlain(bits, x).and(isPlain(bits, y)),
      () =>
        select(
          floatTest(bits, 'lt', x, y),
          holds(RELATION_LESS),
          select(floatTest(bits, 'eq', x, y), holds(RELATION_EQUAL), holds(RELATION_GREATER)),
        ).toI64S(),
      () => callSlow(c, compareSlow(c, bits), a, b, number),
    )
    writeScalar(c, 0, bits, value)
  }
}

function packedCompare(bits: Bits): (c: Context) => void {
  return (c) => {
    c.requireSse()
    const b = c.readV(1)
    const a = c.readV(0)
    const { number, holds } = predicate(c)
    const mask = (relation: number, name: string): V128 =>
      and(vector(bits, name, a, b), numeric('i32x4.splat', holds(relation)))
    const value = vectorResult(
      c,
      allSet(bits, and(plainMask(bits, a), plainMask(bits, b))),
      () => or(mask(RELATION_LESS, 'lt'), or(mask(RELATION_EQUAL, 'eq'), mask(RELATION_GREATER, 'gt'))),
      () => callSlow(c, packedCompareSlow(c, bits), a, b, number),
    )
    c.writeV(0, value)
  }
}

/** COMISS and UCOMISS: ZF, PF and CF; the quiet form takes quiet NaNs quietly. */
function compareFlags(bits: Bits, quiet: boolean): (c: Context) => void {
  return (c) => {
    c.requireSse()
    const f = c.f
    const b = readScalar(c, 1, bits)
    const a = readScalar(c, 0, bits)
    const [x, y] = [asFloat(f, bits, a), asFloat(f, bits, b)]
    const value = scalarResult(
      c,
      isPlain(bits, x).and(isPlain(bits, y)),
      () => {
        const less = floatTest(bits, 'lt', x, y).toI64U()
        const equal = floatTest(bits, 'eq', x, y).toI64U()
        return less.shl(bitNumber(FLAG_CF)).or(equal.shl(bitNumber(FLAG_ZF)))
      },
      () => callSlow(c, compareFlagsSlow(c, bits), a, b, I32.of(quiet ? 1 : 0)),
    )
    c.flagsExplicit(value.and(FLAG_CF | FLAG_PF | FLAG_ZF))
  }
}

function bitNumber(mask: number): number {
  return 31 - Math.clz32(mask)
}

const ROUNDINGS = ['nearest', 'floor', 'ceil', 'trunc'] as const

function scalarRound(bits: Bits): (c: Context) => void {
  return (c) => {
    c.requireSse()
    const f = c.f
    const control = c.let(c.immediate().toI32())
    const a = readScalar(c, 1, bits)
    const x = asFloat(f, bits, a)
    const mode = roundingOfMxcsr(c, control)
    const [nearest, floor, ceil, trunc] = ROUNDINGS.map((name) => float(bits, name, x))
    const choice = select(
      mode.and(2),
      select(mode.and(1), trunc as Float, ceil as Float),
      select(mode.and(1), floor as Float, nearest as Float),
    )
    const result = f.let(choice)
    const exact = floatTest(bits, 'eq', result, x)
    const value = scalarResult(
      c,
      isPlain(bits, x).and(control.and(8).or(exact).or(isPrecisionSettled(c))),
      () => bitsOf(bits, result),
      () => callSlow(c, integralSlow(c, bits), a, control),
    )
    writeScalar(c, 0, bits, value)
  }
}

function packedRound(bits: Bits): (c: Context) => void {
  return (c) => {
    c.requireSse()
    const f = c.f
    const control = c.let(c.immediate().toI32())
    const a = c.readV(1)
    const mode = roundingOfMxcsr(c, control)
    const [nearest, floor, ceil, trunc] = ROUNDINGS.map((name) => vector(bits, name, a))
    const choice = select(
      mode.and(2),
      select(mode.and(1), trunc as V128, ceil as V128),
      select(mode.and(1), floor as V128, nearest as V128),
    )
    const result = f.let(choice)
    const quiet = control
      .and(8)
      .or(allSet(bits, vector(bits, 'eq', result, a)))
      .or(isPrecisionSettled(c))
    const value = vectorResult(
      c,
      allSet(bits, plainMask(bits, a)).and(quiet.ne(0)),
      () => result,
      () => callSlow(c, packedIntegralSlow(c, bits), a, control),
    )
    c.writeV(0, value)
  }
}

const SUFFIXES: readonly { readonly suffix: string; readonly bits: Bits; readonly packed: boolean }[] = [
  { suffix: 'SS', bits: 32, packed: false },
  { suffix: 'SD', bits: 64, packed: false },
  { suffix: 'PS', bits: 32, packed: true },
  { suffix: 'PD', bits: 64, packed: true },
]

function arithmeticTable(): SemanticsTable {
  const table: Record<string, Semantics> = {}
  for (const { suffix, bits, packed } of SUFFIXES) {
    for (const operation of ['add', 'sub', 'mul', 'div'] as const) {
      table[operation.toUpperCase() + suffix] = {
        emit: (packed ? packedArithmetic : scalarArithmetic)(operation, bits),
      }
    }
    for (const operation of ['min', 'max'] as const) {
      table[operation.toUpperCase() + suffix] = { emit: (packed ? packedExtreme : scalarExtreme)(operation, bits) }
    }
    table[`SQRT${suffix}`] = { emit: (packed ? packedSquareRoot : scalarSquareRoot)(bits) }
    table[`CMP${suffix}`] = { emit: (packed ? packedCompare : scalarCompare)(bits) }
    table[`ROUND${suffix}`] = { emit: (packed ? packedRound : scalarRound)(bits) }
    if (packed) {
      table[`HADD${suffix}`] = { emit: horizontal('add', bits) }
      table[`HSUB${suffix}`] = { emit: horizontal('sub', bits) }
      table[`ADDSUB${suffix}`] = { emit: addSubtract(bits) }
      table[`DP${suffix}`] = { emit: sseDotProduct(bits) }
    } else {
      table[`COMI${suffix}`] = { emit: compareFlags(bits, false) }
      table[`UCOMI${suffix}`] = { emit: compareFlags(bits, true) }
    }
  }
  return table
}

const sseFloatArithmetic: SemanticsTable = arithmeticTable()

/** All floating point of SSE to SSE4.1. */
export const sseFloat: SemanticsTable = {
  ...sseFloatMoves,
  ...sseFloatArithmetic,
  ...sseApproximations,
  ...sseConversions,
}
