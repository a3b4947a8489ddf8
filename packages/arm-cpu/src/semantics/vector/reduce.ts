import { select, type I64 } from '@retrap/wasm-emitter'
import type { Form as Row } from '@retrap/arm-decoder'
import { R_D, R_M, R_N } from '../../state/record.ts'
import type { Semantics } from '../semantics.ts'
import { element, vectorOf, writeEach } from './lanes.ts'
import { shapeOf } from './shape.ts'

/** Sums, greatest and smallest of neighbours and of all elements. */

type Combine = (a: I64, b: I64, isSigned: boolean) => I64

const add: Combine = (a, b) => a.add(b)
const greater: Combine = (a, b, isSigned) => select(isSigned ? a.ltS(b) : a.ltU(b), b, a)
const less: Combine = (a, b, isSigned) => select(isSigned ? a.ltS(b) : a.ltU(b), a, b)

const PAIRWISE: Readonly<Record<string, Combine>> = {
  ADDP: add,
  SMAXP: greater,
  UMAXP: greater,
  SMINP: less,
  UMINP: less,
}

const pairwise: Semantics = {
  selectors: 'zQ',
  emit(c, form) {
    const { row } = form
    const shape = shapeOf(form, 'd')
    const { bits, count, scalar } = shape
    const isSigned = row.sign === 'S'
    const [n, m] = [c.readVector(R_N), row.fields.has('m') ? c.readVector(R_M) : c.readVector(R_N)]
    const combine = PAIRWISE[row.mnemonic]!
    writeEach(c, shape, (i) => {
      const from = scalar || i < count / 2 ? n : m
      const first = scalar ? 0 : (2 * i) % count
      const [a, b] = [0, 1].map((k) => c.let(element(from, first + k, bits, isSigned)))
      return combine(a!, b!, isSigned)
    })
  },
}

const ACROSS: Readonly<Record<string, Combine>> = {
  ADDV: add,
  SADDLV: add,
  UADDLV: add,
  SMAXV: greater,
  UMAXV: greater,
  SMINV: less,
  UMINV: less,
}

const across: Semantics = {
  selectors: 'zQ',
  emit(c, form) {
    const { mnemonic } = form.row
    const isSigned = form.row.sign === 'S'
    const { bits, count } = shapeOf(form, 'n')
    const n = c.readVector(R_N)
    let result = c.let(element(n, 0, bits, isSigned))
    for (let i = 1; i < count; i++)
      result = c.let(ACROSS[mnemonic]!(result, c.let(element(n, i, bits, isSigned)), isSigned))
    c.writeVector(R_D, vectorOf(c, shapeOf(form, 'd').bits, [result]))
  },
}

/** The family's semantics of a row. */
export function reduction(row: Row): Semantics | undefined {
  if (row.operation === 'across') return row.mnemonic in ACROSS ? across : undefined
  return (row.operation === 'vector' || row.operation === 'scalar') && row.mnemonic in PAIRWISE ? pairwise : undefined
}
