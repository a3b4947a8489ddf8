import type { ByteWriter } from './bytes.ts'
import { check } from './checks.ts'
import { COMPARE_64, FOLD_32, FOLD_64, type Comparison } from './folding.ts'
import type { NumericOp } from './opcodes.ts'
import { apply, checkEmit, Value, type Emit } from './value.ts'

// Values of both widths, in one file because their classes convert to each other.

/** A number that stands for an i32, or an i32 value. */
export type I32Like = I32 | number
/** A bigint (or small number) that stands for an i64, or an i64 value. */
export type I64Like = I64 | bigint | number

/** Stands for the instructions of constants, which the value itself determines: most values are constants. */
const CONSTANT: Emit = () => undefined

type Division = `${'div' | 'rem'}_${'u' | 's'}`

/** The operations on both widths that differ in nothing else. */
abstract class Integer<T extends 'i32' | 'i64', Like, Self extends Integer<T, Like, Self>> extends Value<T> {
  /** Makes a quotient or remainder, which is never folded: the trap on zero belongs to run time. */
  protected abstract divide(op: Division, other: Like): Self
  /** Makes the result of a comparison, 0 or 1. */
  protected abstract compare(comparison: Comparison, other: Like): I32

  /** Divides unsigned numbers; traps on a divisor of 0. */
  divU(other: Like): Self {
    return this.divide('div_u', other)
  }
  /** Divides signed numbers; traps on a divisor of 0 and on overflow. */
  divS(other: Like): Self {
    return this.divide('div_s', other)
  }
  /** Gives the remainder of unsigned numbers; traps on a divisor of 0. */
  remU(other: Like): Self {
    return this.divide('rem_u', other)
  }
  /** Gives the remainder of signed numbers; traps on a divisor of 0. */
  remS(other: Like): Self {
    return this.divide('rem_s', other)
  }
  /** Returns 1 if both values are equal, otherwise 0. */
  eq(other: Like): I32 {
    return this.compare('eq', other)
  }
  /** Returns 1 if the values differ, otherwise 0. */
  ne(other: Like): I32 {
    return this.compare('ne', other)
  }
  /** Returns 1 if this value is less than `other`, signed; otherwise 0. */
  ltS(other: Like): I32 {
    return this.compare('lt_s', other)
  }
  /** Returns 1 if this value is less than `other`, unsigned; otherwise 0. */
  ltU(other: Like): I32 {
    return this.compare('lt_u', other)
  }
  /** Returns 1 if this value is greater than `other`, signed; otherwise 0. */
  gtS(other: Like): I32 {
    return this.compare('gt_s', other)
  }
  /** Returns 1 if this value is greater than `other`, unsigned; otherwise 0. */
  gtU(other: Like): I32 {
    return this.compare('gt_u', other)
  }
  /** Returns 1 if this value is at most `other`, signed; otherwise 0. */
  leS(other: Like): I32 {
    return this.compare('le_s', other)
  }
  /** Returns 1 if this value is at most `other`, unsigned; otherwise 0. */
  leU(other: Like): I32 {
    return this.compare('le_u', other)
  }
  /** Returns 1 if this value is at least `other`, signed; otherwise 0. */
  geS(other: Like): I32 {
    return this.compare('ge_s', other)
  }
  /** Returns 1 if this value is at least `other`, unsigned; otherwise 0. */
  geU(other: Like): I32 {
    return this.compare('ge_u', other)
  }
}

/** A 32-bit integer. Signedness belongs to the operation, as in WebAssembly. */
export class I32 extends Integer<'i32', I32Like, I32> {
  readonly #emit: Emit
  /** The value as a signed number, if known at generation time. */
  readonly known: number | undefined

  constructor(emit: Emit, known?: number) {
    super('i32')
    checkEmit(emit)
    this.#emit = emit
    this.known = known
  }

  /** Makes a value of a number; a value is returned as it is. */
  static of(value: I32Like): I32 {
    if (value instanceof I32) return value
    if (!Number.isInteger(value)) throw check.wrong('a value', value, 'an i32 or an integer')
    return new I32(CONSTANT, value | 0)
  }

