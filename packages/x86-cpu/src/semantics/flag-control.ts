import { I32 } from '@retrap/wasm-emitter'
import { FLAG_IF, FLAG_RF, FLAG_VM, S_CPL, S_EFLAGS, S_EVENTS, S_GPR } from '../state-layout.ts'
import { SLOW_STACK } from './context.ts'
import type { Context } from './context.ts'
import type { SemanticsTable } from './table.ts'

/**
 * What a kernel does around every critical section: CLI, STI and PUSHFQ at privilege level 0. All that depends on IOPL,
 * virtual interrupts or what STI inhibits is in `system/flags.ts`.
 */

const RSP = 4

function requireCpl0(c: Context): void {
  c.f.if(c.f.loadExpression('i32.load', c.state, S_CPL), () => c.useHandler())
}

export const flagControl: SemanticsTable = {
  CLI: {
    partial: true,
    emit: (c) => {
      requireCpl0(c)
      const flags = c.f.loadExpression('i32.load', c.state, S_EFLAGS)
      c.f.store('i32.store', c.state, flags.and(~FLAG_IF), S_EFLAGS)
    },
  },
  STI: {
    partial: true,
    // With nothing pending there is nothing that the next instruction could be interrupted by.
    emit: (c) => {
      requireCpl0(c)
      c.f.if(c.f.loadExpression('i32.load', c.state, S_EVENTS), () => c.useHandler())
      const flags = c.f.loadExpression('i32.load', c.state, S_EFLAGS)
      c.f.store('i32.store', c.state, flags.or(FLAG_IF), S_EFLAGS)
    },
  },
  PUSHFQ: {
    partial: true,
    emit: (c) => {
      requireCpl0(c)
      const flags = c.f.loadExpression('i32.load', c.state, S_EFLAGS).and(I32.of(~(FLAG_VM | FLAG_RF)))
      const image = c.let(flags.or(c.allFlags()).toI64U())
      const ea = c.let(c.gprU(RSP, 8).sub(8))
      c.storeMemory('i64.store', ea, 8, image, SLOW_STACK)
      c.f.store('i64.store', c.state, ea, S_GPR + 8 * RSP)
    },
  },
}
