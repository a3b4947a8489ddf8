import { I64 } from '@retrap/wasm-emitter'
import { FLAGS_ARITHMETIC, FLAG_CF, FLAG_OF } from '../state/state-layout.ts'
import { choose, signExtend, zeroExtend } from './integer.ts'
import type { Context, SemanticsTable } from './context.ts'
import { countOf } from './move.ts'

/** Shifts and rotates. Source: Intel SDM vol. 2, SAL/SAR/SHL/SHR, RCL/RCR/ROL/ROR, SHLD, SHRD, SARX/SHLX/SHRX, RORX. */

/** An operation on a zero-extended value. `count` is masked and may be zero, in which case the flags are not used. */
interface Operation {
  /** The new value; upper bits are ignored. */
  readonly value: (x: I64, count: I64, bits: number) => I64
  /** CF after, bit 0 of it. @param value - what has become of x */
  readonly carry: (x: I64, count: I64, bits: number, value: I64) => I64
  /** OF after, bit 0 of it. */
  readonly overflow: (x: I64, value: I64, carry: I64, bits: number) => I64
}

function topBit(value: I64, bits: number): I64 {
  return value.shrU(bits - 1).and(1)
}

const shiftLeft: Operation = {
  value: (x, count) => x.shl(count),
  carry: (x, count, bits, value) => (bits === 64 ? x.shrU(I64.of(64).sub(count)) : value.shrU(bits)).and(1),
  overflow: (_x, value, carry, bits) => topBit(value, bits).xor(carry),
}

const shiftRight: Operation = {
  value: (x, count) => x.shrU(count),
  carry: (x, count) => x.shrU(count.sub(1)).and(1),
  overflow: (x, _value, _carry, bits) => topBit(x, bits),
}

const shiftArithmetic: Operation = {
  value: (x, count, bits) => signExtend(x, bits / 8).shrS(count),
  carry: (x, count, bits) =>
    signExtend(x, bits / 8)
      .shrS(count.sub(1))
      .and(1),
  overflow: () => I64.of(0),
}

/** Shifts, which write all six flags where the count is not zero, and rotates, which write CF and OF only. */
function shift(c: Context, operation: Operation, isRotate = false): void {
  const size = c.sizeOf(0)
  const bits = 8 * size
  const count = c.let(countOf(c, 1).and(size === 8 ? 63 : 31))
  const n = c.let(count.toI64U())
  let [before, after] = [I64.of(0), I64.of(0)]
  c.modify(0, (old) => {
    before = c.let(zeroExtend(old, size))
    after = c.let(operation.value(before, n, bits))
    return after
  })
  c.changeFlags({
    written: isRotate ? FLAG_CF | FLAG_OF : FLAGS_ARITHMETIC,
    when: count,
    ...(isRotate ? {} : { result: signExtend(after, size) }),
    from: [before, n, after],
    flags: (x: I64, by: I64, value: I64) => {
      const carry = operation.carry(x, by, bits, value)
      return { carry: carry.toI32(), overflow: operation.overflow(x, value, carry, bits).toI32() }
    },
  })
}

const rotateLeft: Operation = {
  value: (x, count, bits) => {
    if (bits === 64) return x.rotl(count)
    if (bits === 32) return x.toI32().rotl(count.toI32()).toI64U()
    const by = count.and(bits - 1)
    return x.shl(by).or(x.shrU(I64.of(bits).sub(by)))
  },
  carry: (_x, _count, _bits, value) => value.and(1),
  overflow: (_x, value, carry, bits) => topBit(value, bits).xor(carry),
}

const rotateRight: Operation = {
  value: (x, count, bits) => {
    if (bits === 64) return x.rotr(count)
    if (bits === 32) return x.toI32().rotr(count.toI32()).toI64U()
    const by = count.and(bits - 1)
    return x.shrU(by).or(x.shl(I64.of(bits).sub(by)))
  },
  carry: (_x, _count, bits, value) => topBit(value, bits),
  overflow: (_x, value, carry, bits) => carry.xor(topBit(value.shl(1), bits)),
}

/** Through carry: a rotation of one bit more. 8- and 16-bit counts are taken modulo 9 and 17; a count that becomes zero changes nothing. */
function rotateCarry(c: Context, left: boolean): void {
  const size = c.sizeOf(0)
  const bits = 8 * size
  const given = c.let(countOf(c, 1).and(size === 8 ? 63 : 31))
  const carryIn = c.let(c.carry().toI64U())
  let [carry, result] = [I64.of(0), I64.of(0)]
  c.modify(0, (old) => {
    const x = c.let(zeroExtend(old, size))
    const whole = c.let(given.toI64U())
    const count = c.let(bits < 32 ? whole.remU(bits + 1) : whole)
    const [value, out] = left
      ? rotateCarryLeft(c, x, carryIn, count, bits)
      : rotateCarryRight(c, x, carryIn, count, bits)
    // 64-bit shift counts wrap: zero has to be told apart.
    const zero = c.let(count.eqz())
    result = c.let(choose(zero, x, value))
    carry = c.let(choose(zero, carryIn, out))
    return result
  })
  c.changeFlags({
    written: FLAG_CF | FLAG_OF,
    when: given,
    from: [result, carry],
    flags: (value: I64, out: I64) => ({
      carry: out.toI32(),
      overflow: topBit(value, bits)
        .xor(left ? out : topBit(value.shl(1), bits))
        .toI32(),
    }),
  })
}

