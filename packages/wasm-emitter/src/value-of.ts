import type { ValueType } from './opcodes.ts'
import { F32, F64 } from './floats.ts'
import { I32, I64 } from './integers.ts'
import type { Emit } from './value.ts'
import { V128 } from './vector.ts'

/** The class of a value by its type name. */
export interface ValueOf {
  /** A 32-bit integer. */
  i32: I32
  /** A 64-bit integer. */
  i64: I64
  /** A 32-bit floating-point number. */
  f32: F32
  /** A 64-bit floating-point number. */
  f64: F64
  /** A vector of 128 bits. */
  v128: V128
}

const CLASSES: { readonly [K in ValueType]: new (emit: Emit) => ValueOf[K] } = {
  i32: I32,
  i64: I64,
  f32: F32,
  f64: F64,
  v128: V128,
}

/** Makes a value of a type from its emitter. */
export function valueFrom<T extends ValueType>(type: T, emit: Emit): ValueOf[T] {
  return new CLASSES[type](emit)
}
