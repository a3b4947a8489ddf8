import type { Form as Row } from '@retrap/arm-decoder'
import { I32, select } from '@retrap/wasm-emitter'
import type { ArmContext } from './context.ts'
import { bitsOfFlags, flagsOfBits } from './flags.ts'
import { fieldOf } from '../state/form.ts'
import * as P from '../state/pstate.ts'
import type { Semantics } from './semantics.ts'
import * as S from '../state/state-layout.ts'
import { callSyndrome, EC_SVC64 } from '../state/syndrome.ts'
import { FROM_EL0, FROM_OWN_STACK } from '../system/exceptions.ts'
import { S_ELR_EL1, S_ESR_EL1, S_SCTLR_EL1, S_SP_EL0, S_SP_EL1, S_SPSR_EL1, S_VBAR_EL1 } from '../state/places.ts'
import { authenticatedIfEnabled } from './pointer-authentication.ts'

/**
 * A system call and its return in the simple case: EL1 takes it, no interrupt is pending, and the return has no special
 * effects. `system/exceptions.ts` has all other cases.
 */

const word = ({ f, state }: ArmContext, offset: number): I32 => f.loadExpression('i32.load', state, offset)

/** Selects the access rights of a level. @param level - its number in S_LEVELS */
function useLevel(c: ArmContext, level: I32): void {
  const { f, state } = c
  const from = c.let(state.add(level.mul(S.LEVEL_BYTES)))
  for (let at = 0; at < S.LEVEL_BYTES; at += 8) {
    f.store('i64.store', state, f.loadExpression('i64.load', from, S.S_LEVELS + at), S.S_LEVEL + at)
  }
}

/** Saves the present stack pointer, and loads another. */
function exchangeStack({ f, state }: ArmContext, from: number, to: number): void {
  f.store('i64.store', state, f.loadExpression('i64.load', state, S.S_SP), from)
  f.store('i64.store', state, f.loadExpression('i64.load', state, to), S.S_SP)
}

const systemCall: Semantics = {
  selectors: '',
  far: true,
  ends: true,
  immediate: (row, insn) => BigInt(callSyndrome(EC_SVC64, fieldOf(row, 'i', insn))),
  emit(c) {
    const { f, state } = c
    const before = c.let(word(c, S.S_PSTATE))
    f.if(word(c, S.S_TAKES_EXCEPTIONS).or(before.and(P.PSTATE_NRW | P.PSTATE_SS)), () => c.useHandler())
    f.store('i64.store', state, before.or(bitsOfFlags(c.flags)).toI64U(), S_SPSR_EL1)
    f.store('i64.store', state, c.next(), S_ELR_EL1)
    f.store('i64.store', state, c.immediate, S_ESR_EL1)
    const isLower = c.let(before.and(P.PSTATE_EL).eqz())
    const usesEl0Stack = isLower.or(before.and(P.PSTATE_SP).eqz())
    f.if(usesEl0Stack, () => exchangeStack(c, S_SP_EL0, S_SP_EL1))
    // SPAN is where PSTATE.PAN's next bit is, and DSSBS, in the upper word, where PSTATE.SSBS is.
    const pan = word(c, S_SCTLR_EL1).xor(-1).shrU(1).and(P.PSTATE_PAN)
    const ssbs = word(c, S_SCTLR_EL1 + 4).and(P.PSTATE_SSBS)
    const kept = before.and(P.PSTATE_DIT | P.PSTATE_PAN).or(P.PSTATE_EL1 | P.PSTATE_SP | P.PSTATE_DAIF)
    const next = c.let(kept.or(pan).or(ssbs))
    f.store('i32.store', state, next, S.S_PSTATE)
    useLevel(c, next.and(P.PSTATE_PAN).ne(0).add(1))
    const vector = select(isLower, I32.of(FROM_EL0), before.and(P.PSTATE_SP).mul(FROM_OWN_STACK))
    c.jump(f.loadExpression('i64.load', state, S_VBAR_EL1).or(vector.toI64U()))
  },
}

/** Fields of SPSR_EL1 that make a return unusual: AArch32, EL2, reserved modes, and rare flags. */
const UNUSUAL = P.PSTATE_NRW | 0xa | P.PSTATE_BTYPE | P.PSTATE_IL | P.PSTATE_SS | P.PSTATE_UAO
const RETURNED = P.PSTATE_EL1 | P.PSTATE_SP | P.PSTATE_DAIF | P.PSTATE_SSBS | P.PSTATE_PAN | P.PSTATE_DIT

const exceptionReturn: Semantics = {
  selectors: '',
  far: true,
  ends: true,
  emit(c, form) {
    const { f, state } = c
    const saved = c.let(word(c, S_SPSR_EL1))
    const before = c.let(word(c, S.S_PSTATE))
    const address = f.loadExpression('i64.load', state, S_ELR_EL1)
    const { mnemonic } = form.row
    const target = c.let(
      mnemonic === 'ERET'
        ? address
        : authenticatedIfEnabled(c, address, f.load('i64.load', state, S.S_SP), mnemonic === 'ERETAA' ? 'IA' : 'IB'),
    )
    f.store('i64.store', state, target, S.S_RETURN)
    const due = word(c, S.S_EVENTS).and(~S.EVENT_REGISTER).or(word(c, S.S_TAKES_EXCEPTIONS))
    const isEl0 = before.and(P.PSTATE_EL).eqz()
    const isReserved = saved.and(P.PSTATE_EL1 | P.PSTATE_SP).eq(P.PSTATE_SP)
    f.if(due.or(saved.and(UNUSUAL)).or(before.and(P.PSTATE_SS)).or(isEl0).or(isReserved), () => c.useHandler())
    f.if(before.xor(saved).and(P.PSTATE_SP), () =>
      f.if(
        before.and(P.PSTATE_SP),
        () => exchangeStack(c, S_SP_EL1, S_SP_EL0),
        () => exchangeStack(c, S_SP_EL0, S_SP_EL1),
      ),
    )
    f.store('i32.store', state, saved.and(RETURNED), S.S_PSTATE)
    f.store('i32.store', state, I32.of(0), S.S_EXCLUSIVE_BYTES)
    c.setFlags(flagsOfBits(saved.shrU(28)))
    const isEl1 = saved.and(P.PSTATE_EL1).ne(0)
    useLevel(c, select(isEl1, saved.and(P.PSTATE_PAN).ne(0).add(1), I32.of(0)))
    c.jump(target)
  },
}

/** The family's semantics of a row. */
export function exceptionLevels({ operation, mnemonic }: Row): Semantics | undefined {
  if (operation === 'exception' && mnemonic === 'SVC') return systemCall
  return operation === 'exception-return' ? exceptionReturn : undefined
}
