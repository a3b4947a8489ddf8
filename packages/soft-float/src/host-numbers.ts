import { F32, F64, V128, numeric } from '@retrap/wasm-emitter'
import type { FunctionBuilder, I32, I64 } from '@retrap/wasm-emitter'

/** Numbers in the host's floating point, and tests on them. */

/** Size of a number that the host has. */
export type Bits = 32 | 64

/** A number in the host's floating point. */
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

/** Returns a vector of equal numbers. */
export function splat(bits: Bits, value: number): V128 {
  const bytes =
    bits === 64 ? new Float64Array([value, value]).buffer : new Float32Array([value, value, value, value]).buffer
  return V128.of(new Uint8Array(bytes))
}

/** The smallest normal number. */
export const SMALLEST_NORMAL: Readonly<Record<Bits, number>> = { 32: 2 ** -126, 64: 2 ** -1022 }
/** The largest finite number. */
export const LARGEST: Readonly<Record<Bits, number>> = { 32: (2 - 2 ** -23) * 2 ** 127, 64: Number.MAX_VALUE }

/** Returns 1 unless the number is denormal or a NaN. */
export function isPlain(bits: Bits, x: Float): I32 {
  return floatTest(bits, 'ge', float(bits, 'abs', x), constant(bits, SMALLEST_NORMAL[bits])).or(isZero(bits, x))
}

/** Returns 1 for a zero. */
export function isZero(bits: Bits, x: Float): I32 {
  return floatTest(bits, 'eq', x, constant(bits, 0))
}

/**
 * 1 if it is a normal number that is not the result of overflow or underflow: the smallest normal numbers are left out,
 * since a tiny result may have been rounded up to one.
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

/** {@link isZero} as a mask of elements. */
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

/** The number of an encoding, in a local. */
export function asFloat(f: FunctionBuilder, bits: Bits, value: I64): Float {
  return f.let(ofBits(bits, value) as F64)
}

/** The number of {@link bitsOf}. */
export function ofBits(bits: Bits, value: I64): Float {
  return bits === 64 ? F64.ofBits(value) : F32.ofBits(value.toI32())
}

/** The encoding of a number; 32 bits are zero-extended. */
export function bitsOf(bits: Bits, value: Float): I64 {
  return bits === 64 ? (value as F64).asI64() : (value as unknown as F32).asI32().toI64U()
}
