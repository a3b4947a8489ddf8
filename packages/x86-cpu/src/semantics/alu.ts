import { I64 } from '@retrap/wasm-emitter'
import { FLAGS_ARITHMETIC, FLAG_CF, FLAG_OF } from '../state/state-layout.ts'
import type { FlagParts } from './flag-parts.ts'
import { signExtend } from './integer.ts'
import { type Context, direct, type SemanticsTable } from './context.ts'

/**
 * Addition, subtraction and logic.
 *
 * Source: Intel SDM vol. 2, the pages of each instruction; vol. 1, "Status Flags".
 */

/** ADD and SUB. */
function add(c: Context, subtract: boolean): void {
  const size = c.sizeOf(0)
  const b = c.readS(1)
  let a = I64.of(0)
  let result = I64.of(0)
  c.modify(0, (old) => {
    a = c.let(old)
    result = c.let(signExtend(subtract ? a.sub(b) : a.add(b), size))
    return result
  })
  if (subtract) c.flagsSub(a, b, result)
  else c.flagsAdd(a, b, result)
}

/**
 * CF, AF and OF of an addition or subtraction with carry, from its carry-out vector: bit i is the carry (borrow) out of
 * position i.
 */
function carryFlags(a: I64, b: I64, result: I64, size: number, subtract: boolean): Partial<FlagParts> {
  const top = 8 * size - 1
  const inverse = subtract ? a.xor(-1n) : a
  const sum = subtract ? result : result.xor(-1n)
  const vector = inverse.and(b).or(inverse.or(b).and(sum))
  // Operands and result are sign-extended, so that the vector's bit 63 is its top bit.
  return {
    carry: vector.ltS(0),
    adjust: vector.toI32().shrU(3).and(1),
    overflow: vector
      .shrU(top)
      .xor(vector.shrU(top - 1))
      .toI32()
      .and(1),
  }
}

function addWithCarry(c: Context, subtract: boolean): void {
  const size = c.sizeOf(0)
  const b = c.readS(1)
  const carry = c.let(c.carry().toI64U())
  let [a, result] = [I64.of(0), I64.of(0)]
  c.modify(0, (old) => {
    a = c.let(old)
    result = c.let(signExtend(subtract ? a.sub(b).sub(carry) : a.add(b).add(carry), size))
    return result
  })
  c.changeFlags({
    written: FLAGS_ARITHMETIC,
    result,
    from: [a, b, result],
    flags: (left: I64, right: I64, sum: I64) => carryFlags(left, right, sum, size, subtract),
  })
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
  let result = I64.of(0)
  c.modify(0, (old) => {
    result = c.let(signExtend(old.add(delta), size))
    return result
  })
  // INC overflows to the smallest number, DEC to the largest; AF when the low digit wrapped.
  const smallest = BigInt.asIntN(64, -(1n << BigInt(8 * size - 1)))
  c.changeFlags({
    written: FLAGS_ARITHMETIC & ~FLAG_CF,
    result,
    from: [result],
    flags: (value: I64) => ({
      overflow: value.eq(delta === 1 ? smallest : -smallest - 1n),
      adjust: value
        .toI32()
        .and(15)
        .eq(delta === 1 ? 0 : 15),
    }),
  })
}

export const alu: SemanticsTable = {
  ADD: { emit: (c) => add(c, false), direct: true },
  SUB: { emit: (c) => add(c, true), direct: true },
  ADC: { emit: (c) => addWithCarry(c, false), direct: true },
  SBB: { emit: (c) => addWithCarry(c, true), direct: true },
  AND: { emit: (c) => logic(c, (a, b) => a.and(b)), direct: true },
  OR: { emit: (c) => logic(c, (a, b) => a.or(b)), direct: true },
  XOR: { emit: (c) => logic(c, (a, b) => a.xor(b)), direct: true },
  CMP: direct((c) => {
    const a = c.readS(0)
    const b = c.readS(1)
    c.flagsSub(a, b, c.let(signExtend(a.sub(b), c.sizeOf(0))))
  }),
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
  const isCarry = flag === FLAG_CF
  const carry = c.let((isCarry ? c.carry() : c.overflow()).toI64U())
  const sum = c.let(a.add(b).add(carry))
  c.write(0, sum)
  c.changeFlags({
    written: flag,
    from: [a, b, sum],
    flags: (x: I64, y: I64, total: I64) => {
      const wide = x.and(y).or(x.or(y).and(total.xor(-1n)))
      const out = size === 4 ? total.shrU(32).toI32() : wide.shrU(63).toI32()
      return isCarry ? { carry: out } : { overflow: out }
    },
  })
}