/** The value and the carry, bit 0 of it. The count is not zero. */
type CarryRotation = (c: Context, x: I64, carry: I64, count: I64, bits: number) => readonly [I64, I64]

const rotateCarryLeft: CarryRotation = (c, x, carryIn, count, bits) => {
  const rest = c.let(I64.of(bits === 64 ? 64 : bits + 1).sub(count))
  if (bits === 64) {
    const value = x
      .shl(count)
      .or(carryIn.shl(count.sub(1)))
      .or(x.shrU(rest).shrU(1))
    return [value, x.shrU(rest).and(1)]
  }
  const whole = c.let(x.or(carryIn.shl(bits)))
  const value = c.let(whole.shl(count).or(whole.shrU(rest)))
  return [value, value.shrU(bits).and(1)]
}

const rotateCarryRight: CarryRotation = (c, x, carryIn, count, bits) => {
  const rest = c.let(I64.of(bits === 64 ? 64 : bits + 1).sub(count))
  if (bits === 64) {
    return [x.shrU(count).or(carryIn.shl(rest)).or(x.shl(rest).shl(1)), x.shrU(count.sub(1)).and(1)]
  }
  const whole = c.let(x.or(carryIn.shl(bits)))
  const value = c.let(whole.shrU(count).or(whole.shl(rest)))
  return [value, value.shrU(bits).and(1)]
}

/** SHLD and SHRD. 16-bit counts over 16 are undefined; here the operands follow one another in a circle. */
function doubleShift(c: Context, left: boolean): void {
  const size = c.sizeOf(0)
  const bits = 8 * size
  const source = c.readU(1)
  const count = c.let(countOf(c, 2).and(size === 8 ? 63 : 31))
  let [before, shiftedOut, result] = [I64.of(0), I64.of(0), I64.of(0)]
  c.modify(0, (old) => {
    const d = c.let(zeroExtend(old, size))
    const n = c.let(count.toI64U())
    let value: I64
    let carry: I64
    if (bits === 64) {
      const rest = c.let(I64.of(64).sub(n))
      value = left ? d.shl(n).or(source.shrU(rest)) : d.shrU(n).or(source.shl(rest))
      carry = left ? d.shrU(rest) : d.shrU(n.sub(1))
    } else if (bits === 32) {
      const pair = c.let(left ? d.shl(32).or(source) : source.shl(32).or(d))
      value = left ? pair.shl(n).shrU(32) : pair.shrU(n)
      carry = left ? pair.shrU(I64.of(64).sub(n)) : pair.shrU(n.sub(1))
    } else {
      const circle = c.let(d.shl(32).or(source.shl(16)).or(d))
      value = left ? circle.shl(n).shrU(32) : circle.shrU(n)
      carry = left ? circle.shrU(I64.of(48).sub(n)) : circle.shrU(n.sub(1))
    }
    const final = c.let(signExtend(choose(count, value, d), size))
    shiftedOut = c.let(carry)
    before = d
    result = final
    return final
  })
  c.changeFlags({
    written: FLAGS_ARITHMETIC,
    when: count,
    result,
    from: [before, shiftedOut, result],
    flags: (old: I64, out: I64, value: I64) => ({
      carry: out.toI32().and(1),
      overflow: topBit(zeroExtend(value, size), bits).xor(topBit(old, bits)).toI32(),
    }),
  })
}

/** BMI2: no flags. */
function flagless(c: Context, operation: (x: I64, count: I64, size: number) => I64): void {
  const size = c.sizeOf(0)
  const x = c.readU(1)
  const count = c.let(c.readU(2).and(8 * size - 1))
  c.write(0, operation(x, count, size))
}

export const shifts: SemanticsTable = {
  SHL: { emit: (c) => shift(c, shiftLeft) },
  SHR: { emit: (c) => shift(c, shiftRight) },
  SAR: { emit: (c) => shift(c, shiftArithmetic) },
  ROL: { emit: (c) => shift(c, rotateLeft, true) },
  ROR: { emit: (c) => shift(c, rotateRight, true) },
  RCL: { emit: (c) => rotateCarry(c, true) },
  RCR: { emit: (c) => rotateCarry(c, false) },
  SHLD: { emit: (c) => doubleShift(c, true) },
  SHRD: { emit: (c) => doubleShift(c, false) },
  SHLX: { direct: true, emit: (c) => flagless(c, (x, n) => x.shl(n)) },
  SHRX: { direct: true, emit: (c) => flagless(c, (x, n) => x.shrU(n)) },
  SARX: { direct: true, emit: (c) => flagless(c, (x, n, size) => signExtend(x, size).shrS(n)) },
  RORX: {
    direct: true,
    emit: (c) => flagless(c, (x, n, size) => (size === 8 ? x.rotr(n) : x.toI32().rotr(n.toI32()).toI64U())),
  },
}