  /** Appends the instructions that leave the value on the stack. */
  emit(out: ByteWriter): void {
    if (this.#emit !== CONSTANT) {
      this.#emit(out)
      return
    }
    out.u8(0x41)
    out.leb32(this.known!)
  }

  #binary(op: keyof typeof FOLD_32, other: I32Like): I32 {
    const right = I32.of(other)
    if (this.known !== undefined && right.known !== undefined) return I32.of(FOLD_32[op](this.known, right.known))
    return new I32(apply(op, this, right))
  }

  /** Makes a quotient or remainder. */
  protected divide(op: Division, other: I32Like): I32 {
    return new I32(apply(`i32.${op}`, this, I32.of(other)))
  }

  /** Makes the result of a comparison. */
  protected compare(comparison: Comparison, other: I32Like): I32 {
    return compareWords(comparison, this, I32.of(other))
  }

  /** Adds, modulo 2^32. */
  add(other: I32Like): I32 {
    const right = I32.of(other)
    if (right.known === 0) return this
    if (this.known === 0) return right
    return this.#binary('i32.add', right)
  }
  /** Subtracts, modulo 2^32. */
  sub(other: I32Like): I32 {
    const right = I32.of(other)
    return right.known === 0 ? this : this.#binary('i32.sub', right)
  }
  /** Multiplies, modulo 2^32. */
  mul(other: I32Like): I32 {
    const right = I32.of(other)
    return right.known === 1 ? this : this.#binary('i32.mul', right)
  }
  /** Combines the bits by AND. */
  and(other: I32Like): I32 {
    const right = I32.of(other)
    if (right.known === -1) return this
    if (right.known === 0 || this.known === 0) return I32.of(0)
    return this.#binary('i32.and', right)
  }
  /** Combines the bits by OR. */
  or(other: I32Like): I32 {
    const right = I32.of(other)
    if (right.known === 0) return this
    if (this.known === 0) return right
    return this.#binary('i32.or', right)
  }
  /** Combines the bits by exclusive OR. */
  xor(other: I32Like): I32 {
    const right = I32.of(other)
    return right.known === 0 ? this : this.#binary('i32.xor', right)
  }
  /** Shifts left; the count is taken modulo 32. */
  shl(other: I32Like): I32 {
    const right = I32.of(other)
    return right.known === 0 ? this : this.#binary('i32.shl', right)
  }
  /** Shifts right and fills with zeros; the count is taken modulo 32. */
  shrU(other: I32Like): I32 {
    const right = I32.of(other)
    return right.known === 0 ? this : this.#binary('i32.shr_u', right)
  }
  /** Shifts right and fills with the sign; the count is taken modulo 32. */
  shrS(other: I32Like): I32 {
    const right = I32.of(other)
    return right.known === 0 ? this : this.#binary('i32.shr_s', right)
  }
  /** Rotates left; the count is taken modulo 32. */
  rotl(other: I32Like): I32 {
    return this.#binary('i32.rotl', other)
  }
  /** Rotates right; the count is taken modulo 32. */
  rotr(other: I32Like): I32 {
    return this.#binary('i32.rotr', other)
  }
  #unary(op: keyof typeof FOLD_32): I32 {
    return this.known === undefined ? new I32(apply(op, this)) : I32.of(FOLD_32[op](this.known, 0))
  }
  /** Returns 1 for the value 0, else 0. */
  eqz(): I32 {
    return this.#unary('i32.eqz')
  }
  /** Counts the zeros above the highest 1. */
  clz(): I32 {
    return this.#unary('i32.clz')
  }
  /** Counts the zeros below the lowest 1. */
  ctz(): I32 {
    return this.#unary('i32.ctz')
  }
  /** Counts the ones. */
  popcnt(): I32 {
    return new I32(apply('i32.popcnt', this))
  }
  /** Sign-extends the low 8 bits. */
  extend8S(): I32 {
    return this.#unary('i32.extend8_s')
  }
  /** Sign-extends the low 16 bits. */
  extend16S(): I32 {
    return this.#unary('i32.extend16_s')
  }
  /** Zero-extends to 64 bits. */
  toI64U(): I64 {
    if (this.known !== undefined) return I64.of(BigInt(this.known >>> 0))
    return new I64(apply('i64.extend_i32_u', this), undefined, { low: this, extension: UNSIGNED })
  }
  /** Sign-extends to 64 bits. */
  toI64S(): I64 {
    if (this.known !== undefined) return I64.of(BigInt(this.known))
    return new I64(apply('i64.extend_i32_s', this), undefined, { low: this, extension: SIGNED })
  }
}

