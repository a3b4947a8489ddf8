import { I32, I64, select } from '@retrap/wasm-emitter'
import { S_FPR, S_FSW } from '../../state/state-layout.ts'
import { CC_B, CC_BE, CC_E, CC_P } from '../flag-parts.ts'
import type { Context, Semantics, SemanticsTable } from '../context.ts'
import { Slot } from '@retrap/soft-float'
import { F_FLAGS, INDEFINITE, SLOT_A } from '../float-scratch.ts'
import {
  FSW_C0,
  FSW_C1,
  FSW_C2,
  FSW_C3,
  INDEFINITE_WORD,
  begin,
  commit,
  isEmpty,
  keepC1,
  loadStack,
  notePointers,
  raiseStackUnderflow,
  registerAt,
  stackAddress,
  stackIndex,
  storeStack,
  topOrIndefinite,
} from './stack.ts'
import { quickChange, quickExchange } from './quick.ts'

/** x87 moves within the stack, changes of sign, FXAM. Source: Intel SDM vol. 2, FXCH, FCMOVcc, FCHS, FABS, FXAM. */

function exchange(c: Context): void {
  notePointers(c)
  const swap = c.shared('x87.exchange', ['i32', 'i32'], undefined, (f) => {
    const [state, i] = [f.param(0, 'i32').get, f.param(1, 'i32').get]
    f.call(begin(c), state)
    const missing = [f.let(isEmpty(f, state, 0)), f.let(isEmpty(f, state, i))] as const
    f.if(missing[0].or(missing[1]), () => raiseStackUnderflow(f, state))
    f.if(f.call(commit(c), state).eqz(), () => f.return())
    const read = (index: I32 | number, empty: I32): readonly [I64, I32] => {
      const at = f.let(stackAddress(f, state, index))
      return [
        f.let(select(empty, I64.of(INDEFINITE), f.loadExpression('i64.load', at, S_FPR))),
        f.let(select(empty, I32.of(INDEFINITE_WORD), f.loadExpression('i32.load16_u', at, S_FPR + 8))),
      ]
    }
    const [top, other] = [read(0, missing[0]), read(i, missing[1])]
    f.call(storeStack(c), state, I32.of(0), ...other)
    f.call(storeStack(c), state, i, ...top)
  })
  const i = stackIndex(c)
  quickExchange(c, i, () => c.f.call(swap, c.state, i))
}

function conditionalMove(condition: number): (c: Context) => void {
  return (c) => {
    notePointers(c)
    const before = c.f.load('i32.load', c.state, S_FSW)
    const move = c.shared('x87.conditionalMove', ['i32', 'i32', 'i32'], undefined, (f) => {
      const [state, i, holds] = [f.param(0, 'i32').get, f.param(1, 'i32').get, f.param(2, 'i32').get]
      f.call(begin(c), state)
      f.if(isEmpty(f, state, 0).or(isEmpty(f, state, i)), () => {
        raiseStackUnderflow(f, state)
        f.if(f.call(commit(c), state), () =>
          f.call(storeStack(c), state, I32.of(0), I64.of(INDEFINITE), I32.of(INDEFINITE_WORD)),
        )
        f.return()
      })
      f.call(commit(c), state)
      f.if(holds, () => {
        const at = f.let(stackAddress(f, state, i))
        f.call(storeStack(c), state, I32.of(0), ...registerAt(f, at))
      })
    })
    c.f.call(move, c.state, stackIndex(c), c.condition(condition))
    keepC1(c.f, c.state, before)
  }
}

/** FCHS, FABS: whatever the register holds. */
function changeSign(compute: (word: I32) => I32): (c: Context) => void {
  return (c) => {
    notePointers(c)
    const f = c.f
    quickChange(c, compute, () => {
      const { significand, word } = topOrIndefinite(c)
      const empty = f.load('i32.load', c.state, F_FLAGS)
      f.if(f.call(commit(c), c.state), () => {
        f.call(storeStack(c), c.state, I32.of(0), significand, select(empty, word, compute(word)))
      })
    })
  }
}

/** FXAM: the class of ST(0) in C3, C2 and C0, its sign in C1. */
function examine(c: Context): void {
  notePointers(c)
  const classify = c.shared('x87.examine', ['i32'], 'i32', (f) => {
    const state = f.param(0, 'i32').get
    f.if(isEmpty(f, state, 0), () => f.return(FSW_C3 | FSW_C0))
    f.call(loadStack(c), state, state.add(SLOT_A), I32.of(0))
    const slot = new Slot(f, state, SLOT_A)
    f.if(slot.denormal, () => f.return(FSW_C3 | FSW_C2))
    // Zero, finite, infinity, quiet and signalling NaN, unsupported: see CLASS_*.
    const codes = [FSW_C3, FSW_C2, FSW_C2 | FSW_C0, FSW_C0, FSW_C0, 0]
    const kind = slot.class
    for (const [i, code] of codes.entries()) f.if(kind.eq(i), () => f.return(code))
    f.unreachable()
  })
  const f = c.f
  const code = f.call(classify, c.state)
  const sign = f
    .loadExpression('i32.load16_u', stackAddress(f, c.state, 0), S_FPR + 8)
    .shrU(15)
    .shl(9)
  const status = f.loadExpression('i32.load', c.state, S_FSW).and(~(FSW_C0 | FSW_C1 | FSW_C2 | FSW_C3))
  f.store('i32.store', c.state, status.or(code).or(sign), S_FSW)
}

function conditionalMoves(): SemanticsTable {
  const table: Record<string, Semantics> = {}
  for (const [name, code] of [
    ['B', CC_B],
    ['E', CC_E],
    ['BE', CC_BE],
    ['U', CC_P],
  ] as const) {
    table[`FCMOV${name}`] = { emit: conditionalMove(code) }
    table[`FCMOVN${name}`] = { emit: conditionalMove(code | 1) }
  }
  return table
}

export const x87Moves: SemanticsTable = {
  ...conditionalMoves(),
  FXCH: { emit: exchange },
  FCHS: { emit: changeSign((word) => word.xor(0x8000)) },
  FABS: { emit: changeSign((word) => word.and(0x7fff)) },
  FXAM: { emit: examine },
}
