import { I32, I64, numeric, select, type F64, type V128 } from '@retrap/wasm-emitter'

import { gated, type Context, type Numbers, type Semantics, type SemanticsTable } from '../context.ts'
import {
  asFloat,
  bitsOf,
  float,
  floatTest,
  isExactResult,
  isPlain,
  ofBits,
  plainMask,
  vector,
  type Float,
} from '@retrap/soft-float'
import {
  allLanesSet,
  and,
  callSlow,
  floatResult,
  or,
  readScalar,
  scalarResult,
  vectorResult,
  writeScalar,
} from './sse-float-operands.ts'
import { areComparable, isZeroPositive, quickScalar, readFloat, writeFloat } from './sse-float-quick.ts'
import { roundingOfMxcsr, sseApproximations, sseDotProduct } from './sse-float-compound.ts'
import { sseConversions } from './convert-sse.ts'
import { isPrecisionSettled } from '../float-scratch.ts'
import {
  inexactBits,
  inexactMixed,
  oddElements,
  quickPacked,
  readFloats,
  type VectorOperand,
} from './sse-float-packed.ts'
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
import type { Bits } from './vector-elements.ts'
import { FLAGS_ARITHMETIC, FLAG_CF, FLAG_PF, FLAG_ZF } from '../../state/state-layout.ts'

type Arithmetic = 'add' | 'sub' | 'mul' | 'div'

/**
 * SSE floating-point arithmetic, comparison and rounding.
 *
 * Source: Intel SDM vol. 2, the pages of each instruction; vol. 1, "SIMD Floating-Point Exceptions".
 */

function scalarArithmetic(operation: Arithmetic, bits: Bits): (c: Context) => void {
  return (c) => {
    const y = readFloat(c, c.firstSource + 1, bits)
    const x = readFloat(c, c.firstSource, bits)
    quickScalar(c, bits, {
      operands: [x, y],
      compute: float(bits, operation, x.value, y.value),
      isExact: (result) => isExactResult(isZeroPositive(c.f), operation, bits, result, x.value, y.value),
      slow: () => callSlow(c, binarySlow(c, operation, bits), x.value, y.value),
    })
  }
}

function packedArithmetic(operation: Arithmetic, bits: Bits): (c: Context) => void {
  return (c) => {
    const y = readFloats(c, c.firstSource + 1, bits)
    const x = readFloats(c, c.firstSource, bits)
    packedSum(c, operation, operation, bits, x, y)
  }
}

/** An operation on whole vectors; odd elements may have another one. */
function packedSum(
  c: Context,
  even: Arithmetic,
  odd: Arithmetic,
  bits: Bits,
  x: VectorOperand,
  y: VectorOperand,
): void {
  const compute = x.lanes.map((a, lane) => {
    const b = y.lanes[lane]!
    if (even === odd) return vector(bits, even, a, b)
    return numeric('v128.bitselect', vector(bits, odd, a, b), vector(bits, even, a, b), oddElements(bits))
  })
  quickPacked(c, bits, {
    operands: [x, y],
    compute,
    inexact: (r, lane) => inexactMixed(c, even, odd, bits, r, x.lanes[lane]!, y.lanes[lane]!),
    slow: () => callSlow(c, packedBinarySlow(c, even, odd, bits, x.lanes.length), ...x.lanes, ...y.lanes),
  })
}

/** MIN and MAX: the second operand unless the first is less (greater). */
function scalarExtreme(operation: 'min' | 'max', bits: Bits): (c: Context) => void {
  return (c) => {
    const y = readFloat(c, c.firstSource + 1, bits)
    const x = readFloat(c, c.firstSource, bits)
    const first = floatTest(bits, operation === 'min' ? 'lt' : 'gt', x.value, y.value)
    const value = floatResult(
      c,
      bits,
      areComparable(c.f, bits, x, y),
      () => select(first, x.value as F64, y.value as F64),
      () => callSlow(c, binarySlow(c, operation, bits), x.value, y.value),
    )
    writeFloat(c, bits, value)
  }
}

