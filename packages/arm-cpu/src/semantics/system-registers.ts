import type { Form as Row } from '@retrap/arm-decoder'
import { I32, select, type I64 } from '@retrap/wasm-emitter'
import type { ArmContext } from './context.ts'
import { fieldOf } from '../state/form.ts'
import { PSTATE_DAIF, PSTATE_EL1, PSTATE_SP } from '../state/pstate.ts'
import { R_D } from '../state/record.ts'
import type { Semantics } from './semantics.ts'
import * as S from '../state/state-layout.ts'
import { HCR_APK, HCR_TID2, HCR_TRVM, HCR_TVM, SCTLR_UCT } from '../state/controls.ts'
import { idValues } from '../system/id-registers.ts'
import * as P from '../state/places.ts'
import { encodingOf } from '../system/register-table.ts'
import { FPCR_BITS, FPSR_BITS } from '../state/float-rules.ts'

/**
 * The most used system registers, in their simple cases. All others, and the special cases, are in
 * `system/system-registers.ts`.
 */

/** Kinds of registers: for both levels; for EL1; for EL1 unless HCR_EL2.TRVM traps it; PSTATE.DAIF; 32 bits of EL1. */
const OF_EL0 = 0
const OF_EL1 = 1
const VIRTUAL = 2
const DAIF = 3
const WORD = 4
/** 32 bits of EL1, unless HCR_EL2.TVM traps it; a half of a key. */
const CONTEXT = 5
const KEY = 6
/** Those from here on are of both levels: FPCR and FPSR, where floating point is not trapped; CTR_EL0; DCZID_EL0. */
const FP_CONTROL = 7
const FP_STATUS = 8
const CACHE_TYPE = 9
const ZERO_SIZE = 10

/** Its place, or the value of a constant. */
type Kind = readonly [kind: number, place: number]

/** The low word of an ID register; the upper one is 0. */
function constantOf(name: string): number {
  return idValues().get(name)![0]
}

/** By `encodingOf`. */
const READ: ReadonlyMap<number, Kind> = new Map<number, Kind>([
  [encodingOf(3, 3, 13, 0, 2), [OF_EL0, P.S_TPIDR_EL0]],
  [encodingOf(3, 3, 13, 0, 3), [OF_EL0, P.S_TPIDRRO_EL0]],
  [encodingOf(3, 0, 4, 1, 0), [OF_EL1, P.S_SP_EL0]],
  [encodingOf(3, 0, 13, 0, 4), [OF_EL1, P.S_TPIDR_EL1]],
  [encodingOf(3, 0, 4, 0, 0), [OF_EL1, P.S_SPSR_EL1]],
  [encodingOf(3, 0, 4, 0, 1), [OF_EL1, P.S_ELR_EL1]],
  [encodingOf(3, 0, 5, 2, 0), [VIRTUAL, P.S_ESR_EL1]],
  [encodingOf(3, 0, 6, 0, 0), [VIRTUAL, P.S_FAR_EL1]],
  [encodingOf(3, 0, 0, 0, 0), [OF_EL1, P.S_VPIDR_EL2]],
  [encodingOf(3, 0, 1, 0, 0), [VIRTUAL, P.S_SCTLR_EL1]],
  [encodingOf(3, 0, 2, 0, 0), [VIRTUAL, P.S_TTBR0_EL1]],
  [encodingOf(3, 0, 2, 0, 1), [VIRTUAL, P.S_TTBR1_EL1]],
  [encodingOf(3, 3, 4, 2, 1), [DAIF, S.S_PSTATE]],
  [encodingOf(3, 3, 4, 4, 0), [FP_CONTROL, S.S_FPCR]],
  [encodingOf(3, 3, 4, 4, 1), [FP_STATUS, S.S_FPSR]],
  [encodingOf(3, 3, 0, 0, 1), [CACHE_TYPE, constantOf('ctr_el0')]],
  [encodingOf(3, 3, 0, 0, 7), [ZERO_SIZE, constantOf('dczid_el0')]],
])
const WRITTEN: ReadonlyMap<number, Kind> = new Map<number, Kind>([
  [encodingOf(3, 3, 13, 0, 2), [OF_EL0, P.S_TPIDR_EL0]],
  [encodingOf(3, 0, 4, 1, 0), [OF_EL1, P.S_SP_EL0]],
  [encodingOf(3, 0, 13, 0, 4), [OF_EL1, P.S_TPIDR_EL1]],
  [encodingOf(3, 0, 4, 0, 0), [WORD, P.S_SPSR_EL1]],
  [encodingOf(3, 0, 4, 0, 1), [OF_EL1, P.S_ELR_EL1]],
  [encodingOf(3, 3, 13, 0, 3), [OF_EL1, P.S_TPIDRRO_EL0]],
  [encodingOf(3, 0, 13, 0, 1), [CONTEXT, P.S_CONTEXTIDR_EL1]],
  // Halves of the keys, as `KEYS` orders them.
  ...[0, 1, 2, 3, 4, 5, 6, 7, 8, 9].map(
    (half) => [encodingOf(3, 0, 2, 1 + (half >> 2), half & 3), [KEY, S.S_KEYS + 8 * half]] as const,
  ),
  [encodingOf(3, 3, 4, 2, 1), [DAIF, S.S_PSTATE]],
  [encodingOf(3, 3, 4, 4, 0), [FP_CONTROL, S.S_FPCR]],
  [encodingOf(3, 3, 4, 4, 1), [FP_STATUS, S.S_FPSR]],
])

