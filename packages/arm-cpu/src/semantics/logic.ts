import { I64, select } from '@retrap/wasm-emitter'
import { bitmask } from '@retrap/arm-decoder'
import type { ArmContext } from './context.ts'
import { flagsOfResult } from './flags.ts'
import { fieldOf, type ArmForm } from '../state/form.ts'
import { R_M, R_N } from '../state/record.ts'
import { familyOf, type Family, type Semantics } from './semantics.ts'
import { shifted, withShiftedRegister, bitsOf, isWide, signed, truncated } from './operands.ts'

/** Bitwise operations, shifts, bit fields, and counts of bits. */

type Operation = (a: I64, b: I64) => I64

const and: Operation = (a, b) => a.and(b)
const or: Operation = (a, b) => a.or(b)
const exclusiveOr: Operation = (a, b) => a.xor(b)
const inverted =
  (operation: Operation): Operation =>
  (a, b) =>
    operation(a, b.xor(-1))

const OPERATIONS: Readonly<Record<string, Operation>> = {
  AND: and,
  ANDS: and,
  ORR: or,
  EOR: exclusiveOr,
  BIC: inverted(and),
  BICS: inverted(and),
  ORN: inverted(or),
  EON: inverted(exclusiveOr),
}

function combine(c: ArmContext, form: ArmForm, b: I64): void {
  const wide = isWide(form)
  const { mnemonic, attributes } = form.row
  const result = c.let(truncated(OPERATIONS[mnemonic]!(c.n(wide), b), wide))
  if (attributes.has('flags')) c.setFlags(flagsOfResult(signed(result, wide)))
  c.setD(result, wide)
}

const logicalImmediate: Semantics = {
  selectors: 'f',
  immediate(row, word) {
    const field = (letter: string): number => fieldOf(row, letter, word)
    const [low, high] = bitmask(field('p'), field('r'), field('j'), field('f') === 1)!
    return (BigInt(high) << 32n) | BigInt(low)
  },
  emit: (c, form) => combine(c, form, c.immediate),
}

const logicalShifted = /*#__PURE__*/ withShiftedRegister(combine)

const moveWide: Semantics = {
  selectors: 'f',
  small: (row, word) => 16 * fieldOf(row, 'h', word),
  immediate(row, word) {
    const value = BigInt(fieldOf(row, 'i', word)) << BigInt(16 * fieldOf(row, 'h', word))
    return row.mnemonic === 'MOVN' ? BigInt.asIntN(64, ~value) : BigInt.asIntN(64, value)
  },
  emit(c, form) {
    const wide = isWide(form)
    if (form.row.mnemonic !== 'MOVK') c.setD(c.immediate, wide)
    else c.setD(c.d(wide).and(I64.of(0xffff).shl(c.small.toI64U()).xor(-1)).or(c.immediate), wide)
  },
}

/**
 * The two shifts that make a bit field of a register: left until its top bit is the register's, then right until it lies
 * where it goes. Both are in the immediate, a byte each; the mask of BFM is what the same shifts make of ones.
 *
 * Source: Arm ARM (DDI 0487) C6.2, "UBFM": the two cases of `imms < immr` differ in the second shift by the width.
 */
const bitfield: Semantics = {
  selectors: 'f',
  immediate(row, word) {
    const bits = bitsOf(fieldOf(row, 'f', word) === 1)
    const left = bits - 1 - fieldOf(row, 'j', word)
    return BigInt(left) | (BigInt((left + fieldOf(row, 'r', word)) % bits) << 8n)
  },
  emit(c, form) {
    const wide = isWide(form)
    const amounts = c.immediate
    const left = c.let(amounts.and(0xff))
    const right = c.let(amounts.shrU(8))
    const field = (value: I64, kind: number): I64 => shifted(shifted(value, 0, left, wide), kind, right, wide)
    if (form.row.mnemonic !== 'BFM') c.setD(field(c.n(wide), form.row.mnemonic === 'SBFM' ? 2 : 1), wide)
    else {
      const mask = c.let(field(I64.of(wide ? -1n : 0xffff_ffffn), 1))
      c.setD(
        c
          .d(wide)
          .and(mask.xor(-1))
          .or(field(c.n(wide), 1)),
        wide,
      )
    }
  },
}

