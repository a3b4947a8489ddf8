import { I32, I64, V128, numeric, select } from '@retrap/wasm-emitter'

import type { Context } from './context.ts'
import {
  allLanesSet,
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
import { PREDICATES } from './sse-float-elements.ts'
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
import type { BinaryOperation } from './sse-float-elements.ts'
import type { Bits } from './vector-elements.ts'
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
    const b = readScalar(c, c.firstSource + 1, bits)
    const a = readScalar(c, c.firstSource, bits)
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
    writeScalar(c, bits, value)
  }
}

function packedArithmetic(operation: BinaryOperation, bits: Bits): (c: Context) => void {
  return (c) => {
    c.requireSse()
    const b = c.readLanes(c.firstSource + 1)
    const a = c.readLanes(c.firstSource)
    c.writeLanes(0, packedSum(c, operation, operation, bits, a, b))
  }
}

/** An operation on whole vectors; odd elements may have another one. */
function packedSum(
  c: Context,
  even: BinaryOperation,
  odd: BinaryOperation,
  bits: Bits,
  a: readonly V128[],
  b: readonly V128[],
): readonly V128[] {
  const f = c.f
  const results = a.map((x, lane) => {
    const y = b[lane] as V128
    return even === odd
      ? f.let(vector(bits, even, x, y))
      : f.let(numeric('v128.bitselect', vector(bits, odd, x, y), vector(bits, even, x, y), oddElements(bits)))
  })
  const fine = results.map((result, lane) => {
    const [x, y] = [a[lane] as V128, b[lane] as V128]
    const ordinary = or(ordinaryMask(bits, result), exactZeroMask(even, bits, x, y, result))
    return and(and(plainMask(bits, x), plainMask(bits, y)), ordinary)
  })
  return vectorResult(c, isRoundingSettled(c).and(allLanesSet(bits, fine)), results, () =>
    callSlow(c, packedBinarySlow(c, even, odd, bits, a.length), ...a, ...b),
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
    const b = readScalar(c, c.firstSource + 1, bits)
    const a = readScalar(c, c.firstSource, bits)
    const [x, y] = [asFloat(f, bits, a), asFloat(f, bits, b)]
    const value = scalarResult(
      c,
      isPlain(bits, x).and(isPlain(bits, y)),
      () => select(floatTest(bits, operation === 'min' ? 'lt' : 'gt', x, y), a, b),
      () => callSlow(c, binarySlow(c, operation, bits), a, b),
    )
    writeScalar(c, bits, value)
  }
}

function packedExtreme(operation: 'min' | 'max', bits: Bits): (c: Context) => void {
  return (c) => {
    c.requireSse()
    const b = c.readLanes(c.firstSource + 1)
    const a = c.readLanes(c.firstSource)
    const plain = [...a, ...b].map((x) => plainMask(bits, x))
    const results = a.map((x, lane) => {
      const y = b[lane] as V128
      return numeric('v128.bitselect', x, y, vector(bits, operation === 'min' ? 'lt' : 'gt', x, y))
    })
    const values = vectorResult(c, allLanesSet(bits, plain), results, () =>
      callSlow(c, packedBinarySlow(c, operation, operation, bits, a.length), ...a, ...b),
    )
    c.writeLanes(0, values)
  }
}

function scalarSquareRoot(bits: Bits): (c: Context) => void {
  return (c) => {
    c.requireSse()
    const f = c.f
    const a = readScalar(c, c.firstSource + 1, bits)
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
    writeScalar(c, bits, value)
  }
}

function packedSquareRoot(bits: Bits): (c: Context) => void {
  return (c) => {
    c.requireSse()
    const a = c.readLanes(1)
    const results = a.map((x) => c.let(vector(bits, 'sqrt', x)))
    const fine = a.map((x, lane) =>
      and(plainMask(bits, x), or(ordinaryMask(bits, results[lane] as V128), zeroMask(bits, x))),
    )
    const values = vectorResult(c, isRoundingSettled(c).and(allLanesSet(bits, fine)), results, () =>
      callSlow(c, packedSquareRootSlow(c, bits, a.length), ...a),
    )
    c.writeLanes(0, values)
  }
}

