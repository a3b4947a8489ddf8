import { I32, I64, select } from '@retrap/wasm-emitter'
import type { Form as Row } from '@retrap/arm-decoder'
import type { ArmContext } from './context.ts'
import { flagsOfBits, flagsOfDifference, flagsOfSum } from './flags.ts'
import { fieldOf, valueOf, type ArmForm } from '../state/form.ts'
import { familyOf, type Family, type Semantics } from './semantics.ts'
import { extended, withShiftedRegister, isWide, truncated } from './operands.ts'

/** Additions and subtractions, with and without flags, and comparisons under a condition. */

/** ADD, SUB, ADDS and SUBS of the first operand and `b`. */
function add(c: ArmContext, form: ArmForm, b: I64): void {
  const wide = isWide(form)
  const { attributes } = form.row
  const a = c.n(wide)
  const right = c.let(b)
  const subtracts = attributes.has('minus')
  const result = c.let(truncated(subtracts ? a.sub(right) : a.add(right), wide))
  if (attributes.has('flags')) {
    c.setFlags(subtracts ? flagsOfDifference(a, right, result, wide) : flagsOfSum(a, right, result, wide))
  }
  c.setD(result, wide)
}

/** The operand of 12 bits, which may be shifted by 12. */
const immediate12 = (row: Row, word: number): bigint =>
  BigInt(fieldOf(row, 'i', word)) << (fieldOf(row, 'h', word) === 1 ? 12n : 0n)

const addImmediate: Semantics = {
  selectors: 'f',
  immediate: immediate12,
  emit: (c, form) => add(c, form, c.immediate),
}

const addShifted = /*#__PURE__*/ withShiftedRegister(add)

const addExtended: Semantics = {
  selectors: 'fe',
  small: (row, word) => fieldOf(row, 's', word),
  emit(c, form) {
    const wide = isWide(form)
    add(c, form, truncated(extended(c.m(true), valueOf(form, 'e')).shl(c.small.toI64U()), wide))
  },
}

const addCarry: Semantics = {
  selectors: 'f',
  emit(c, form) {
    const wide = isWide(form)
    const { attributes } = form.row
    const a = c.n(wide)
    const b = c.let(attributes.has('minus') ? truncated(c.m(wide).xor(-1), wide) : c.m(wide))
    const result = c.let(truncated(a.add(b).add(c.flags.c.toI64U()), wide))
    if (attributes.has('flags')) c.setFlags(flagsOfSum(a, b, result, wide))
    c.setD(result, wide)
  },
}

/** Flags of a comparison where a condition holds, else the four bits of the instruction. */
const compareConditional: Semantics = {
  selectors: 'fc',
  immediate: (row, word) => BigInt(fieldOf(row, 'i', word)),
  small: (row, word) => fieldOf(row, 'v', word),
  emit(c, form) {
    const wide = isWide(form)
    const a = c.n(wide)
    const b = form.row.fields.has('m') ? c.m(wide) : c.immediate
    const negative = form.row.mnemonic === 'CCMN'
    const result = c.let(truncated(negative ? a.add(b) : a.sub(b), wide))
    const compared = negative ? flagsOfSum(a, b, result, wide) : flagsOfDifference(a, b, result, wide)
    const otherwise = flagsOfBits(c.small)
    const holds = c.let(c.holds(valueOf(form, 'c')))
    c.setFlags({
      n: select(holds, compared.n, otherwise.n),
      z: select(holds, compared.z, otherwise.z),
      c: select(holds, compared.c, otherwise.c),
      v: select(holds, compared.v, otherwise.v),
    })
  },
}

const selectOne: Semantics = {
  selectors: 'fc',
  emit(c, form) {
    const wide = isWide(form)
    const other = c.m(wide)
    const changed: Readonly<Record<string, () => I64>> = {
      CSEL: () => other,
      CSINC: () => other.add(1),
      CSINV: () => other.xor(-1),
      CSNEG: () => I64.of(0).sub(other),
    }
    c.setD(select(c.holds(valueOf(form, 'c')), c.n(wide), changed[form.row.mnemonic]!()), wide)
  },
}

/** RMIF, SETF8, SETF16, CFINV, AXFLAG and XAFLAG. */
const flagInstruction: Semantics = {
  selectors: '',
  immediate: (row, word) => BigInt(fieldOf(row, 'i', word)),
  small: (row, word) => fieldOf(row, 'v', word),
  emit(c, form) {
    const { n, z, c: carry, v } = c.flags
    switch (form.row.mnemonic) {
      case 'RMIF': {
        const bits = c.let(c.n(true).rotl(I64.of(64).sub(c.immediate)).toI32())
        const given = flagsOfBits(bits)
        const has = (bit: number): I32 => c.small.and(bit)
        c.setFlags({
          n: select(has(8), given.n, n),
          z: select(has(4), given.z, z),
          c: select(has(2), given.c, carry),
          v: select(has(1), given.v, v),
        })
        break
      }
      case 'SETF8':
      case 'SETF16': {
        const top = form.row.mnemonic === 'SETF8' ? 8 : 16
        const value = c.n(false)
        const result = value.shl(64 - top)
        const next = value.shrU(top).xor(value.shrU(top - 1))
        c.setFlags({ n: result, z: result, c: carry, v: next.toI32().and(1) })
        break
      }
      case 'CFINV':
        c.setFlags({ n, z, c: carry.xor(1), v })
        break
      case 'AXFLAG': {
        // Z is set if Z or V was set; C if C was set and V clear.
        const zero = select(v, I64.of(0), z)
        c.setFlags({ n: I64.of(1), z: zero, c: carry.and(v.eqz()), v: I32.of(0) })
        break
      }
      default: {
        const isZero = c.let(z.eqz())
        const isCarry = c.let(carry)
        c.setFlags({
          n: isCarry.or(isZero).eqz().toI64U().shl(63),
          z: isZero.and(isCarry).eqz().toI64U(),
          c: isCarry.or(isZero),
          v: isCarry.eqz().and(isZero),
        })
      }
    }
  },
}

/** The family's semantics of a row. */
export const arithmetic: Family<Semantics> = familyOf<Semantics>({
  add: ({ fields }) => (fields.has('i') ? addImmediate : fields.has('e') ? addExtended : addShifted),
  'add-carry': addCarry,
  'compare-conditional': compareConditional,
  select: selectOne,
  flags: flagInstruction,
})
