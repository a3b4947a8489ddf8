import type { Form as Row } from '@retrap/arm-decoder'
import { I64 } from '@retrap/wasm-emitter'
import type { ArmContext } from '../context.ts'
import { R_A, R_D } from '../../state/record.ts'
import type { A32Form, A32Semantics } from './semantics.ts'
import { setQ } from './status-registers.ts'

/** Multiplication of halves of registers, of one or two pairs of them, and of the most significant word. */

/** A half of a register, signed. */
const half = (value: I64, top: boolean): I64 => (top ? value.shrU(16) : value).extend16S()

/** Writes the sum of a product and the third operand, if any; sets PSTATE.Q if it does not fit 32 bits. */
function accumulate(c: ArmContext, { row }: A32Form, product: I64): void {
  const sum = c.let(row.fields.has('a') ? product.add(c.a(false).extend32S()) : product)
  const result = c.let(sum.extend32S())
  setQ(c, result.ne(sum))
  c.setD(result, false)
}

/** Adds a product to 64 bits, the low half of which field `a` names. */
function accumulateLong(c: ArmContext, product: I64): void {
  const sum = c.let(c.d(false).shl(32).or(c.a(false)).add(product))
  c.write(R_A, sum, false)
  c.write(R_D, sum.shrU(32), false)
}

/** SMLA and SMUL of two halves, SMLAW and SMULW of a word and a half. */
const ofHalves: A32Semantics = {
  selectors: 'xy',
  emit(c, form) {
    const { row, values } = form
    const second = half(c.m(false), values.get('y') === 1)
    if (row.fields.has('x')) accumulate(c, form, half(c.n(false), values.get('x') === 1).mul(second))
    else accumulate(c, form, c.n(false).extend32S().mul(second).shrS(16))
  },
}

const ofHalvesLong: A32Semantics = {
  selectors: 'xy',
  emit(c, { values }) {
    accumulateLong(c, half(c.n(false), values.get('x') === 1).mul(half(c.m(false), values.get('y') === 1)))
  },
}

/** The products of both halves, added or subtracted; X exchanges the halves of the second operand. */
function ofPairs(c: ArmContext, row: Row): I64 {
  const name = row.name
  const [n, m] = [c.let(c.n(false)), c.let(c.m(false))]
  const exchanges = name.endsWith('X')
  const low = half(n, false).mul(half(m, exchanges))
  const high = half(n, true).mul(half(m, !exchanges))
  return c.let(name.includes('SD') || name.includes('SLD') ? low.sub(high) : low.add(high))
}

const dual: A32Semantics = { selectors: '', emit: (c, form) => accumulate(c, form, ofPairs(c, form.row)) }
const dualLong: A32Semantics = { selectors: '', emit: (c, { row }) => accumulateLong(c, ofPairs(c, row)) }

/** The upper word of a product; R rounds. */
const mostSignificant: A32Semantics = {
  selectors: '',
  emit(c, { row }) {
    const name = row.name
    const product = c.n(false).extend32S().mul(c.m(false).extend32S())
    const accumulator = row.fields.has('a') ? c.a(false).shl(32) : I64.of(0)
    const sum = name.startsWith('SMMLS') ? accumulator.sub(product) : accumulator.add(product)
    c.setD((name.endsWith('R') ? sum.add(0x8000_0000n) : sum).shrU(32), false)
  },
}

/** The family's semantics of a row. */
export function halfMultiplication(row: Row): A32Semantics | undefined {
  const name = row.name
  if (row.operation === 'multiply-long') {
    if (row.fields.has('x')) return ofHalvesLong
    return /^SML[AS]LDX?$/.test(name) ? dualLong : undefined
  }
  if (row.operation !== 'multiply') return undefined
  if (row.fields.has('y')) return ofHalves
  if (name.startsWith('SMM')) return mostSignificant
  return /^SM[UL][AS]?[AS]?DX?$/.test(name) ? dual : undefined
}
