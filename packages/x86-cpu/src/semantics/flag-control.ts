import { I32 } from '@retrap/wasm-emitter'
import * as S from '../state/state-layout.ts'
import type { Context, Semantics, SemanticsTable } from './context.ts'
import { loadStack, popSlot, pushSlot, storeStack } from './control.ts'

/**
 * The instructions of a kernel around every critical section, at privilege level 0: CLI, STI, PUSHF and POPF. All that depends on
 * IOPL, virtual interrupts or what STI inhibits is in `system/flags.ts`.
 */

/** Flags that POPF leaves to the handler when they change. */
const RARE = S.FLAG_TF | S.FLAG_IOPL | S.FLAG_NT | S.FLAG_AC | S.FLAG_ID

function requireCpl0(c: Context): void {
  c.f.if(c.f.loadExpression('i32.load', c.state, S.S_CPL), () => c.useHandler())
}

const pushFlags: Semantics = {
  partial: true,
  compiled: true,
  emit: (c) => {
    requireCpl0(c)
    const flags = c.f.loadExpression('i32.load', c.state, S.S_EFLAGS).and(I32.of(~(S.FLAG_VM | S.FLAG_RF)))
    const image = c.let(flags.or(c.allFlags()).toI64U())
    const slot = pushSlot(c, c.form.size)
    storeStack(c, slot.ea, c.form.size, image)
    slot.commit()
  },
}

const popFlags: Semantics = {
  partial: true,
  compiled: true,
  emit: (c) => {
    requireCpl0(c)
    const { f } = c
    // A handler after the stack has been read would read, and log, it twice.
    f.if(f.loadExpression('i32.load', c.state, S.S_LOGGED).eq(1), () => c.useHandler())
    const slot = popSlot(c, c.form.size)
    const image = c.let(loadStack(c, slot.ea, c.form.size).toI32())
    const flags = c.let(f.loadExpression('i32.load', c.state, S.S_EFLAGS))
    const rare = image
      .xor(flags)
      .and(RARE)
      .or(flags.and(S.FLAG_RF | S.FLAG_VM))
    // Interrupts that are let in are looked at before the next instruction, if there are any.
    const admits = image
      .and(S.FLAG_IF)
      .ne(0)
      .and(f.loadExpression('i32.load', c.state, S.S_EVENTS).ne(0))
    f.if(rare.or(admits), () => c.useHandler())
    slot.commit()
    const own = S.FLAG_IF | S.FLAG_DF
    f.store('i32.store', c.state, flags.and(~own).or(image.and(own)), S.S_EFLAGS)
    c.flagsExplicit(image.and(S.FLAGS_ARITHMETIC).toI64U())
  },
}

export const flagControl: SemanticsTable = {
  CLI: {
    partial: true,
    compiled: true,
    emit: (c) => {
      requireCpl0(c)
      const flags = c.f.loadExpression('i32.load', c.state, S.S_EFLAGS)
      c.f.store('i32.store', c.state, flags.and(~S.FLAG_IF), S.S_EFLAGS)
    },
  },
  STI: {
    partial: true,
    compiled: true,
    // With nothing pending there is nothing that the next instruction could be interrupted by, unless it runs by itself, later.
    emit: (c) => {
      requireCpl0(c)
      const { f, state } = c
      const special = f
        .loadExpression('i32.load', state, S.S_EVENTS)
        .or(f.loadExpression('i32.load', state, S.S_LOGGED))
      f.if(special, () => c.useHandler())
      const flags = c.f.loadExpression('i32.load', c.state, S.S_EFLAGS)
      c.f.store('i32.store', c.state, flags.or(S.FLAG_IF), S.S_EFLAGS)
    },
  },
  PUSHFD: pushFlags,
  PUSHFQ: pushFlags,
  POPFD: popFlags,
  POPFQ: popFlags,
}
