import { I64 } from '@retrap/wasm-emitter'
import type { Form as Row } from '@retrap/arm-decoder'
import { fieldOf, signedField, valueOf } from '../state/form.ts'
import { branchKind, branchTypeOf } from '../system/branch-types.ts'
import { familyOf, type Family, type Semantics } from './semantics.ts'
import { branchIndirect } from './indirect-branches.ts'
import { isWide } from './operands.ts'

/** Branches, and the addresses of code. */

const displacement = (row: Row, word: number): bigint => BigInt(4 * signedField(row, 'i', word))

const branch: Semantics = {
  selectors: '',
  branches: true,
  ends: true,
  immediate: displacement,
  emit: (c) => c.branch(),
}

const branchLink: Semantics = {
  ...branch,
  emit(c) {
    c.writeLink(c.next())
    c.noteReturn()
    c.branch()
  },
}

const branchConditional: Semantics = {
  selectors: 'c',
  branches: true,
  immediate: displacement,
  emit(c, form) {
    c.jumps = true
    c.f.if(c.holds(valueOf(form, 'c')), () => c.branch())
  },
}

const branchZero: Semantics = {
  selectors: 'f',
  branches: true,
  immediate: displacement,
  emit(c, form) {
    c.jumps = true
    const isZero = c.d(isWide(form)).eqz()
    c.f.if(form.row.mnemonic === 'CBZ' ? isZero : isZero.eqz(), () => c.branch())
  },
}

const branchBit: Semantics = {
  selectors: '',
  branches: true,
  immediate: displacement,
  small: (row, word) => fieldOf(row, 'h', word) | (fieldOf(row, 'f', word) << 5),
  emit(c, form) {
    c.jumps = true
    const bit = c.d(true).shrU(c.small.toI64U()).toI32().and(1)
    c.f.if(form.row.mnemonic === 'TBZ' ? bit.eqz() : bit, () => c.branch())
  },
}

const branchRegister: Semantics = {
  selectors: '',
  ends: true,
  small: (row, word) => branchTypeOf(row, fieldOf(row, 'n', word)),
  emit(c, form) {
    const target = c.n(true)
    const kind = branchKind(form.row)
    if (kind === 'return') c.return(target)
    else branchIndirect(c, target, kind === 'call')
  },
}

const address: Semantics = {
  selectors: '',
  immediate(row, word) {
    // The two low bits are apart from the others.
    const high = BigInt(signedField(row, 'i', word)) << 2n
    const value = high | BigInt(fieldOf(row, 'h', word))
    return row.mnemonic === 'ADRP' ? value << 12n : value
  },
  emit(c, form) {
    const base = c.linear(I64.of(0))
    c.setD((form.row.mnemonic === 'ADRP' ? base : c.address()).add(c.immediate), true)
  },
}

/** The family's semantics of a row. */
export const control: Family<Semantics> = familyOf<Semantics>({
  branch: ({ mnemonic }) => (mnemonic === 'BL' ? branchLink : branch),
  'branch-conditional': branchConditional,
  'branch-zero': branchZero,
  'branch-bit': branchBit,
  'branch-register': ({ feature }) => (feature === '' ? branchRegister : undefined),
  address,
})