const extract: Semantics = {
  selectors: 'f',
  small: (row, word) => fieldOf(row, 'j', word),
  emit(c, form) {
    const wide = isWide(form)
    const amount = c.small.toI64U()
    const [n, m] = [R_N, R_M].map((field) => c.f.loadExpression('i32.load16_u', c.record, field).known)
    // ROR by an immediate is the EXTR of one register.
    if (n !== undefined && n === m) c.setD(shifted(c.n(wide), 3, amount, wide), wide)
    else if (wide) {
      const high = c.n(true).shl(1).shl(I64.of(63).sub(amount))
      c.setD(c.m(true).shrU(amount).or(high), true)
    } else c.setD(c.n(false).shl(32).or(c.m(false)).shrU(amount), false)
  },
}

const shiftVariable: Semantics = {
  selectors: 'f',
  emit(c, form) {
    const wide = isWide(form)
    const amount = c.m(wide).and(bitsOf(wide) - 1)
    // Bits 11:10 are the kind of shift.
    c.setD(shifted(c.n(wide), (form.row.value >>> 10) & 3, amount, wide), wide)
  },
}

/** Exchanges neighbouring groups of bits, where `mask` has the lower ones of all pairs. */
const exchanged = (c: ArmContext, value: I64, bits: number, mask: bigint): I64 => {
  const v = c.let(value)
  return v.shrU(bits).and(mask).or(v.and(mask).shl(bits))
}

const BYTES = 0x00ff_00ff_00ff_00ffn
const HALVES = 0x0000_ffff_0000_ffffn

const reverse: Semantics = {
  selectors: 'f',
  emit(c, form) {
    const wide = isWide(form)
    let value = c.n(wide)
    const { mnemonic } = form.row
    if (mnemonic === 'RBIT') {
      value = exchanged(c, value, 1, 0x5555_5555_5555_5555n)
      value = exchanged(c, value, 2, 0x3333_3333_3333_3333n)
      value = exchanged(c, value, 4, 0x0f0f_0f0f_0f0f_0f0fn)
    }
    value = exchanged(c, value, 8, BYTES)
    if (mnemonic !== 'REV16') value = exchanged(c, value, 16, HALVES)
    if (wide && (mnemonic === 'REV' || mnemonic === 'RBIT')) value = c.let(value).rotl(32)
    c.setD(value, wide)
  },
}

const count: Semantics = {
  selectors: 'f',
  emit(c, form) {
    const wide = isWide(form)
    const value = c.n(wide)
    const unused = 64 - bitsOf(wide)
    switch (form.row.mnemonic) {
      case 'CLZ':
        c.setD(value.clz().sub(unused), wide)
        break
      case 'CLS': {
        const sign = signed(value, wide)
        c.setD(
          sign
            .xor(sign.shrS(63))
            .clz()
            .sub(unused + 1),
          wide,
        )
        break
      }
      case 'CTZ':
        c.setD(wide ? value.ctz() : value.or(1n << 32n).ctz(), wide)
        break
      default:
        c.setD(value.popcnt(), wide)
    }
  },
}

const absolute: Semantics = {
  selectors: 'f',
  emit(c, form) {
    const wide = isWide(form)
    const value = c.let(signed(c.n(wide), wide))
    c.setD(select(value.ltS(0), I64.of(0).sub(value), value), wide)
  },
}

/** The family's semantics of a row. */
export const logic: Family<Semantics> = familyOf<Semantics>({
  logical: ({ fields }) => (fields.has('m') ? logicalShifted : logicalImmediate),
  'move-wide': moveWide,
  bitfield,
  extract,
  shift: shiftVariable,
  reverse,
  count,
  absolute,
})
