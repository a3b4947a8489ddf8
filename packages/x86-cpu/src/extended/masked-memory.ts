import { I32, I64, numeric, type FunctionBuilder } from '@retrap/wasm-emitter'
import { SLOW_PROBE, SLOW_WRITE } from '../state/host.ts'
import type { Context } from '../semantics/context.ts'
import type { SharedFunction } from '@retrap/soft-float'
import * as S from '../state/state-layout.ts'

/**
 * Memory operands element by element, where a mask leaves some out: these are not accessed and cannot fault. Elements are
 * accessed from the lowest on. The data are in S_SCRATCH, which nothing else uses before all operands are read, or once the
 * results are there.
 */

/** Emits an access to each element whose bit is set, and returns from the function unless it is done. */
function eachElement(
  c: Context,
  f: FunctionBuilder,
  flags: number,
  parts: { readonly before?: (at: I32) => void; readonly after?: (at: I32) => void },
): void {
  const state = f.param(0, 'i32').get
  const [ea, mask, bytes] = [f.param(1, 'i64').get, f.param(2, 'i64').get, f.param(3, 'i32').get]
  const [left, i, status] = [f.local('i64'), f.local('i64'), f.local('i32')]
  f.set(left, mask)
  f.block((done) => {
    f.loop((again) => {
      f.brIf(left.get.eqz(), done)
      f.set(i, numeric('i64.ctz', left.get))
      f.set(left, left.get.and(left.get.sub(1)))
      const distance = f.let(i.get.toI32().mul(bytes))
      const at = f.let(state.add(distance))
      parts.before?.(at)
      const address = f.let(ea.add(distance.toI64U()))
      f.store('i32.store', state, i.get.toI32(), S.S_ELEMENT)
      const [lo, hi] = [address.toI32(), address.shrU(32).toI32()]
      f.set(status, f.call(c.library.slowAccess, state, lo, hi, bytes.or(flags)))
      f.store('i32.store', state, I32.of(0), S.S_ELEMENT)
      f.if(status.get, () => f.return(status.get))
      parts.after?.(at)
      f.br(again)
    })
  })
}

const PARAMETERS = ['i32', 'i64', 'i64', 'i32'] as const

/** (state, address, mask, bytes of an element) → status; the elements from S_SCRATCH on, zeros for those that are left out. */
export function maskedRead(c: Context): SharedFunction<'i32'> {
  return c.shared('evex.read', PARAMETERS, 'i32', (f) => {
    const state = f.param(0, 'i32').get
    const bytes = f.param(3, 'i32').get
    for (let at = 0; at < 64; at += 8) f.store('i64.store', state, I64.of(0), S.S_SCRATCH + at)
    const kept = f.let(I64.of(-1).shrU(I32.of(64).sub(bytes.shl(3)).toI64U()))
    eachElement(c, f, 0, {
      // The elements above are written later.
      after: (at) => f.store('i64.store', at, f.loadExpression('i64.load', state, S.S_DATA).and(kept), S.S_SCRATCH),
    })
    f.return(S.STATUS_DONE)
  })
}

/** (state, address, mask, bytes of an element) → status: checks that the elements can be written. */
export function maskedProbe(c: Context): SharedFunction<'i32'> {
  return c.shared('evex.probe', PARAMETERS, 'i32', (f) => {
    eachElement(c, f, SLOW_WRITE | SLOW_PROBE, {})
    f.return(S.STATUS_DONE)
  })
}

/** The same, and writes what is from S_SCRATCH on: all elements are checked before the first is written. */
export function maskedWrite(c: Context): SharedFunction<'i32'> {
  const probe = maskedProbe(c)
  return c.shared('evex.write', PARAMETERS, 'i32', (f) => {
    const state = f.param(0, 'i32').get
    const status = f.let(f.call(probe, state, f.param(1, 'i64').get, f.param(2, 'i64').get, f.param(3, 'i32').get))
    f.if(status, () => f.return(status))
    eachElement(c, f, SLOW_WRITE, {
      before: (at) => f.store('i64.store', state, f.loadExpression('i64.load', at, S.S_SCRATCH), S.S_DATA),
    })
    f.return(S.STATUS_DONE)
  })
}

/** (machine address, data's address, mask, bytes of an element): the same in memory that may be written. */
export function maskedStore(c: Context): SharedFunction {
  return c.shared('evex.store', ['i32', 'i32', 'i64', 'i32'], undefined, (f) => {
    const [to, from, bytes] = [f.param(0, 'i32').get, f.param(1, 'i32').get, f.param(3, 'i32').get]
    const left = f.local('i64')
    f.set(left, f.param(2, 'i64').get)
    f.block((done) => {
      f.loop((again) => {
        f.brIf(left.get.eqz(), done)
        const distance = f.let(numeric('i64.ctz', left.get).toI32().mul(bytes))
        const [target, source] = [f.let(to.add(distance)), f.let(from.add(distance))]
        f.set(left, left.get.and(left.get.sub(1)))
        for (const size of [4, 8, 2, 1] as const) {
          const [load, store] = ACCESSES[size]
          f.if(bytes.eq(size), () => f.store(store, target, f.loadExpression(load, source, 0)))
        }
        f.br(again)
      })
    })
  })
}

const ACCESSES = {
  1: ['i64.load8_u', 'i64.store8'],
  2: ['i64.load16_u', 'i64.store16'],
  4: ['i64.load32_u', 'i64.store32'],
  8: ['i64.load', 'i64.store'],
} as const