/** Horizontal sums and differences: neighbours of the first operand, then of the second. */
function horizontal(operation: 'add' | 'sub', bits: Bits): (c: Context) => void {
  return (c) => {
    c.requireSse()
    const b = c.readLanes(c.firstSource + 1)
    const a = c.readLanes(c.firstSource)
    const bytes = bits / 8
    const pick = (odd: number): number[] =>
      Array.from({ length: 16 }, (_, i) => (2 * Math.floor(i / bytes) + odd) * bytes + (i % bytes))
    const left = a.map((x, lane) => c.let(x.shuffle(b[lane] as V128, pick(0))))
    const right = a.map((x, lane) => c.let(x.shuffle(b[lane] as V128, pick(1))))
    c.writeLanes(0, packedSum(c, operation, operation, bits, left, right))
  }
}

function addSubtract(bits: Bits): (c: Context) => void {
  return (c) => {
    c.requireSse()
    const b = c.readLanes(c.firstSource + 1)
    const a = c.readLanes(c.firstSource)
    c.writeLanes(0, packedSum(c, 'sub', 'add', bits, a, b))
  }
}

/** The immediate's low bits, five with VEX, as flags of the relations for which the predicate holds, each 0 or −1. */
function predicate(c: Context): { readonly number: I32; readonly holds: (relation: number) => I32 } {
  const number = c.let(
    c
      .immediate()
      .toI32()
      .and(c.form.vex ? 31 : 7),
  )
  const bits = c.let(I64.of(PREDICATES).shrU(number.and(15).shl(2).toI64U()).toI32())
  return { number, holds: (relation) => I32.of(0).sub(bits.shrU(relation).and(1)) }
}

const RELATION_LESS = 0
const RELATION_EQUAL = 1
const RELATION_GREATER = 2

function scalarCompare(bits: Bits): (c: Context) => void {
  return (c) => {
    c.requireSse()
    const f = c.f
    const b = readScalar(c, c.firstSource + 1, bits)
    const a = readScalar(c, c.firstSource, bits)
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
    writeScalar(c, bits, value)
  }
}

function packedCompare(bits: Bits): (c: Context) => void {
  return (c) => {
    c.requireSse()
    const b = c.readLanes(c.firstSource + 1)
    const a = c.readLanes(c.firstSource)
    const { number, holds } = predicate(c)
    const plain = [...a, ...b].map((x) => plainMask(bits, x))
    const results = a.map((x, lane) => {
      const mask = (relation: number, name: string): V128 =>
        and(vector(bits, name, x, b[lane] as V128), numeric('i32x4.splat', holds(relation)))
      return or(mask(RELATION_LESS, 'lt'), or(mask(RELATION_EQUAL, 'eq'), mask(RELATION_GREATER, 'gt')))
    })
    const values = vectorResult(c, allLanesSet(bits, plain), results, () =>
      callSlow(c, packedCompareSlow(c, bits, a.length), number, ...a, ...b),
    )
    c.writeLanes(0, values)
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
    const a = readScalar(c, c.firstSource + 1, bits)
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
    writeScalar(c, bits, value)
  }
}

function packedRound(bits: Bits): (c: Context) => void {
  return (c) => {
    c.requireSse()
    const f = c.f
    const control = c.let(c.immediate().toI32())
    const a = c.readLanes(1)
    const mode = roundingOfMxcsr(c, control)
    const results = a.map((x) => {
      const [nearest, floor, ceil, trunc] = ROUNDINGS.map((name) => vector(bits, name, x)) as [V128, V128, V128, V128]
      const choice = select(mode.and(2), select(mode.and(1), trunc, ceil), select(mode.and(1), floor, nearest))
      return f.let(choice)
    })
    const exact = a.map((x, lane) => vector(bits, 'eq', results[lane] as V128, x))
    const quiet = control.and(8).or(allLanesSet(bits, exact)).or(isPrecisionSettled(c))
    const plain = a.map((x) => plainMask(bits, x))
    const values = vectorResult(c, allLanesSet(bits, plain).and(quiet.ne(0)), results, () =>
      callSlow(c, packedIntegralSlow(c, bits, a.length), control, ...a),
    )
    c.writeLanes(0, values)
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
