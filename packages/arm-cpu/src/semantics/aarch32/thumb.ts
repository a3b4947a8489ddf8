import { fieldOf, LOADS } from '../../state/form.ts'
import { ACCESS_ELEMENT_SHIFT } from '../../state/access-rights.ts'
import { S_IT } from '../../state/state-layout.ts'
import { dataProcessing } from './data-processing.ts'
import { familyOf, type Family } from '../semantics.ts'
import { interwork, low, type A32Semantics } from './semantics.ts'

/** Instructions of Thumb that A32 does not have. */

/** The condition of the next instructions. */
const ifThen: A32Semantics = {
  selectors: '',
  keepsTarget: true,
  immediate: (_row, word) => BigInt(word & 0xff),
  emit: (c) => c.f.store('i32.store', c.state, c.immediate.toI32(), S_IT),
}

/** CBZ and CBNZ; the immediate is relative to the instruction. */
const compareAndBranch: A32Semantics = {
  selectors: '',
  keepsTarget: true,
  immediate: (row, word) => BigInt(2 * fieldOf(row, 'i', word) + 4),
  emit(c, { row }) {
    const isZero = c.n(false).eqz()
    c.f.if(row.name === 'CBZ' ? isZero : isZero.eqz(), () => interwork(c, c.let(c.address().add(c.immediate).toI32())))
  },
}

/** TBB and TBH: twice the byte or half that a table has, behind the program counter. */
const tableBranch: A32Semantics = {
  selectors: '',
  keepsTarget: true,
  emit(c, { row }) {
    const size = row.size === 1 ? 1 : 2
    const index = c.m(false)
    const address = c.let(low(c.n(false).add(size === 1 ? index : index.shl(1))))
    c.load(address, size, Math.log2(size) << ACCESS_ELEMENT_SHIFT, (host) => {
      const distance = c.f.load(LOADS[size], host).shl(1).add(4)
      interwork(c, c.let(c.address().add(distance).toI32()))
    })
  },
}

/** Returns the semantics of a row's instructions; undefined if they are shared with A32. */
export const thumbSemanticsOf: Family<A32Semantics> = familyOf<A32Semantics>({
  'if-then': ifThen,
  'table-branch': tableBranch,
  branch: ({ name }) => (name === 'CBZ' || name === 'CBNZ' ? compareAndBranch : undefined),
  logical: (row) => (row.name === 'ORN' ? dataProcessing(row) : undefined),
})
