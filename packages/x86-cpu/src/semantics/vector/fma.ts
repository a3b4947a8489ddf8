import { type F32, type F64, type I64, I32, V128, extractLane, numeric } from '@retrap/wasm-emitter'
import type { Context, Numbers, Semantics, SemanticsTable } from '../context.ts'
import {
  bitsOf,
  finish,
  hostMultiplyAdd32,
  hostMultiplyAdd64,
  multiplyAdd,
  unpack,
  vector,
  type Float,
  type SharedFunction,
} from '@retrap/soft-float'
import { SLOT_A, SLOT_B, SLOT_C } from '../float-scratch.ts'
import { allLanesSet, and, callSlow, floatResult, or, vectorResult } from './sse-float-operands.ts'
import { isZeroPositive, quickScalar, readFloat, writeFloat, type FloatOperand } from './sse-float-quick.ts'
import { inexactBits, quickPacked, readFloats, type VectorOperand } from './sse-float-packed.ts'
import { guarded } from './mxcsr.ts'
import { eachElement, element, vectorParameters, vectorTypes, type Bits } from './vector-elements.ts'

/**
 * Fused multiply-add: one rounding.
 *
 * WebAssembly has no such instruction, so the fast path computes it from error-free transformations: what a sum or a
 * product loses by rounding is itself a number of the format, computable without error, and the two parts are added with
 * the result rounded to odd first, which makes the last rounding the only one that counts. Everything else goes through
 * integers.
 *
 * Sources: Intel SDM vol. 2C, VFMADD132PD and the pages that follow; S. Boldo, G. Melquiond, "Emulation of FMA and
 * Correctly Rounded Sums: Proved Algorithms Using Rounding to Odd", IEEE Transactions on Computers 57 (2008).
 */

/** Which operand is what: A · B + C, by operand numbers. */
export const ORDERS: Readonly<Record<string, readonly [number, number, number]>> = {
  '132': [0, 2, 1],
  '213': [1, 0, 2],
  '231': [1, 2, 0],
}

/** The negated parts: the product; the addend of even and of odd elements. */
export interface FusedOperation {
  readonly product: boolean
  readonly even: boolean
  readonly odd: boolean
}

export const OPERATIONS: Readonly<Record<string, FusedOperation>> = {
  VFMADD: { product: false, even: false, odd: false },
  VFMSUB: { product: false, even: true, odd: true },
  VFNMADD: { product: true, even: false, odd: false },
  VFNMSUB: { product: true, even: true, odd: true },
  VFMADDSUB: { product: false, even: true, odd: false },
  VFMSUBADD: { product: false, even: false, odd: true },
}

function bytes(size: number, value: (i: number) => number): V128 {
  return V128.of(Array.from({ length: 16 }, (_, i) => ((i + 1) % size === 0 ? value(Math.floor(i / size)) : 0)))
}

/** The sign bits of the elements for which `negated` holds. */
function signs(bits: Bits, negated: (i: number) => boolean): V128 {
  return bytes(bits / 8, (i) => (negated(i) ? 0x80 : 0))
}

/** (state, a, b, c, signs of product and addend in bits 0 and 1) → one element. */
function slowElement(c: Context, bits: Bits): SharedFunction<'i64'> {
  return c.shared(`fma.element${bits}`, ['i32', 'i64', 'i64', 'i64', 'i32'], 'i64', (f) => {
    const state = f.param(0, 'i32').get
    const negated = f.param(4, 'i32').get
    for (const [i, slot] of [SLOT_A, SLOT_B, SLOT_C].entries())
      f.call(unpack(c, bits), state, state.add(slot), f.param(1 + i, 'i64').get)
    f.call(multiplyAdd(c), state, negated.and(1), negated.shrU(1))
    f.return(f.call(finish(c, bits), state))
  })
}

/** The negated parts of an element, as {@link slowElement} wants them. */
function control({ product, even, odd }: FusedOperation, i: number): I32 {
  return I32.of((product ? 1 : 0) | ((i % 2 === 0 ? even : odd) ? 2 : 0))
}