function compareWords(comparison: Comparison, left: I32, right: I32): I32 {
  const op = `i32.${comparison}` as const
  if (left.known !== undefined && right.known !== undefined) return I32.of(FOLD_32[op](left.known, right.known))
  return comparison === 'lt_u' && right.known === 0 ? I32.of(0) : new I32(apply(op, left, right))
}

const SIGNED = 1
const UNSIGNED = 2
/** Comparisons by another name for zero-extended values, none of which is negative. */
const OF_UNSIGNED: Readonly<Partial<Record<Comparison, Comparison>>> = {
  lt_s: 'lt_u',
  gt_s: 'gt_u',
  le_s: 'le_u',
  ge_s: 'ge_u',
}

/** Facts about a 64-bit integer that 32 bits determine. */
export interface Extended {
  /** The 32 bits. */
  readonly low: I32
  /** Bit 0: sign extension of the low 32 bits; bit 1: zero extension. */
  readonly extension: number
}

/** A 64-bit integer. */
export class I64 extends Integer<'i64', I64Like, I64> {
  readonly #emit: Emit
  readonly #lower: (() => I32) | undefined
  /** The value as a signed bigint, if known at generation time. */
  readonly known: bigint | undefined
  /** The 32-bit value that this one extends, if known. */
  readonly extended: Extended | undefined

  /** @param lower - computes the low 32 bits by a 32-bit operation, if possible */
  constructor(emit: Emit, known?: bigint, extended?: Extended, lower?: () => I32) {
    super('i64')
    checkEmit(emit)
    this.#emit = emit
    this.known = known
    this.extended = extended
    this.#lower = lower
  }

  /** Makes a value of a number; a value is returned as it is. */
  static of(value: I64Like): I64 {
    if (value instanceof I64) return value
    if (typeof value !== 'bigint' && !Number.isInteger(value)) {
      throw check.wrong('a value', value, 'an i64, a bigint or an integer')
    }
    const constant = BigInt.asIntN(64, BigInt(value))
    const low = Number(BigInt.asIntN(32, constant))
    const extension = (constant === BigInt(low) ? SIGNED : 0) | (constant === BigInt(low >>> 0) ? UNSIGNED : 0)
    return new I64(CONSTANT, constant, extension === 0 ? undefined : { low: I32.of(low), extension })
  }

