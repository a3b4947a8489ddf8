import type { Form as Row } from '@retrap/arm-decoder'
import { select } from '@retrap/wasm-emitter'
import type { I32, I64 } from '@retrap/wasm-emitter'
import type { ArmContext } from '../context.ts'
import { fieldOf } from '../form.ts'
import { PSTATE_DAIF, PSTATE_EL1, PSTATE_SP } from '../pstate.ts'
import { R_D } from '../record.ts'
import type { Semantics } from '../semantics.ts'
import { EVENT_REGISTER, S_EVENTS, S_PSTATE, S_TAKES_EXCEPTIONS } from '../state-layout.ts'
import { HCR_TRVM } from '../system/controls.ts'
import {
  S_ELR_EL1,
  S_ESR_EL1,
  S_FAR_EL1,
  S_HCR_EL2,
  S_SP_EL0,
  S_SPSR_EL1,
  S_TPIDR_EL0,
  S_TPIDR_EL1,
  S_TPIDRRO_EL0,
} from '../system/places.ts'
import { encodingOf } from '../system/register-table.ts'

/**
 * The system registers that kernels and programs use most, where nothing else is due. All others, and the other cases of these,
 * are in `system/system-registers.ts`.
 */

/** What a register is like: both levels have it; EL1 has it; that, unless HCR_EL2.TRVM traps it; PSTATE.DAIF; 32 bits of EL1. */
const OF_EL0 = 0
const OF_EL1 = 1
const VIRTUAL = 2
const DAIF = 3
const WORD = 4

type Kind = readonly [kind: number, place: number]

/** By `encodingOf`. */
const READ: ReadonlyMap<number, Kind> = new Map([
  [encodingOf(3, 3, 13, 0, 2), [OF_EL0, S_TPIDR_EL0]],
  [encodingOf(3, 3, 13, 0, 3), [OF_EL0, S_TPIDRRO_EL0]],
  [encodingOf(3, 0, 4, 1, 0), [OF_EL1, S_SP_EL0]],
  [encodingOf(3, 0, 13, 0, 4), [OF_EL1, S_TPIDR_EL1]],
  [encodingOf(3, 0, 4, 0, 0), [OF_EL1, S_SPSR_EL1]],
  [encodingOf(3, 0, 4, 0, 1), [OF_EL1, S_ELR_EL1]],
  [encodingOf(3, 0, 5, 2, 0), [VIRTUAL, S_ESR_EL1]],
  [encodingOf(3, 0, 6, 0, 0), [VIRTUAL, S_FAR_EL1]],
  [encodingOf(3, 3, 4, 2, 1), [DAIF, S_PSTATE]],
])
const WRITTEN: ReadonlyMap<number, Kind> = new Map([
  [encodingOf(3, 3, 13, 0, 2), [OF_EL0, S_TPIDR_EL0]],
  [encodingOf(3, 0, 4, 1, 0), [OF_EL1, S_SP_EL0]],
  [encodingOf(3, 0, 13, 0, 4), [OF_EL1, S_TPIDR_EL1]],
  [encodingOf(3, 0, 4, 0, 0), [WORD, S_SPSR_EL1]],
  [encodingOf(3, 0, 4, 0, 1), [OF_EL1, S_ELR_EL1]],
  [encodingOf(3, 3, 4, 2, 1), [DAIF, S_PSTATE]],
])

const kindOf = ({ mnemonic }: Row, word: number): Kind | undefined =>
  (mnemonic === 'MRS' ? READ : WRITTEN).get(((word >>> 5) & 0x7fff) | 0x8000)

const pstateOf = ({ f, state }: ArmContext): I32 => f.loadExpression('i32.load', state, S_PSTATE)

/** Leaves the instruction to TypeScript but at EL1 with a stack pointer of its own, so that SP_EL0 is another register. */
function requireEl1(c: ArmContext): void {
  const own = PSTATE_EL1 | PSTATE_SP
  c.f.if(pstateOf(c).and(own).ne(own), () => c.useHandler())
}

/** Leaves it where an interrupt or a debug exception may be taken afterwards. */
function requireNoEvent(c: ArmContext): void {
  const events = c.f.loadExpression('i32.load', c.state, S_EVENTS)
  const debugs = c.f.loadExpression('i32.load', c.state, S_TAKES_EXCEPTIONS)
  c.f.if(events.and(~EVENT_REGISTER).or(debugs), () => c.useHandler())
}

const common = {
  selectors: '',
  suits: (row: Row, word: number) => kindOf(row, word) !== undefined,
  small: (row: Row, word: number) => kindOf(row, word)?.[0] ?? 0,
  immediate: (row: Row, word: number) => BigInt(kindOf(row, word)?.[1] ?? 0),
}

const placeOf = (c: ArmContext): I32 => c.state.add(c.immediate.toI32())

const readRegister: Semantics = {
  ...common,
  emit(c) {
    const { f, state } = c
    const kind = c.let(c.small)
    f.if(kind, () => requireEl1(c))
    f.if(kind.eq(VIRTUAL), () =>
      f.if(f.loadExpression('i32.load', state, S_HCR_EL2).and(HCR_TRVM), () => c.useHandler()),
    )
    const value = f.ifElse(
      'i64',
      kind.eq(DAIF),
      () => pstateOf(c).and(PSTATE_DAIF).toI64U(),
      () => f.loadExpression('i64.load', placeOf(c)),
    )
    c.write(R_D, value, true)
  },
}

/** Replaces the masks of PSTATE. */
function setMasks(c: ArmContext, masks: I32): void {
  c.f.store('i32.store', c.state, pstateOf(c).and(~PSTATE_DAIF).or(masks), S_PSTATE)
}

const writeRegister: Semantics = {
  ...common,
  emit(c) {
    const { f } = c
    const kind = c.let(c.small)
    f.if(kind, () => requireEl1(c))
    const value = c.let(c.d(true))
    f.if(
      kind.eq(DAIF),
      () => {
        requireNoEvent(c)
        setMasks(c, value.toI32().and(PSTATE_DAIF))
      },
      () => {
        const low: I64 = value.toI32().toI64U()
        f.store('i64.store', placeOf(c), select(kind.eq(WORD), low, value))
      },
    )
  },
}

/** MSR DAIFSet and DAIFClr: op1 is 3, op2 6 or 7. The small number has the masks, and below them whether they are cleared. */
const setOrClearMasks: Semantics = {
  selectors: '',
  suits: (row, word) => fieldOf(row, 'o', word) === 3 && (fieldOf(row, 'w', word) | 1) === 7,
  small: (row, word) => (fieldOf(row, 'y', word) << 1) | (fieldOf(row, 'w', word) & 1),
  emit(c) {
    const small = c.let(c.small)
    requireEl1(c)
    const masks = c.let(small.shrU(1).shl(6))
    const before = pstateOf(c)
    c.f.if(
      small.and(1),
      () => {
        requireNoEvent(c)
        setMasks(c, before.and(PSTATE_DAIF).and(masks.xor(-1)))
      },
      () => setMasks(c, before.and(PSTATE_DAIF).or(masks)),
    )
  },
}

/** The family's semantics of a row. */
export function systemRegisterAccess({ operation, mnemonic }: Row): Semantics | undefined {
  if (operation === 'pstate') return setOrClearMasks
  if (operation !== 'system-register') return undefined
  return mnemonic === 'MRS' ? readRegister : mnemonic === 'MSR' ? writeRegister : undefined
}