/** (state, lanes of a, of b, of c) → exception. */
function slowLanes(
  c: Context,
  name: string,
  operation: FusedOperation,
  bits: Bits,
  lanes: number,
): SharedFunction<'i32'> {
  return c.shared(`fma.${name}${bits}.${lanes}`, ['i32', ...vectorTypes(3 * lanes)], 'i32', (f) => {
    const state = f.param(0, 'i32').get
    const operands = vectorParameters(f, 1, 3 * lanes)
    guarded(c, f, state, () =>
      Array.from({ length: lanes }, (_, lane) =>
        eachElement(f, bits, (i) => {
          const at = (operand: number): I64 => element(operands[operand * lanes + lane]!, bits, i)
          return f.call(slowElement(c, bits), state, at(0), at(1), at(2), control(operation, i))
        }),
      ),
    )
  })
}

/** (state, a, b, c, signs) → exception. */
function slowScalar(c: Context, bits: Bits): SharedFunction<'i32'> {
  return c.shared(`fma.scalar${bits}`, ['i32', 'i64', 'i64', 'i64', 'i32'], 'i32', (f) => {
    const [state, a, b, addend, negated] = [
      f.param(0, 'i32').get,
      f.param(1, 'i64').get,
      f.param(2, 'i64').get,
      f.param(3, 'i64').get,
      f.param(4, 'i32').get,
    ]
    guarded(c, f, state, () => f.call(slowElement(c, bits), state, a, b, addend, negated))
  })
}

/** A product and an addend with the signs that an operation gives them: what is left is a · b + addend. */
function withSigns(operation: FusedOperation, bits: Bits, a: V128, addend: V128): readonly [a: V128, addend: V128] {
  const { product, even, odd } = operation
  const left = product ? vector(bits, 'neg', a) : a
  if (!even && !odd) return [left, addend]
  if (even && odd) return [left, vector(bits, 'neg', addend)]
  return [
    left,
    numeric(
      'v128.xor',
      addend,
      signs(bits, (i) => (i % 2 === 0 ? even : odd)),
    ),
  ]
}

/** Bits of a number from which on the errors of products are numbers: 2 ** -64 and 2 ** -900. */
const SMALLEST_PRODUCT: Readonly<Record<Bits, bigint>> = { 32: 0x1f80_0000n, 64: 0x07b0_0000_0000_0000n }

/** Bits that are all 0 in those elements of r = a · b + c, rounded once, that are exact: product and sum are. */
function inexactFused(c: Context, bits: Bits, r: V128, a: V128, b: V128, addend: V128): V128 {
  const product = c.let(vector(bits, 'mul', a, b))
  const error = c.multiplyAdd(bits, a, b, vector(bits, 'neg', product)) as V128
  // The error of a small product may itself be lost, unless a factor is zero.
  const isSmall = vector(bits, 'lt', vector(bits, 'abs', product), c.repeated(SMALLEST_PRODUCT[bits], bits))
  const lost = and(isSmall, vector(bits, 'pmin', vector(bits, 'abs', a), vector(bits, 'abs', b)))
  const inexactProduct = or(lost, vector(bits, 'ne', error, V128.of([])))
  return or(inexactProduct, inexactBits(c, 'add', bits, r, product, addend))
}

