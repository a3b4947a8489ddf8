import { I64 } from '@retrap/wasm-emitter'
import { FLAG_AF, FLAG_CF, FLAG_OF } from '../state-layout.ts'
import { flagBit, signExtend } from './integer.ts'
import type { Context } from './context.ts'
import type { SemanticsTable } from './table.ts'

/**
 * Addition, subtraction and logic.
 *
 * Source: Intel SDM vol. 2, the pages of each instruction; vol. 1, "Status Flags".
 */

function addition(c: Context): void {
  const size = c.sizeOf(0)
  const b = c.readS(1)
  let a = I64.of(0)
  let result = I64.of(0)
  c.modify(0, (old) => {
    a = c.let(old)
    result = c.let(signExtend(a.add(b), size))
    return result
  })
  c.flagsAdd(a, b, result)
}

function subtraction(c: Context): void {
  const size = c.sizeOf(0)
  const b = c.readS(1)
  let a = I64.of(0)
  let result = I64.of(0)
  c.modify(0, (old) => {
    a = c.let(old)
    result = c.let(signExtend(a.sub(b), size))
    return result
  })
  c.flagsSub(a, b, result)
}

/**
 * CF, AF and OF of an addition or subtraction with carry, from its carry-out vector: bit i is the carry (borrow) out of
 * position i.
 */
function carryFlags(vector: I64, size: number): I64 {
  const top = 8 * size - 1
  const carry = vector.shrU(top).and(1)
  const overflow = vector.xor(vector.shl(1)).shrU(top).and(1).shl(11)
  return carry.or(vector.and(8).shl(1)).or(overflow)
}

function addWithCarry(c: Context, subtract: boolean): void {
  const size = c.sizeOf(0)
  const b = c.readS(1)
  const carry = c.let(c.carry().toI64U())
  let bits = I64.of(0)
  let result = I64.of(0)
  c.modify(0, (old) => {
    const a = c.let(old)
    result = c.let(signExtend(subtract ? a.sub(b).sub(carry) : a.add(b).add(carry), size))
    const inverse = subtract ? a.xor(-1n) : a
    const sum = subtract ? result : result.xor(-1n)
    bits = c.let(carryFlags(c.let(inverse.and(b).or(inverse.or(b).and(sum))), size))
    return result
  })
  c.flagsResult(result, bits)
}

function logic(c: Context, operation: (a: I64, b: I64) => I64): void {
  const b = c.readS(1)
  let result = I64.of(0)
  c.modify(0, (old) => {
    result = c.let(operation(old, b))
    return result
  })
  c.flagsLogic(result)
}

/** INC and DEC leave CF alone. */
function step(c: Context, delta: 1 | -1): void {
  const size = c.sizeOf(0)
  const carry = c.let(c.carry().toI64U())
  let result = I64.of(0)
  c.modify(0, (old) => {
    result = c.let(signExtend(old.add(delta), size))
    return result
  })
  // INC overflows to the smallest number, DEC to the largest; AF when the low digit wrapped.
  const smallest = BigInt.asIntN(64, -(1n << BigInt(8 * size - 1)))
  const overflow = result.eq(delta === 1 ? smallest : -smallest - 1n)
  const adjust = result.and(15).eq(delta === 1 ? 0 : 15)
  c.flagsResult(result, carry.or(flagBit(overflow, FLAG_OF)).or(flagBit(adjust, FLAG_AF)))
}

export const alu: SemanticsTable = {
  ADD: { emit: addition, direct: true },
  SUB: { emit: subtraction, direct: true },
  ADC: { emit: (c) => addWithCarry(c, false), direct: true },
  SBB: { emit: (c) => addWithCarry(c, true), direct: true },
  AND: { emit: (c) => logic(c, (a, b) => a.and(b)), direct: true },
  OR: { emit: (c) => logic(c, (a, b) => a.or(b)), direct: true },
  XOR: { emit: (c) => logic(c, (a, b) => a.xor(b)), direct: true },
  CMP: {
    direct: true,
    emit: (c) => {
      const a = c.readS(0)
      const b = c.readS(1)
      c.flagsSub(a, b, c.let(signExtend(a.sub(b), c.sizeOf(0))))
    },
  },
  TEST: {
    direct: true,
    emit: (c) => c.flagsLogic(c.let(c.readS(0).and(c.readS(1)))),
  },
  INC: { emit: (c) => step(c, 1) },
  DEC: { emit: (c) => step(c, -1) },
  NEG: {
    emit: (c) => {
      let operand = I64.of(0)
      let result = I64.of(0)
      c.modify(0, (old) => {
        operand = c.let(old)
        result = c.let(signExtend(I64.of(0).sub(operand), c.sizeOf(0)))
        return result
      })
      c.flagsSub(I64.of(0), operand, result)
    },
  },
  NOT: { emit: (c) => c.modify(0, (old) => old.xor(-1n)) },
  ADCX: { emit: (c) => addCarryChain(c, FLAG_CF), direct: true },
  ADOX: { emit: (c) => addCarryChain(c, FLAG_OF), direct: true },
}

/** ADCX and ADOX: the carry goes in and out through one flag, all others stay. */
function addCarryChain(c: Context, flag: number): void {
  const size = c.sizeOf(0)
  const b = c.readU(1)
  const a = c.readU(0)
  const flags = c.let(c.allFlags().toI64U())
  const carry = c.let(flags.shrU(31 - Math.clz32(flag)).and(1))
  const sum = c.let(a.add(b).add(carry))
  const out =
    size === 4
      ? sum.shrU(32)
      : a
          .and(b)
          .or(a.or(b).and(sum.xor(-1n)))
          .shrU(63)
  const next = c.let(flags.and(~flag).or(out.shl(31 - Math.clz32(flag))))
  c.write(0, sum)
  c.flagsExplicit(next)
}
