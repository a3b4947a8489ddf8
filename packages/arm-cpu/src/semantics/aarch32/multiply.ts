import { I64, select, type I32 } from '@retrap/wasm-emitter'
import type { ArmContext } from '../context.ts'
import { fieldOf } from '../../state/form.ts'
import { R_A, R_D } from '../../state/record.ts'
import { emitCrc } from '../multiply.ts'
import { familyOf, type Family } from '../semantics.ts'
import { lane } from './media.ts'
import { setFlagsOutside, type A32Form, type A32Semantics } from './semantics.ts'

/** Multiplication and division, extension, reversal and bit fields of A32. */

/** Sets N and Z, and keeps C and V. */
function setSignAndZero(c: ArmContext, form: A32Form, result: I64): void {
  if (form.values.get('s') !== 1) return
  const { c: carry, v } = c.flags
  setFlagsOutside(c, form, { n: result, z: result, c: carry, v })
}

const multiply: A32Semantics = {
  selectors: 's',
  emit(c, form) {
    const { name } = form.row
    const product = c.n(false).mul(c.m(false))
    const sum = name === 'MLA' ? product.add(c.a(false)) : name === 'MLS' ? c.a(false).sub(product) : product
    const result = c.let(sum.extend32S())
    setSignAndZero(c, form, result)
    c.setD(result, false)
  },
}

/** The low half goes to field `a`. */
const multiplyLong: A32Semantics = {
  selectors: 's',
  emit(c, form) {
    const { name, sign, attributes } = form.row
    const isSigned = sign === 'S'
    const wide = (value: I64): I64 => (isSigned ? value.extend32S() : value)
    const [high, lower] = [c.d(false), c.a(false)]
    let result = wide(c.n(false)).mul(wide(c.m(false)))
    if (name === 'UMAAL') result = result.add(high).add(lower)
    else if (attributes.has('accumulate')) result = result.add(lower.or(high.shl(32)))
    result = c.let(result)
    setSignAndZero(c, form, result)
    c.write(R_A, result, false)
    c.write(R_D, result.shrU(32), false)
  },
}

/** By zero the quotient is zero; the smallest number by −1 is itself. */
const divide: A32Semantics = {
  selectors: '',
  emit(c, { row }) {
    const isSigned = row.sign === 'S'
    const [n, m] = [c.n(false), c.m(false)].map((value) => c.let(isSigned ? value.extend32S() : value))
    const divisor = select(m!.eqz(), I64.of(1), m!)
    const quotient = isSigned ? n!.divS(divisor) : n!.divU(divisor)
    c.setD(select(m!.eqz(), I64.of(0), quotient), false)
  },
}

/** Rotated by 0, 8, 16 or 24. */
const extend: A32Semantics = {
  selectors: '',
  small: (row, word) => fieldOf(row, 'r', word) * 8,
  emit(c, { row }) {
    const rotated = c.m(false).toI32().rotr(c.small)
    const wide = lane(rotated, 0, 8 * row.size, row.sign === 'S').toI64U()
    c.setD(row.fields.has('n') ? c.n(false).add(wide) : wide, false)
  },
}

const swapBytes = (value: I32): I32 =>
  value
    .rotl(8)
    .and(0x00ff_00ff)
    .or(value.rotr(8).and(0xff00_ff00 | 0))

const swapBits = (value: I32, count: number, mask: number): I32 =>
  value.shrU(count).and(mask).or(value.and(mask).shl(count))

const REVERSALS: Readonly<Record<string, (value: I32, c: ArmContext) => I32>> = {
  CLZ: (value) => value.clz(),
  REV: swapBytes,
  REV16: (value, c) => c.let(swapBytes(value)).rotl(16),
  REVSH: (value, c) => c.let(swapBytes(value)).rotl(16).extend16S(),
  RBIT(value, c) {
    const nibbles = c.let(swapBits(c.let(swapBits(value, 1, 0x5555_5555)), 2, 0x3333_3333))
    return swapBytes(c.let(swapBits(nibbles, 4, 0x0f0f_0f0f)))
  },
}

const reverse: A32Semantics = {
  selectors: '',
  emit(c, { row }) {
    const operation = REVERSALS[row.name]!
    c.setD(operation(c.let(c.m(false).toI32()), c).toI64U(), false)
  },
}

const checksum: A32Semantics = { selectors: '', emit: (c, { row }) => emitCrc(c, row) }

/** From bit `R_SMALL` on; the immediate is the mask of the field, at bit 0. */
const bitfield: A32Semantics = {
  selectors: '',
  small: (row, word) => fieldOf(row, 'i', word),
  immediate(row, word) {
    const [first, last] = [fieldOf(row, 'i', word), fieldOf(row, 'w', word)]
    const width = row.sign === '' ? last - first + 1 : last + 1
    return (1n << BigInt(width)) - 1n
  },
  emit(c, { row }) {
    const mask = c.let(c.immediate)
    const first = c.let(c.small.toI64U())
    if (row.sign === '') {
      const field = row.fields.has('n') ? c.n(false).and(mask) : I64.of(0)
      c.setD(c.d(false).and(mask.shl(first).xor(-1)).or(field.shl(first)), false)
      return
    }
    const value = c.let(c.n(false).shrU(first).and(mask))
    if (row.sign === 'U') c.setD(value, false)
    else {
      // The field's uppermost bit, and all above it.
      const sign = c.let(mask.add(1).shrU(1))
      c.setD(value.xor(sign).sub(sign), false)
    }
  },
}

/** The family's semantics of a row. Products of halves are in `multiply-halves.ts`. */
export const multiplication: Family<A32Semantics> = familyOf<A32Semantics>({
  multiply: (row) => (row.sign === '' ? multiply : undefined),
  'multiply-long': (row) => (row.attributes.has('dual') || row.fields.has('x') ? undefined : multiplyLong),
  divide,
  extend: (row) => (row.size === 0 ? undefined : extend),
  crc: checksum,
  reverse,
  bitfield,
})