function packed(
  name: string,
  operation: FusedOperation,
  order: readonly [number, number, number],
  bits: Bits,
): Semantics {
  return {
    emit: (c) => {
      // Memory first: it is operand 2, and can fault.
      const operands = new Map([2, 1, 0].map((i) => [i, readFloats(c, i, bits)]))
      const [a, b, addend] = order.map((i) => operands.get(i)) as [VectorOperand, VectorOperand, VectorOperand]
      const signed = a.lanes.map((x, lane) => withSigns(operation, bits, x, addend.lanes[lane]!).map((v) => c.let(v)))
      const slow = (): void =>
        callSlow(c, slowLanes(c, name, operation, bits, a.lanes.length), ...a.lanes, ...b.lanes, ...addend.lanes)
      const fused = signed.map(([x, z], lane) => c.multiplyAdd(bits, x as V128, b.lanes[lane]!, z as V128))
      if (fused[0] !== undefined) {
        quickPacked(c, bits, {
          operands: [a, b, addend],
          compute: fused as V128[],
          inexact: (r, lane) => {
            const [x, z] = signed[lane] as [V128, V128]
            return inexactFused(c, bits, r, x, b.lanes[lane]!, z)
          },
          slow,
        })
        return
      }
      const results = signed.map(([x, z], lane) =>
        c.f.call(bits === 64 ? hostMultiplyAdd64(c) : hostMultiplyAdd32(c), x as V128, b.lanes[lane]!, z as V128),
      )
      const fast = c.settled().and(
        allLanesSet(
          bits,
          results.map((x) => vector(bits, 'eq', x, x)),
        ),
      )
      c.writeLanes(0, vectorResult(c, fast, results, slow))
    },
  }
}

function scalar(operation: FusedOperation, order: readonly [number, number, number], bits: Bits): Semantics {
  return {
    emit: (c) => {
      const operands = new Map([2, 1, 0].map((i) => [i, readFloat(c, i, bits)]))
      const [a, b, addend] = order.map((i) => operands.get(i)) as [FloatOperand, FloatOperand, FloatOperand]
      const splat = ({ value }: FloatOperand): V128 =>
        bits === 64 ? numeric('f64x2.splat', value as F64) : numeric('f32x4.splat', value as unknown as F32)
      const first = (v: V128): Float =>
        bits === 64
          ? extractLane('f64x2.extract_lane', v, 0)
          : (extractLane('f32x4.extract_lane', v, 0) as unknown as F64)
      const slow = (): void =>
        callSlow(
          c,
          slowScalar(c, bits),
          ...[a, b, addend].map(({ value }) => bitsOf(bits, value)),
          control(operation, 0),
        )
      const y = c.let(splat(b))
      const [x, z] = withSigns(operation, bits, splat(a), splat(addend)).map((v) => c.let(v)) as [V128, V128]
      const fused = c.multiplyAdd(bits, x, y, z)
      if (fused !== undefined) {
        const isExact = (result: Float): I32 => {
          const r =
            bits === 64 ? numeric('f64x2.splat', result as F64) : numeric('f32x4.splat', result as unknown as F32)
          const inexact = inexactFused(c, bits, c.let(r), x, y, z)
          return numeric('v128.any_true', inexact).eqz().and(isZeroPositive(c.f))
        }
        // The rest of the destination stays.
        quickScalar(c, bits, { operands: [a, b, addend], compute: first(fused), isExact, slow, above: 0 })
        return
      }
      const result = c.f.call(bits === 64 ? hostMultiplyAdd64(c) : hostMultiplyAdd32(c), x, y, z)
      const fast = c.settled().and(allLanesSet(bits, [vector(bits, 'eq', result, result)]))
      writeFloat(
        c,
        bits,
        floatResult(c, bits, fast, () => first(result), slow),
        0,
      )
    },
  }
}

function table(): SemanticsTable {
  const out: Record<string, Semantics> = {}
  for (const [name, operation] of Object.entries(OPERATIONS)) {
    for (const [suffix, order] of Object.entries(ORDERS)) {
      for (const bits of [32, 64] as const) {
        const type = bits === 64 ? 'D' : 'S'
        const emitted = packed(name, operation, order, bits)
        const isAlternating = operation.even !== operation.odd
        const numbers: Numbers = { bits, isScalar: false, tested: 2 }
        out[`${name}${suffix}P${type}`] = isAlternating ? emitted : { ...emitted, numbers }
        if (!isAlternating)
          out[`${name}${suffix}S${type}`] = {
            ...scalar(operation, order, bits),
            numbers: { ...numbers, isScalar: true },
          }
      }
    }
  }
  return out
}

export const fma: SemanticsTable = table()
