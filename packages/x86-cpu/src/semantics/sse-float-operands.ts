import { F32, F64, V128, numeric } from '@retrap/wasm-emitter'
import type { FunctionBuilder, I32, I64, Value } from '@retrap/wasm-emitter'
import type { Context } from './context.ts'
import { F_TEMPORARY } from './softfloat-layout.ts'
import type { SharedFunction } from './softfloat-layout.ts'
import { withElement } from './vector-elements.ts'
import type { Bits } from './vector-elements.ts'

/** Operands of SSE floating point, and tests on numbers. */

export type Float = F32 | F64

/** A scalar floating-point instruction by its name without the type. */
export function float(bits: Bits, name: string, ...operands: readonly Float[]): F64 {
  return numeric(`f${bits}.${name}` as 'f64.add', ...(operands as readonly F64[] as [F64, F64]))
}

/** A scalar floating-point comparison. */
export function floatTest(bits: Bits, name: string, a: Float, b: Float): I32 {
  return numeric(`f${bits}.${name}` as 'f64.eq', a as F64, b as F64)
}

/** A vector instruction by its name without the shape. */
export function vector(bits: Bits, name: string, ...operands: readonly V128[]): V128 {
  return numeric(`f${bits}x${128 / bits}.${name}` as 'f64x2.add', ...(operands as [V128, V128]))
}

function constant(bits: Bits, value: number): F64 {
  return (bits === 64 ? F64.of(value) : F32.of(value)) as F64
}

export function splat(bits: Bits, value: number): V128 {
  const bytes =
    bits === 64 ? new Float64Array([value, value]).buffer : new Float32Array([value, value, value, value]).buffer
  return V128.of(new Uint8Array(bytes))
}

export const SMALLEST_NORMAL: Readonly<Record<Bits, number>> = { 32: 2 ** -126, 64: 2 ** -1022 }
export const LARGEST: Readonly<Record<Bits, number>> = { 32: (2 - 2 ** -23) * 2 ** 127, 64: Number.MAX_VALUE }

/** 1 unless it is denormal or a NaN. */
export function isPlain(bits: Bits, x: Float): I32 {
  return floatTest(bits, 'ge', float(bits, 'abs', x), constant(bits, SMALLEST_NORMAL[bits])).or(isZero(bits, x))
}

export function isZero(bits: Bits, x: Float): I32 {
  return floatTest(bits, 'eq', x, constant(bits, 0))
}

/**
 * 1 if it is a normal number that cannot have come about by overflow or underflow: the smallest normal numbers are left
 * out, since a tiny result may have been rounded up to one.
 */
export function isOrdinary(bits: Bits, x: Float): I32 {
  const magnitude = float(bits, 'abs', x)
  return floatTest(bits, 'ge', magnitude, constant(bits, 2 * SMALLEST_NORMAL[bits])).and(
    floatTest(bits, 'le', magnitude, constant(bits, LARGEST[bits])),
  )
}

/** {@link isPlain} as a mask of elements. */
export function plainMask(bits: Bits, x: V128): V128 {
  return or(vector(bits, 'ge', vector(bits, 'abs', x), splat(bits, SMALLEST_NORMAL[bits])), zeroMask(bits, x))
}

export function zeroMask(bits: Bits, x: V128): V128 {
  return vector(bits, 'eq', x, splat(bits, 0))
}

/** {@link isOrdinary} as a mask of elements. */
export function ordinaryMask(bits: Bits, x: V128): V128 {
  const magnitude = vector(bits, 'abs', x)
  return and(
    vector(bits, 'ge', magnitude, splat(bits, 2 * SMALLEST_NORMAL[bits])),
    vector(bits, 'le', magnitude, splat(bits, LARGEST[bits])),
  )
}

/** 1 if every element of a mask is set. */
export function allSet(bits: Bits, mask: V128): I32 {
  return numeric(bits === 64 ? 'i64x2.all_true' : 'i32x4.all_true', mask)
}

export function and(a: V128, b: V128): V128 {
  return numeric('v128.and', a, b)
}

export function or(a: V128, b: V128): V128 {
  return numeric('v128.or', a, b)
}

/** Bits of a scalar operand: the low element of a register, or just as many bytes of memory. 32 bits are zero-extended. */
export function readScalar(c: Context, i: number, bits: Bits): I64 {
  if (c.kindOf(i) === 'mem') return c.readU(i)
  return c.f.load(bits === 64 ? 'i64.load' : 'i64.load32_u', c.registerAddress(i))
}

/** Writes the destination's low element; the others stay, or come from the first source. */
export function writeScalar(c: Context, bits: Bits, value: I64): void {
  if (!c.form.vex) c.f.store(bits === 64 ? 'i64.store' : 'i64.store32', c.registerAddress(0), value)
  else c.writeV(0, withElement(c.readV(1), bits, 0, value))
}

export function asFloat(f: FunctionBuilder, bits: Bits, value: I64): Float {
  return f.let(ofBits(bits, value) as F64)
}

/** The number of {@link bitsOf}. */
export function ofBits(bits: Bits, value: I64): Float {
  return bits === 64 ? F64.ofBits(value) : F32.ofBits(value.toI32())
}

export function bitsOf(bits: Bits, value: Float): I64 {
  return bits === 64 ? (value as F64).asI64() : (value as unknown as F32).asI32().toI64U()
}

/** Calls a slow function, and raises what it wants raised. */
export function callSlow(c: Context, slow: SharedFunction<'i32'>, ...operands: readonly Value[]): void {
  const vectorNumber = c.f.call(slow, c.state, ...operands)
  c.f.if(vectorNumber, () => c.raise(vectorNumber))
}

/** `fast` where `condition` holds, else what the slow function leaves. */
export function scalarResult(c: Context, condition: I32, fast: () => I64, slow: () => void): I64 {
  return c.f.ifElse('i64', condition, fast, () => {
    slow()
    return c.f.loadExpression('i64.load', c.state, F_TEMPORARY)
  })
}

/** The same of a floating-point value. */
export function floatResult(c: Context, bits: Bits, condition: I32, fast: () => Float, slow: () => void): Float {
  const type = bits === 64 ? 'f64' : ('f32' as 'f64')
  return c.f.ifElse(type, condition, fast as () => F64, () => {
    slow()
    return c.f.loadExpression(`${type}.load`, c.state, F_TEMPORARY)
  })
}

/** The same by 128-bit lanes, which succeed or fail together: there is one exception for the whole instruction. */
export function vectorResult(c: Context, condition: I32, fast: readonly V128[], slow: () => void): readonly V128[] {
  const results = fast.map(() => c.f.local('v128'))
  c.f.if(
    condition,
    () => results.forEach((result, lane) => c.f.set(result, fast[lane] as V128)),
    () => {
      slow()
      results.forEach((result, lane) =>
        c.f.set(result, c.f.loadExpression('v128.load', c.state, F_TEMPORARY + 16 * lane)),
      )
    },
  )
  return results.map((result) => result.get)
}

/** 1 if every element of every lane is set. */
export function allLanesSet(bits: Bits, masks: readonly V128[]): I32 {
  return allSet(bits, masks.reduce(and))
}
