import type { Form as Row } from '@retrap/arm-decoder'
import { I32, select, type I64 } from '@retrap/wasm-emitter'
import type { ArmContext } from '../context.ts'
import { fieldOf } from '../../state/form.ts'

/** A shifted operand, and the carry that the shifter puts out. */
export interface Shifted {
  readonly value: I64
  readonly carry: I32
}

/** Kinds of shift, as encodings number them, and rotation through the carry. */
const RRX = 4

/** Larger amounts than these make no difference. */
const MOST = 40

/**
 * Shifts by an amount of 0 to 255.
 *
 * Source: Arm ARM (DDI 0487), shared pseudocode "Shift_C".
 */
export function shift(c: ArmContext, value: I32, kind: I32, amount: I32): Shifted {
  const shifter = c.library.function('a32-shift', ['i32', 'i32', 'i32', 'i32'], 'i64', (f, from, how, by, carryIn) => {
    const bits = f.let(select(by.gtU(MOST), I32.of(MOST), by).toI64U())
    // Left: the carry is above the result. Right: it is below.
    const left = f.let(from.toI64U().shl(bits))
    const right = f.let(from.toI64U().shl(1).shrU(bits))
    const arithmetic = f.let(from.toI64S().shl(1).shrS(bits))
    const rotated = f.let(from.rotr(by))
    const packed = (result: I64, carry: I64): I64 => result.toI32().toI64U().or(carry.and(1).shl(32))
    const below = (both: I64): I64 => packed(both.shrU(1), both)
    const result = f.local('i64')
    f.set(result, packed(left, left.shrU(32)))
    f.set(result, select(how.eq(1), below(right), result.get))
    f.set(result, select(how.eq(2), below(arithmetic), result.get))
    f.set(result, select(how.eq(3), packed(rotated.toI64U(), rotated.shrU(31).toI64U()), result.get))
    f.set(result, select(by.eqz(), packed(from.toI64U(), carryIn.toI64U()), result.get))
    const extended = packed(from.shrU(1).or(carryIn.shl(31)).toI64U(), from.toI64U())
    return select(how.eq(RRX), extended, result.get)
  })
  const both = c.let(c.f.call(shifter, value, kind, amount, c.flags.c))
  return { value: both.toI32().toI64U(), carry: both.shrU(32).toI32() }
}

/**
 * The kind and amount of a shift by an immediate: the amount in the low word, the kind in the high one.
 *
 * Source: Arm ARM (DDI 0487), shared pseudocode "DecodeImmShift".
 */
export function shiftImmediate(row: Row, word: number): bigint {
  const kind = row.fields.has('k') ? fieldOf(row, 'k', word) : 0
  const amount = fieldOf(row, 'i', word)
  if (amount !== 0 || kind === 0) return BigInt(amount) | (BigInt(kind) << 32n)
  return kind === 3 ? BigInt(RRX) << 32n : 32n | (BigInt(kind) << 32n)
}

/** A register that is shifted as `shiftImmediate` says. */
export const shiftedByImmediate = (c: ArmContext): Shifted =>
  shift(c, c.m(false).toI32(), c.immediate.shrU(32).toI32(), c.immediate.toI32())

/** A register shifted by another's low byte. */
export const shiftedByRegister = (c: ArmContext): Shifted =>
  shift(c, c.m(false).toI32(), c.small, c.a(false).toI32().and(0xff))