function packedExtreme(operation: 'min' | 'max', bits: Bits): (c: Context) => void {
  return (c) => {
    const b = c.readLanes(c.firstSource + 1)
    const a = c.readLanes(c.firstSource)
    const plain = [...a, ...b].map((x) => plainMask(bits, x))
    const results = a.map((x, lane) => {
      const y = b[lane]!
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
    const x = readFloat(c, c.firstSource + 1, bits)
    quickScalar(c, bits, {
      operands: [x],
      compute: float(bits, 'sqrt', x.value),
      isExact: (result) => isExactResult(isZeroPositive(c.f), 'sqrt', bits, result, x.value, x.value),
      slow: () => callSlow(c, squareRootSlow(c, bits), x.value),
    })
  }
}

function packedSquareRoot(bits: Bits): (c: Context) => void {
  return (c) => {
    const x = readFloats(c, 1, bits)
    quickPacked(c, bits, {
      operands: [x],
      compute: x.lanes.map((a) => vector(bits, 'sqrt', a)),
      inexact: (r, lane) => inexactBits(c, 'sqrt', bits, r, x.lanes[lane]!, x.lanes[lane]!),
      slow: () => callSlow(c, packedSquareRootSlow(c, bits, x.lanes.length), ...x.lanes),
    })
  }
}

/** Horizontal sums and differences: neighbours of the first operand, then of the second. */
function horizontal(operation: 'add' | 'sub', bits: Bits): (c: Context) => void {
  return (c) => {
    const b = readFloats(c, c.firstSource + 1, bits)
    const a = readFloats(c, c.firstSource, bits)
    const isNormal = a.isNormal && b.isNormal
    const bytes = bits / 8
    const pick = (odd: number): number[] =>
      Array.from({ length: 16 }, (_, i) => (2 * Math.floor(i / bytes) + odd) * bytes + (i % bytes))
    const side = (odd: number): VectorOperand => ({
      lanes: a.lanes.map((x, lane) => c.let(x.shuffle(b.lanes[lane]!, pick(odd)))),
      isNormal,
      number: undefined,
    })
    packedSum(c, operation, operation, bits, side(0), side(1))
  }
}

function addSubtract(bits: Bits): (c: Context) => void {
  return (c) => {
    const y = readFloats(c, c.firstSource + 1, bits)
    const x = readFloats(c, c.firstSource, bits)
    packedSum(c, 'sub', 'add', bits, x, y)
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
    const b = c.readLanes(c.firstSource + 1)
    const a = c.readLanes(c.firstSource)
    const { number, holds } = predicate(c)
    const plain = [...a, ...b].map((x) => plainMask(bits, x))
    const results = a.map((x, lane) => {
      const mask = (relation: number, name: string): V128 =>
        and(vector(bits, name, x, b[lane]!), numeric('i32x4.splat', holds(relation)))
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
    const y = readFloat(c, 1, bits)
    const x = readFloat(c, 0, bits)
    const areOrdinary = areComparable(c.f, bits, x, y)
    if (c.isSpecialised) {
      c.f.if(areOrdinary.eqz(), () => c.interpret())
      c.setNormal(0, bits, true)
      c.setNormal(1, bits, true)
      c.changeFlags({
        written: FLAGS_ARITHMETIC,
        from: [bitsOf(bits, x.value), bitsOf(bits, y.value)],
        flags: (...from) => {
          const [a, b] = from.map((value) => ofBits(bits, value)) as [Float, Float]
          return {
            carry: floatTest(bits, 'lt', a, b),
            zero: floatTest(bits, 'eq', a, b),
            carryOrZero: floatTest(bits, 'le', a, b),
          }
        },
      })
      return
    }
    const value = scalarResult(
      c,
      areOrdinary,
      () => {
        const less = floatTest(bits, 'lt', x.value, y.value).toI64U()
        const equal = floatTest(bits, 'eq', x.value, y.value).toI64U()
        return less.shl(bitNumber(FLAG_CF)).or(equal.shl(bitNumber(FLAG_ZF)))
      },
      () => callSlow(c, compareFlagsSlow(c, bits), bitsOf(bits, x.value), bitsOf(bits, y.value), I32.of(quiet ? 1 : 0)),
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
      isPlain(bits, x).and(control.and(8).or(exact).or(isPrecisionSettled(c.f, c.state))),
      () => bitsOf(bits, result),
      () => callSlow(c, integralSlow(c, bits), a, control),
    )
    writeScalar(c, bits, value)
  }
}

function packedRound(bits: Bits): (c: Context) => void {
  return (c) => {
    const f = c.f
    const control = c.let(c.immediate().toI32())
    const a = c.readLanes(1)
    const mode = roundingOfMxcsr(c, control)
    const results = a.map((x) => {
      const [nearest, floor, ceil, trunc] = ROUNDINGS.map((name) => vector(bits, name, x)) as [V128, V128, V128, V128]
      const choice = select(mode.and(2), select(mode.and(1), trunc, ceil), select(mode.and(1), floor, nearest))
      return f.let(choice)
    })
    const exact = a.map((x, lane) => vector(bits, 'eq', results[lane]!, x))
    const quiet = control.and(8).or(allLanesSet(bits, exact)).or(isPrecisionSettled(c.f, c.state))
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
    const numbers: Numbers = { bits, isScalar: !packed }
    const arithmetic: Numbers = { ...numbers, tested: 2 }
    for (const operation of ['add', 'sub', 'mul', 'div'] as const) {
      const emit = (packed ? packedArithmetic : scalarArithmetic)(operation, bits)
      table[operation.toUpperCase() + suffix] = { emit, numbers: arithmetic }
    }
    for (const operation of ['min', 'max'] as const) {
      const emit = (packed ? packedExtreme : scalarExtreme)(operation, bits)
      table[operation.toUpperCase() + suffix] = { emit, numbers }
    }
    const root = (packed ? packedSquareRoot : scalarSquareRoot)(bits)
    table[`SQRT${suffix}`] = { emit: root, numbers: { ...numbers, tested: 1 } }
    table[`CMP${suffix}`] = { emit: (packed ? packedCompare : scalarCompare)(bits), numbers }
    table[`ROUND${suffix}`] = { emit: (packed ? packedRound : scalarRound)(bits), numbers }
    if (packed) {
      table[`HADD${suffix}`] = { emit: horizontal('add', bits) }
      table[`HSUB${suffix}`] = { emit: horizontal('sub', bits) }
      table[`ADDSUB${suffix}`] = { emit: addSubtract(bits) }
      table[`DP${suffix}`] = { emit: sseDotProduct(bits) }
    } else {
      table[`COMI${suffix}`] = { emit: compareFlags(bits, false), numbers: arithmetic }
      table[`UCOMI${suffix}`] = { emit: compareFlags(bits, true), numbers: arithmetic }
    }
  }
  return table
}

/** All floating point of SSE to SSE4.1. */
export const sseFloat: SemanticsTable = gated((c) => c.requireSse(), {
  ...sseFloatMoves,
  ...arithmeticTable(),
  ...sseApproximations,
  ...sseConversions,
})
