import { I64 } from '@retrap/wasm-emitter'
import { FLAG_CF, FLAG_OF } from '../state-layout.ts'
import { choose, signExtend, zeroExtend } from './integer.ts'
import type { Context } from './context.ts'
import { countOf } from './move.ts'
import type { SemanticsTable } from './table.ts'

/** Shifts and rotates. Source: Intel SDM vol. 2, SAL/SAR/SHL/SHR, RCL/RCR/ROL/ROR, SHLD, SHRD, SARX/SHLX/SHRX, RORX. */

interface Shifted {
  /** The new value; upper bits are ignored. */
  readonly value: I64
  /** CF after, bit 0 of it. */
  readonly carry: I64
  /** OF after, bit 0 of it. */
  readonly overflow: I64
}

/** `count` is masked and may be zero, in which case the flags are not used. */
type Operation = (c: Context, x: I64, count: I64, bits: number) => Shifted

function topBit(value: I64, bits: number): I64 {
  return value.shrU(bits - 1).and(1)
}

const shiftLeft: Operation = (c, x, count, bits) => {
  const value = c.let(x.shl(count))
  const carry = c.let((bits === 64 ? x.shrU(I64.of(64).sub(count)) : value.shrU(bits)).and(1))
  return { value, carry, overflow: topBit(value, bits).xor(carry) }
}

const shiftRight: Operation = (c, x, count, bits) => {
  const carry = c.let(x.shrU(count.sub(1)).and(1))
  return { value: x.shrU(count), carry, overflow: topBit(x, bits) }
}

const shiftArithmetic: Operation = (c, x, count, bits) => {
  const signed = c.let(signExtend(x, bits / 8))
  return { value: signed.shrS(count), carry: signed.shrS(count.sub(1)).and(1), overflow: I64.of(0) }
}

/** All six flags are written where the count is not zero. */
function shift(c: Context, operation: Operation): void {
  const size = c.sizeOf(0)
  const count = c.let(countOf(c, 1).and(size === 8 ? 63 : 31))
  let result = I64.of(0)
  let bits = I64.of(0)
  c.modify(0, (old) => {
    const x = c.let(zeroExtend(old, size))
    const shifted = operation(c, x, c.let(count.toI64U()), 8 * size)
    const value = c.let(signExtend(shifted.value, size))
    bits = c.let(shifted.carry.or(shifted.overflow.shl(11)))
    result = value
    return value
  })
  c.f.if(count, () => c.flagsResult(result, bits))
}

/** Rotates write CF and OF only. */
function rotate(c: Context, operation: Operation): void {
  const size = c.sizeOf(0)
  const count = c.let(countOf(c, 1).and(size === 8 ? 63 : 31))
  let changed = I64.of(0)
  c.modify(0, (old) => {
    const x = c.let(zeroExtend(old, size))
    const rotated = operation(c, x, c.let(count.toI64U()), 8 * size)
    const value = c.let(rotated.value)
    changed = c.let(rotated.carry.or(rotated.overflow.shl(11)))
    return value
  })
  c.f.if(count, () =>
    c.flagsExplicit(
      c
        .allFlags()
        .and(~(FLAG_CF | FLAG_OF))
        .toI64U()
        .or(changed),
    ),
  )
}

const rotateLeft: Operation = (c, x, count, bits) => {
  let value: I64
  if (bits === 64) value = c.let(x.rotl(count))
  else {
    const by = c.let(count.and(bits - 1))
    value = c.let(x.shl(by).or(x.shrU(I64.of(bits).sub(by))))
  }
  const carry = c.let(value.and(1))
  return { value, carry, overflow: topBit(value, bits).xor(carry) }
}

const rotateRight: Operation = (c, x, count, bits) => {
  let value: I64
  if (bits === 64) value = c.let(x.rotr(count))
  else {
    const by = c.let(count.and(bits - 1))
    value = c.let(x.shrU(by).or(x.shl(I64.of(bits).sub(by))))
  }
  const carry = c.let(topBit(value, bits))
  return { value, carry, overflow: carry.xor(topBit(value.shl(1), bits)) }
}

/** Through carry: a rotation of one bit more. 8- and 16-bit counts are taken modulo 9 and 17; a count that becomes zero changes nothing. */
function rotateCarry(left: boolean): Operation {
  return (c, x, given, bits) => {
    const carryIn = c.let(c.carry().toI64U())
    const count = c.let(bits < 32 ? given.remU(bits + 1) : given)
    let value: I64
    let carry: I64
    if (bits === 64) {
      const rest = c.let(I64.of(64).sub(count))
      value = left
        ? x
            .shl(count)
            .or(carryIn.shl(count.sub(1)))
            .or(x.shrU(rest).shrU(1))
        : x.shrU(count).or(carryIn.shl(rest)).or(x.shl(rest).shl(1))
      carry = left ? x.shrU(rest).and(1) : x.shrU(count.sub(1)).and(1)
    } else {
      const whole = c.let(x.or(carryIn.shl(bits)))
      const rest = c.let(I64.of(bits + 1).sub(count))
      value = c.let(left ? whole.shl(count).or(whole.shrU(rest)) : whole.shrU(count).or(whole.shl(rest)))
      carry = value.shrU(bits).and(1)
    }
    // 64-bit shift counts wrap: zero has to be told apart.
    const zero = c.let(count.eqz())
    const finalValue = c.let(choose(zero, x, value))
    const finalCarry = c.let(choose(zero, carryIn, carry))
    const overflow = left
      ? topBit(finalValue, bits).xor(finalCarry)
      : topBit(finalValue, bits).xor(topBit(finalValue.shl(1), bits))
    return { value: finalValue, carry: finalCarry, overflow }
  }
}

/** SHLD and SHRD. 16-bit counts over 16 are undefined; here the operands follow one another in a circle. */
function doubleShift(c: Context, left: boolean): void {
  const size = c.sizeOf(0)
  const bits = 8 * size
  const source = c.readU(1)
  const count = c.let(countOf(c, 2).and(size === 8 ? 63 : 31))
  let result = I64.of(0)
  let flags = I64.of(0)
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
    flags = c.let(carry.and(1).or(topBit(zeroExtend(final, size), bits).xor(topBit(d, bits)).shl(11)))
    result = final
    return final
  })
  c.f.if(count, () => c.flagsResult(result, flags))
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
  ROL: { emit: (c) => rotate(c, rotateLeft) },
  ROR: { emit: (c) => rotate(c, rotateRight) },
  RCL: { emit: (c) => rotate(c, rotateCarry(true)) },
  RCR: { emit: (c) => rotate(c, rotateCarry(false)) },
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
