import { I32, I64, select, type Label } from '@retrap/wasm-emitter'
import * as S from '../../state/state-layout.ts'
import type { Context } from '../context.ts'
import { zeroExtend } from '../integer.ts'
import { RCX } from './string-elements.ts'

/** Several iterations of a repeated instruction at once. */
export interface Bulk {
  /** Tries to do several iterations at once; on success advances pointers itself and gives their number, else zero. */
  (remaining: I64): I64
}

/** The lesser of two unsigned numbers. */
export function least(c: Context, a: I64, b: I64): I64 {
  return c.let(select(a.ltU(b), a, b))
}

/**
 * Runs `iteration` once, or as often as RCX says.
 *
 * @param stop - after an iteration: non-zero ends the repetition (REPE, REPNE)
 * @param finish - runs when the instruction has ended, and where a single-step trap comes between two iterations
 */
export function repeat(
  c: Context,
  iteration: () => void,
  options: { bulk?: Bulk; stop?: () => I32; finish?: () => void } = {},
): void {
  const f = c.f
  const { bulk, stop, finish } = options
  if (c.form.repeat === 'none') {
    iteration()
    finish?.()
    return
  }
  const size = c.form.addressSize
  // The dispatch loop takes the budget back from the state.
  c.jumps = true
  const one = f.load('i32.load', c.state, S.S_LOGGED)
  // Iterations are counted in a local, and charged where the instruction is left. It counts parts of 1 / 2^shift, of which
  // an iteration that is made together with others costs one.
  const budget = f.load('i32.load', c.state, S.S_BUDGET)
  const shift = bulk === undefined ? I64.of(0) : f.let(f.loadExpression('i32.load', c.state, S.S_BULK_SHIFT).toI64U())
  // One iteration is made, whatever is left of the budget.
  const all = f.let(select(budget.gtS(0), budget, I32.of(1)).toI64U().shl(shift))
  const unit = f.let(I64.of(1).shl(shift))
  const left = f.local('i64')
  f.set(left, all)
  const charge = (): void => {
    const cost = f.let(all.shrU(shift).sub(left.get.shrS(shift)).toI32())
    f.store('i32.store', c.state, f.loadExpression('i32.load', c.state, S.S_ITERATIONS).add(cost), S.S_ITERATIONS)
    f.store('i32.store', c.state, budget.sub(cost), S.S_BUDGET)
  }
  const status = f.local('i32')
  f.block((failed: Label) => {
    c.failure = { label: failed, status }
    f.block((done: Label) => {
      // RCX = 0: nothing is accessed and no flag changes.
      const initial = c.gprU(RCX, size)
      f.if(initial.eqz(), () => f.return(0))
      f.loop((next) => {
        const remaining = c.gprU(RCX, size)
        const count = f.local('i64')
        f.set(count, I64.of(0))
        if (bulk !== undefined) {
          f.if(one.eqz(), () => {
            f.set(count, bulk(least(c, remaining, left.get)))
            f.set(left, left.get.sub(count.get))
          })
        }
        f.if(count.get.eqz(), () => {
          iteration()
          f.set(count, I64.of(1))
          f.set(left, left.get.sub(unit))
        })
        const rest = f.let(zeroExtend(remaining.sub(count.get), size))
        c.setGpr(RCX, size, rest)
        f.brIf(rest.eqz(), done)
        if (stop !== undefined) f.brIf(stop(), done)
        const attention = f.loadExpression('i32.load', c.state, S.S_ATTENTION)
        f.if(left.get.leS(0).or(one).or(attention), () => {
          if (finish !== undefined) f.if(f.loadExpression('i32.load', c.state, S.S_EFLAGS).and(S.FLAG_TF), finish)
          c.fail(S.STATUS_CONTINUE)
        })
        f.br(next)
      })
    })
    c.failure = undefined
    charge()
    finish?.()
    f.return(0)
  })
  charge()
  f.return(status.get)
}
