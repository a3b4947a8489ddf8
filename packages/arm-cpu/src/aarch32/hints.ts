import type { Form as Row } from '@retrap/arm-decoder'
import { I32 } from '@retrap/wasm-emitter'
import { S_BARRIER } from '../state-layout.ts'
import type { A32Semantics } from './semantics.ts'

/** Hints of A32: they do nothing. WFE and WFI may go on at any time. */
const hint: A32Semantics = { selectors: '', keepsTarget: true, emit() {} }

/** An atomic access of WebAssembly orders all others of its thread. */
const barrier: A32Semantics = {
  selectors: '',
  keepsTarget: true,
  emit: (c) => void c.f.atomic('i32.atomic.rmw.or', c.state, [I32.of(0)], S_BARRIER),
}

/** The family's semantics of a row: CLREX, which is among the barriers, comes with the exclusives. */
export function hints(row: Row): A32Semantics | undefined {
  if (row.operation === 'hint') return hint
  return row.operation === 'barrier' && row.mnemonic !== 'CLREX' ? barrier : undefined
}
