import { I32 } from '@retrap/wasm-emitter'
import type { FunctionBuilder } from '@retrap/wasm-emitter'
import type { Context } from './context.ts'
import { finish80, Slot } from '@retrap/soft-float'
import { SLOT_A, SLOT_B, SLOT_R } from './float-scratch.ts'
import {
  begin,
  enterX87,
  isEmpty,
  loadStack,
  notePointers,
  pop,
  raiseStackUnderflow,
  storeResult,
} from './x87-stack.ts'

/** ST(1) = an operation on ST(1) and ST(0), which it finds in A and B; then pop. */
export function onTopTwoThenPop(c: Context, name: string, compute: (f: FunctionBuilder, state: I32) => void): void {
  enterX87(c)
  notePointers(c)
  const operation = c.shared(`x87.${name}`, ['i32'], undefined, (f) => {
    const state = f.param(0, 'i32').get
    f.call(begin(c), state)
    f.if(
      isEmpty(f, state, 0).or(isEmpty(f, state, 1)),
      () => {
        raiseStackUnderflow(f, state)
        new Slot(f, state, SLOT_R).setDefaultNan(1)
      },
      () => {
        f.call(loadStack(c), state, state.add(SLOT_A), I32.of(1))
        f.call(loadStack(c), state, state.add(SLOT_B), I32.of(0))
        compute(f, state)
      },
    )
    const significand = f.call(finish80(c), state, I32.of(64))
    f.if(f.call(storeResult(c), state, I32.of(1), significand), () => f.call(pop(c), state))
  })
  c.f.call(operation, c.state)
}
