import { I64, select, type FunctionBuilder, I32, type I64Like, type Local } from '@retrap/wasm-emitter'
import { type FloatModule, multiplyHigh } from '@retrap/soft-float'
import { ADDRESS_32, ADDRESS_CHECKED, R_BASE, R_DISP, R_INDEX, R_SCALE, R_SEGMENT } from '../state/record.ts'
import { SEG_BYTES, SEG_FLAT, SEG_RIGHTS, S_PAIR_LOCK, S_SEGMENTS } from '../state/state-layout.ts'

/** Integers of 1, 2, 4 and 8 bytes, held as 64-bit values. */

/** Tries to get the lock of pairs, which is held for a few nanoseconds: about a microsecond. */
const PAIR_TRIES = 100

/** The integer load of a size. */
export function loadOp(
  size: number,
  signed: boolean,
): 'i64.load' | 'i64.load8_s' | 'i64.load8_u' | 'i64.load16_s' | 'i64.load16_u' | 'i64.load32_s' | 'i64.load32_u' {
  switch (size) {
    case 1:
      return signed ? 'i64.load8_s' : 'i64.load8_u'
    case 2:
      return signed ? 'i64.load16_s' : 'i64.load16_u'
    case 4:
      return signed ? 'i64.load32_s' : 'i64.load32_u'
    case 8:
      return 'i64.load'
    default:
      throw new RangeError(`no integer load of ${size} bytes`)
  }
}

/** The integer store of a size. */
export function storeOp(size: number): 'i64.store' | 'i64.store8' | 'i64.store16' | 'i64.store32' {
  switch (size) {
    case 1:
      return 'i64.store8'
    case 2:
      return 'i64.store16'
    case 4:
      return 'i64.store32'
    case 8:
      return 'i64.store'
    default:
      throw new RangeError(`no integer store of ${size} bytes`)
  }
}

/**
 * Changes an aligned integer, at once. Where another thread has come between its load and its exchange it is computed anew.
 *
 * @param old - what it was, zero-extended
 * @param at - machine address; 0: it is elsewhere, and `store` stores it
 * @param compute - what it is to be, from what it was, sign-extended
 */
export function exchangeInteger(
  f: FunctionBuilder,
  old: Local<'i64'>,
  at: I32,
  size: number,
  compute: (old: I64) => I64,
  store?: (value: I64) => void,
): void {
  f.loop((again) => {
    const value = f.let(compute(signExtend(old.get, size)))
    const exchange = (): void => {
      const op = (
        size === 8 ? 'i64.atomic.rmw.cmpxchg' : `i64.atomic.rmw${8 * size}.cmpxchg_u`
      ) as 'i64.atomic.rmw.cmpxchg'
      const found = f.atomic(op, at, [old.get, zeroExtend(value, size)])
      const isOther = f.let(found.ne(old.get))
      f.set(old, found)
      f.brIf(isOther, again)
    }
    if (store === undefined) exchange()
    else f.if(at, exchange, () => store(value))
  })
}

/** Makes the new halves of 16 bytes from the old ones. */
export type ChangePair = (low: I64, high: I64) => readonly [low: I64, high: I64]

export function changePair(f: FunctionBuilder, place: I32, compute: ChangePair): void {
  const pair = compute(f.load('i64.load', place), f.load('i64.load', place, 8)).map((half) => f.let(half))
  pair.forEach((half, i) => f.store('i64.store', place, half, 8 * i))
}

/** Takes the lock of pairs. @returns 0 where another thread keeps it for long: that does not execute just now */
export function lockPairs(f: FunctionBuilder, state: I32): I32 {
  const lock = f.load('i32.load', state, S_PAIR_LOCK)
  const [isTaken, tries] = [f.local('i32'), f.local('i32')]
  f.set(tries, I32.of(PAIR_TRIES))
  f.loop((again) => {
    f.set(isTaken, f.atomic('i32.atomic.rmw.cmpxchg', lock, [I32.of(0), I32.of(1)]).eqz())
    f.set(tries, tries.get.sub(1))
    f.brIf(isTaken.get.eqz().and(tries.get.ne(0)), again)
  })
  return isTaken.get
}

export function unlockPairs(f: FunctionBuilder, state: I32): void {
  f.store('i32.atomic.store', f.load('i32.load', state, S_PAIR_LOCK), I32.of(0), 0)
}

/** Sign-extends from `size` bytes. */
export function signExtend(value: I64, size: number): I64 {
  return size === 1 ? value.extend8S() : size === 2 ? value.extend16S() : size === 4 ? value.extend32S() : value
}

/** Zero-extends from `size` bytes. */
export function zeroExtend(value: I64, size: number): I64 {
  return size === 8 ? value : value.and((1n << BigInt(8 * size)) - 1n)
}

/** Bit `bit` of RFLAGS if `condition` (0 or 1), else 0. */
export function flagBit(condition: I32, mask: number): I64 {
  return condition.toI64U().shl(31 - Math.clz32(mask))
}

/** `condition ? a : b` for 64-bit values. */
export function choose(condition: I32, whenTrue: I64Like, whenFalse: I64Like): I64 {
  return select(condition, I64.of(whenTrue), I64.of(whenFalse))
}

/** Addresses of memory operands, as generated code computes them from a record. */

/** base + index·scale + displacement, 64 bits, as the record has them. */
export function flatOffset(f: FunctionBuilder, state: I32, record: I32): I64 {
  const register = (field: number): I64 =>
    f.loadExpression('i64.load', state.add(f.loadExpression('i32.load16_u', record, field)), 0)
  const scale = f.loadExpression('i64.load8_u', record, R_SCALE)
  return register(R_BASE)
    .add(register(R_INDEX).shl(scale))
    .add(f.loadExpression('i64.load32_s', record, R_DISP))
}

/** Whether the operand lies in a flat segment and has a 32-bit address: 32-bit code, nearly always. */
export function isFlat32(f: FunctionBuilder, state: I32, record: I32, kind: I32): I32 {
  const segment = state.add(f.loadExpression('i32.load8_u', record, R_SEGMENT).shl(Math.log2(SEG_BYTES)))
  const rights = f.loadExpression('i32.load8_u', segment, S_SEGMENTS + SEG_RIGHTS)
  return kind.eq(ADDRESS_CHECKED | ADDRESS_32).and(rights.shrU(Math.log2(SEG_FLAT)))
}

/** A function that multiplies, and the functions of its module. */
export type Multiplier = { readonly f: FunctionBuilder } & Pick<FloatModule, 'shared'>

/** The upper half of a product of 64 by 64 bits. */
export function highUnsigned(c: Multiplier, a: I64, b: I64): I64 {
  return c.f.call(multiplyHigh(c), a, b)
}

/** The same of signed numbers. */
export function highSigned(c: Multiplier, a: I64, b: I64): I64 {
  const high = highUnsigned(c, a, b)
  return c.f.let(high.sub(a.shrS(63).and(b)).sub(b.shrS(63).and(a)))
}

/** Whether a signed product has more than the 64 bits of `result`. */
export const productOverflows = (c: Multiplier, a: I64, b: I64, result: I64): I32 =>
  highSigned(c, a, b).ne(result.shrS(63))
