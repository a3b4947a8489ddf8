import type { Form as Row } from '@retrap/arm-decoder'
import { I32 } from '@retrap/wasm-emitter'
import { fieldOf } from '../form.ts'
import { S_BARRIER } from '../state-layout.ts'
import { nameOf } from './semantics.ts'
import type { A32Semantics } from './semantics.ts'

/** WFE, WFI, SEV and SEVL, which TypeScript executes. */
const FIRST_WAIT = 2
const LAST_WAIT = 5

/** Hints that do nothing, prefetches among them. */
const nothing: A32Semantics = { selectors: '', keepsTarget: true, emit() {} }

const hint: A32Semantics = {
  ...nothing,
  suits(row, word) {
    const number = fieldOf(row, 'o', word)
    return number < FIRST_WAIT || number > LAST_WAIT
  },
}

/** An atomic access of WebAssembly orders all others of its thread. */
const barrier: A32Semantics = {
  selectors: '',
  keepsTarget: true,
  emit: (c) => void c.f.atomic('i32.atomic.rmw.or', c.state, [I32.of(0)], S_BARRIER),
}

/** The family's semantics of a row: CLREX, which is among the barriers, is with the exclusives. */
export function hints(row: Row): A32Semantics | undefined {
  switch (row.operation) {
    case 'prefetch':
      return nothing
    case 'hint':
      // ESB may defer an SError.
      if (nameOf(row) === 'ESB') return undefined
      return row.mnemonic.startsWith('<hint>') ? hint : nothing
    case 'barrier':
      return nameOf(row) === 'CLREX' ? undefined : barrier
    default:
      return undefined
  }
}
