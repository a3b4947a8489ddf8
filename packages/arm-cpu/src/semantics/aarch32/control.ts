import type { Form as Row } from '@retrap/arm-decoder'
import { I32 } from '@retrap/wasm-emitter'
import { fieldOf, signedField } from '../../state/form.ts'
import { familyOf, type Family } from '../semantics.ts'
import { interwork, low, writeLink, type A32Semantics } from './semantics.ts'
import { S_BARRIER } from '../../state/state-layout.ts'

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
    if (row.name !== 'B') writeLink(c, low(c.nextOf()))
    interwork(c, target)
  },
}

/** To the address in a register. */
const branchRegister: A32Semantics = {
  selectors: '',
  keepsTarget: true,
  emit(c, { row }) {
    const target = c.let(c.m(false).toI32())
    if (row.name === 'BLX') writeLink(c, low(c.nextOf()))
    interwork(c, target)
  },
}

/** The family's semantics of a row. BXJ is BX: there is no Jazelle. */
export function branches(row: Row): A32Semantics | undefined {
  if (row.operation !== 'branch') return undefined
  return row.fields.has('m') ? branchRegister : branch
}

/** WFE, WFI, SEV and SEVL, which TypeScript executes. */
const FIRST_WAIT = 2
const LAST_WAIT = 5

/** Hints without effect, including prefetches. */
const nothing: A32Semantics = { selectors: '', keepsTarget: true, emit() {} }

const hint: A32Semantics = {
  ...nothing,
  suits(row, word) {
    const number = fieldOf(row, 'o', word)
    return number < FIRST_WAIT || number > LAST_WAIT
  },
}

/** A WebAssembly atomic access orders all other accesses of its thread. */
const barrier: A32Semantics = {
  selectors: '',
  keepsTarget: true,
  emit: (c) => void c.f.atomic('i32.atomic.rmw.or', c.state, [I32.of(0)], S_BARRIER),
}

/** The family's semantics of a row: CLREX, which is among the barriers, is with the exclusives. */
export const hints: Family<A32Semantics> = familyOf<A32Semantics>({
  prefetch: nothing,
  // ESB may defer an SError.
  hint: ({ name }) => (name === 'ESB' ? undefined : name === '' ? hint : nothing),
  barrier: ({ name }) => (name === 'CLREX' ? undefined : barrier),
})
