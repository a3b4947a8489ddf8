import type { Form as Row } from '@retrap/arm-decoder'
import { I32, V128 } from '@retrap/wasm-emitter'
import { ACCESS_BLOCK, ACCESS_CACHE, ACCESS_ELEMENT_SHIFT } from '../state/access-rights.ts'
import type { ArmContext } from './context.ts'
import { familyOf, type Family, type Semantics } from './semantics.ts'
import {
  S_ATTENTION,
  S_BARRIER,
  S_JOINED,
  S_SHOOTDOWN,
  S_TRAPS,
  TRAP_COHERENCY,
  TRAP_UNIFICATION,
  TRAP_ZERO,
} from '../state/state-layout.ts'

/** Instructions about caches and order: without a cache, most have no effect. */

const nothing: Semantics = { selectors: '', emit: () => undefined }

/** Bytes that DC ZVA clears: `DCZID_EL0` says so too. */
const BLOCK_BYTES = 64

/** Leaves a trapped instruction to TypeScript. @param trap - `TRAP_*` */
function leaveIfTrapped(c: ArmContext, trap: number): void {
  c.f.if(c.f.loadExpression('i32.load', c.state, S_TRAPS).and(trap), () => c.useHandler())
}

const zeroBlock: Semantics = {
  selectors: '',
  emit(c) {
    leaveIfTrapped(c, TRAP_ZERO)
    const kind = ACCESS_BLOCK | (Math.log2(BLOCK_BYTES) << ACCESS_ELEMENT_SHIFT)
    c.store(c.d(true), BLOCK_BYTES, kind, (host) => {
      for (let at = 0; at < BLOCK_BYTES; at += 16) c.f.store('v128.store', host, V128.of([]), at)
    })
  },
}

/** Cache maintenance by address faults as a load does. */
const maintenance: Semantics = {
  selectors: '',
  emit(c, { row }) {
    leaveIfTrapped(c, /^[CI]VAU/.test(row.operands) ? TRAP_UNIFICATION : TRAP_COHERENCY)
    c.load(c.d(true), 1, ACCESS_CACHE, () => undefined)
  },
}

/** Whether EL0 may execute a system instruction: its op1 is 3. */
const isUnprivileged = (row: Row): boolean => ((row.value >>> 16) & 7) === 3

/** A WebAssembly atomic access orders all other accesses of its thread. DSB waits, too, until others have dropped translations. */
const barrier: Semantics = {
  selectors: '',
  emit(c, { row }) {
    if (row.mnemonic === 'DSB') c.f.if(c.f.loadExpression('i32.load', c.state, S_SHOOTDOWN), () => c.useHandler())
    c.f.atomic('i32.atomic.rmw.or', c.state, [I32.of(0)], S_BARRIER)
  },
}

/** Code that another thread has written is new behind ISB, though no branch comes before it. */
const synchronisation: Semantics = {
  selectors: '',
  emit(c) {
    const { f, state } = c
    const isAsked = f.loadExpression('i32.load', state, S_ATTENTION).and(f.loadExpression('i32.load', state, S_JOINED))
    f.if(isAsked, () => c.useHandler())
  },
}

/** The family's semantics of a row. */
export const blocks: Family<Semantics> = familyOf<Semantics>({
  zero: ({ attributes }) => (attributes.has('block') && !attributes.has('tag') ? zeroBlock : undefined),
  cache: (row) => (isUnprivileged(row) ? maintenance : undefined),
  barrier: ({ mnemonic }) =>
    mnemonic === 'DMB' || mnemonic === 'DSB' ? barrier : mnemonic === 'ISB' ? synchronisation : nothing,
  prefetch: nothing,
})
