import type { Form as Row } from '@retrap/arm-decoder'
import { fieldOf, signedField } from '../form.ts'
import { interwork, low, writeLink } from './semantics.ts'
import type { A32Semantics } from './semantics.ts'

/** Branches of A32. */

const branch: A32Semantics = {
  selectors: '',
  keepsTarget: true,
  // BLX has no condition, and leads to Thumb: bit 0 says so.
  immediate(row, word) {
    const thumb = row.fields.has('h') ? fieldOf(row, 'h', word) * 2 + 1 : 0
    return BigInt(signedField(row, 'i', word) * 4 + 8 + thumb)
  },
  emit(c, { row }) {
    const target = c.let(low(c.address().add(c.immediate)).toI32())
    if (row.mnemonic.startsWith('BL')) writeLink(c, low(c.nextOf()))
    interwork(c, target)
  },
}

/** To the address in a register. */
const branchRegister: A32Semantics = {
  selectors: '',
  keepsTarget: true,
  emit(c, { row }) {
    const target = c.let(c.m(false).toI32())
    if (row.mnemonic.startsWith('BLX')) writeLink(c, low(c.nextOf()))
    interwork(c, target)
  },
}

/** The family's semantics of a row. BXJ is BX: there is no Jazelle. */
export function branches(row: Row): A32Semantics | undefined {
  if (row.operation !== 'branch') return undefined
  return row.fields.has('m') ? branchRegister : branch
}