  /** Returns the same value, marked as an extension of its low 32 bits. */
  knownExtended(signed: boolean): I64 {
    if (this.known !== undefined || this.extended !== undefined) return this
    return new I64(this.#emit, undefined, { low: this.toI32(), extension: signed ? SIGNED : UNSIGNED })
  }

  /** Appends the instructions that leave the value on the stack. */
  emit(out: ByteWriter): void {
    if (this.#emit !== CONSTANT) {
      this.#emit(out)
      return
    }
    out.u8(0x42)
    // The encoding of a number does not depend on its width.
    if ((this.extended?.extension ?? 0) & SIGNED) out.leb32(this.extended!.low.known!)
    else out.leb64(this.known!)
  }

  /** Returns the same extension of other low bits. */
  withLow(low: I32): I64 {
    const extension = this.extended?.extension ?? 0
    if (extension === 0) throw check.wrong('a value', this, 'one that is known to be an extension')
    const wide = (extension & UNSIGNED) === 0 ? low.toI64S() : low.toI64U()
    return extension === (SIGNED | UNSIGNED) ? wide.#isPositive() : wide
  }

  #binary(op: keyof typeof FOLD_64, other: I64Like, lower?: () => I32): I64 {
    const right = I64.of(other)
    if (this.known !== undefined && right.known !== undefined) return I64.of(FOLD_64[op](this.known, right.known))
    return new I64(apply(op, this, right), undefined, undefined, lower)
  }
  /** AND, OR and exclusive OR of extensions of the same kind are the extension of the result. */
  #logic(op: keyof typeof FOLD_64, right: I64, lower: () => I32): I64 {
    if (this.known !== undefined && right.known !== undefined) return I64.of(FOLD_64[op](this.known, right.known))
    const extension = (this.extended?.extension ?? 0) & (right.extended?.extension ?? 0)
    if (extension === 0) return new I64(apply(op, this, right), undefined, undefined, lower)
    const low = lower()
    return new I64(apply(op, this, right), undefined, { low, extension })
  }
  /** Compares the low 32 bits of extensions of the same kind: these determine the result. */
  protected compare(comparison: Comparison, other: I64Like): I32 {
    const right = I64.of(other)
    if (this.known !== undefined && right.known !== undefined)
      return I32.of(+COMPARE_64[comparison](this.known, right.known))
    const [a, b] = [this.extended, right.extended]
    const extension = (a?.extension ?? 0) & (b?.extension ?? 0)
    if (a === undefined || b === undefined || extension === 0) return new I32(apply(`i64.${comparison}`, this, right))
    const isSigned = (extension & SIGNED) !== 0
    return compareWords(isSigned ? comparison : (OF_UNSIGNED[comparison] ?? comparison), a.low, b.low)
  }

  /** Makes a quotient or remainder. */
  protected divide(op: Division, other: I64Like): I64 {
    return new I64(apply(`i64.${op}`, this, I64.of(other)))
  }

  /** Adds, modulo 2^64. */
  add(other: I64Like): I64 {
    const right = I64.of(other)
    if (right.known === 0n) return this
    if (this.known === 0n) return right
    return this.#binary('i64.add', right, () => this.toI32().add(right.toI32()))
  }
  /** Subtracts, modulo 2^64. */
  sub(other: I64Like): I64 {
    const right = I64.of(other)
    return right.known === 0n ? this : this.#binary('i64.sub', right, () => this.toI32().sub(right.toI32()))
  }
  /** Multiplies, modulo 2^64. */
  mul(other: I64Like): I64 {
    const right = I64.of(other)
    return right.known === 1n ? this : this.#binary('i64.mul', right, () => this.toI32().mul(right.toI32()))
  }
  /** Combines the bits by AND. */
  and(other: I64Like): I64 {
    const right = I64.of(other)
    if (right.known === -1n) return this
    if (right.known === 0n || this.known === 0n) return I64.of(0)
    if (right.known === 0xffff_ffffn && this.known === undefined) return this.toI32().toI64U()
    // No more than 32 bits are left.
    if (((right.extended?.extension ?? 0) & UNSIGNED) !== 0 && this.known === undefined) {
      const low = this.toI32().and(right.toI32())
      return new I64(apply('i64.and', this, right), undefined, { low, extension: right.extended!.extension })
    }
    return this.#logic('i64.and', right, () => this.toI32().and(right.toI32()))
  }
  /** Combines the bits by OR. */
  or(other: I64Like): I64 {
    const right = I64.of(other)
    if (right.known === 0n) return this
    if (this.known === 0n) return right
    return this.#logic('i64.or', right, () => this.toI32().or(right.toI32()))
  }
  /** Combines the bits by exclusive OR. */
  xor(other: I64Like): I64 {
    const right = I64.of(other)
    return right.known === 0n ? this : this.#logic('i64.xor', right, () => this.toI32().xor(right.toI32()))
  }
  /** Shifts left; the count is taken modulo 64. */
  shl(other: I64Like): I64 {
    const right = I64.of(other)
    if (right.known === 0n) return this
    const count = Number((right.known ?? 32n) & 63n)
    const lower = count < 32 ? (): I32 => this.toI32().shl(count) : undefined
    return this.#binary('i64.shl', right, lower)
  }
  /** Shifts right and fills with zeros; the count is taken modulo 64. */
  shrU(other: I64Like): I64 {
    const right = I64.of(other)
    const { extended } = this
    // By 0 the value stays as it is, which may be no positive number of 32 bits.
    if (right.known !== undefined && (right.known & 63n) === 0n) return this
    if (extended !== undefined && (extended.extension & UNSIGNED) !== 0 && right.known !== undefined) {
      const count = Number(right.known & 63n)
      if (this.known === undefined && count < 32) return extended.low.shrU(count).toI64U().#isPositive()
    }
    return this.#binary('i64.shr_u', right)
  }
  /** Shifts right and fills with the sign; the count is taken modulo 64. */
  shrS(other: I64Like): I64 {
    const right = I64.of(other)
    if (right.known === 0n) return this
    const { extended } = this
    if (extended !== undefined && (extended.extension & SIGNED) !== 0 && right.known !== undefined) {
      const count = Number(right.known & 63n)
      if (this.known === undefined) return extended.low.shrS(Math.min(count, 31)).toI64S()
    }
    return this.#binary('i64.shr_s', right)
  }
  /** Rotates left; the count is taken modulo 64. */
  rotl(other: I64Like): I64 {
    return new I64(apply('i64.rotl', this, I64.of(other)))
  }
  /** Rotates right; the count is taken modulo 64. */
  rotr(other: I64Like): I64 {
    return new I64(apply('i64.rotr', this, I64.of(other)))
  }
  /** Returns 1 for the value 0, else 0. */
  eqz(): I32 {
    if (this.known !== undefined) return I32.of(+(this.known === 0n))
    return this.extended === undefined ? new I32(apply('i64.eqz', this)) : this.extended.low.eqz()
  }
  /** Counts the zeros above the highest 1. */
  clz(): I64 {
    return new I64(apply('i64.clz', this))
  }
  /** Counts the zeros below the lowest 1. */
  ctz(): I64 {
    return new I64(apply('i64.ctz', this))
  }
  /** Counts the ones. */
  popcnt(): I64 {
    return new I64(apply('i64.popcnt', this))
  }
  /** Sign-extends the low 8 bits. */
  extend8S(): I64 {
    return this.#extend('i64.extend8_s', 8, (low) => low.extend8S())
  }
  /** Sign-extends the low 16 bits. */
  extend16S(): I64 {
    return this.#extend('i64.extend16_s', 16, (low) => low.extend16S())
  }
  /** Sign-extends the low 32 bits. */
  extend32S(): I64 {
    if (this.known !== undefined) return I64.of(BigInt.asIntN(32, this.known))
    return this.extended !== undefined && (this.extended.extension & SIGNED) !== 0 ? this : this.toI32().toI64S()
  }
  #extend(op: NumericOp, bits: number, extendLow: (low: I32) => I32): I64 {
    if (this.known !== undefined) return I64.of(BigInt.asIntN(bits, this.known))
    return new I64(apply(op, this), undefined, { low: extendLow(this.toI32()), extension: SIGNED })
  }
  /** The same value, of which the uppermost of the low 32 bits is clear. */
  #isPositive(): I64 {
    if (this.known !== undefined) return this
    return new I64(this.#emit, undefined, { low: this.extended!.low, extension: SIGNED | UNSIGNED })
  }
  /** The low 32 bits. */
  toI32(): I32 {
    if (this.known !== undefined) return I32.of(Number(BigInt.asIntN(32, this.known)))
    return this.extended?.low ?? this.#lower?.() ?? new I32(apply('i32.wrap_i64', this))
  }
}
