import type { ByteWriter } from './bytes.ts'
import { check } from './checks.ts'
import { I32, I64, type I32Like, type I64Like } from './integers.ts'
import { apply, checkEmit, Value, type Emit } from './value.ts'

/** A 32-bit floating-point value. */
export class F32 extends Value<'f32'> {
  readonly #emit: Emit
  constructor(emit: Emit) {
    super('f32')
    checkEmit(emit)
    this.#emit = emit
  }
  /** Makes a value of a number; a value is returned as it is. */
  static of(value: F32 | number): F32 {
    if (value instanceof F32) return value
    if (typeof value !== 'number') throw check.wrong('a value', value, 'an f32 or a number')
    return new F32((out) => {
      out.u8(0x43)
      out.f32(value)
    })
  }
  /** Makes a value of the bits that represent it. */
  static ofBits(bits: I32Like): F32 {
    return new F32(apply('f32.reinterpret_i32', I32.of(bits)))
  }
  /** Appends the instructions that leave the value on the stack. */
  emit(out: ByteWriter): void {
    this.#emit(out)
  }
  /** Gives this value's bits as an i32. */
  asI32(): I32 {
    return new I32(apply('i32.reinterpret_f32', this))
  }
}

/** A 64-bit floating-point value. */
export class F64 extends Value<'f64'> {
  readonly #emit: Emit
  constructor(emit: Emit) {
    super('f64')
    checkEmit(emit)
    this.#emit = emit
  }
  /** Makes a value of a number; a value is returned as it is. */
  static of(value: F64 | number): F64 {
    if (value instanceof F64) return value
    if (typeof value !== 'number') throw check.wrong('a value', value, 'an f64 or a number')
    return new F64((out) => {
      out.u8(0x44)
      out.f64(value)
    })
  }
  /** Makes a value of the bits that represent it. */
  static ofBits(bits: I64Like): F64 {
    return new F64(apply('f64.reinterpret_i64', I64.of(bits)))
  }
  /** Appends the instructions that leave the value on the stack. */
  emit(out: ByteWriter): void {
    this.#emit(out)
  }
  /** Gives this value's bits as an i64. */
  asI64(): I64 {
    return new I64(apply('i64.reinterpret_f64', this))
  }
}