const kindOf = ({ mnemonic }: Row, word: number): Kind | undefined =>
  (mnemonic === 'MRS' ? READ : WRITTEN).get(((word >>> 5) & 0x7fff) | 0x8000)

const pstateOf = ({ f, state }: ArmContext): I32 => f.loadExpression('i32.load', state, S.S_PSTATE)

/** Leaves the instruction to TypeScript but at EL1 with a stack pointer of its own, so that SP_EL0 is another register. */
function requireEl1(c: ArmContext): void {
  const own = PSTATE_EL1 | PSTATE_SP
  c.f.if(pstateOf(c).and(own).ne(own), () => c.useHandler())
}

/** Leaves to TypeScript if an interrupt or debug exception may follow. */
function requireNoEvent(c: ArmContext): void {
  const events = c.f.loadExpression('i32.load', c.state, S.S_EVENTS)
  const debugs = c.f.loadExpression('i32.load', c.state, S.S_TAKES_EXCEPTIONS)
  c.f.if(events.and(~S.EVENT_REGISTER).or(debugs), () => c.useHandler())
}

const common = {
  selectors: '',
  folds: true,
  suits: (row: Row, word: number) => kindOf(row, word) !== undefined,
  small: (row: Row, word: number) => kindOf(row, word)?.[0] ?? 0,
  immediate: (row: Row, word: number) => BigInt(kindOf(row, word)?.[1] ?? 0),
}

const placeOf = (c: ArmContext): I32 => c.state.add(c.immediate.toI32())

const stateWord = ({ f, state }: ArmContext, place: number): I32 => f.loadExpression('i32.load', state, place)

/** Leaves the instruction to TypeScript where a condition holds, if it accesses a register of a kind. */
function leaveIf(c: ArmContext, kind: I32, which: number, condition: () => I32): void {
  c.f.if(kind.eq(which), () => c.f.if(condition(), () => c.useHandler()))
}

/** Leaves to TypeScript if the register is not accessible at this level, or is a trapped floating-point register. */
function requireLevel(c: ArmContext, kind: I32): void {
  c.f.if(kind.sub(1).ltU(FP_CONTROL - 1), () => requireEl1(c))
  c.f.if(kind.sub(FP_CONTROL).ltU(2), () => c.f.if(stateWord(c, S.S_MODE).and(S.MODE_NO_FP), () => c.useHandler()))
}

const readRegister: Semantics = {
  ...common,
  emit(c) {
    const { f } = c
    const kind = c.let(c.small)
    requireLevel(c, kind)
    leaveIf(c, kind, VIRTUAL, () => stateWord(c, P.S_HCR_EL2).and(HCR_TRVM))
    leaveIf(c, kind, ZERO_SIZE, () => stateWord(c, S.S_TRAPS).and(S.TRAP_ZERO))
    leaveIf(c, kind, CACHE_TYPE, () => {
      const isEl0 = pstateOf(c).and(PSTATE_EL1).eqz()
      const isTrapped = isEl0.and(stateWord(c, P.S_SCTLR_EL1).and(SCTLR_UCT).eqz())
      return stateWord(c, P.S_HCR_EL2).and(HCR_TID2).or(isTrapped)
    })
    const value = f.ifElse(
      'i64',
      kind.eq(DAIF),
      () => pstateOf(c).and(PSTATE_DAIF).toI64U(),
      () =>
        f.ifElse(
          'i64',
          kind.geU(FP_CONTROL),
          () =>
            f.ifElse(
              'i64',
              kind.geU(CACHE_TYPE),
              () => c.immediate,
              () => f.loadExpression('i64.load32_u', placeOf(c)),
            ),
          () => f.loadExpression('i64.load', placeOf(c)),
        ),
    )
    c.write(R_D, value, true)
  },
}

/** Replaces the masks of PSTATE. */
function setMasks(c: ArmContext, masks: I32): void {
  c.f.store('i32.store', c.state, pstateOf(c).and(~PSTATE_DAIF).or(masks), S.S_PSTATE)
}

const writeRegister: Semantics = {
  ...common,
  emit(c) {
    const { f } = c
    const kind = c.let(c.small)
    requireLevel(c, kind)
    leaveIf(c, kind, CONTEXT, () => stateWord(c, P.S_HCR_EL2).and(HCR_TVM))
    leaveIf(c, kind, KEY, () =>
      stateWord(c, P.S_HCR_EL2 + 4)
        .and(HCR_APK)
        .eqz(),
    )
    const value = c.let(c.d(true))
    f.if(
      kind.eq(DAIF),
      () => {
        requireNoEvent(c)
        setMasks(c, value.toI32().and(PSTATE_DAIF))
      },
      () => {
        f.if(
          kind.geU(FP_CONTROL),
          () => {
            const bits = select(kind.eq(FP_CONTROL), I32.of(FPCR_BITS), I32.of(FPSR_BITS | 0))
            f.store('i32.store', placeOf(c), value.toI32().and(bits))
          },
          () => {
            const low: I64 = value.toI32().toI64U()
            f.store('i64.store', placeOf(c), select(kind.eq(WORD).or(kind.eq(CONTEXT)), low, value))
          },
        )
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
