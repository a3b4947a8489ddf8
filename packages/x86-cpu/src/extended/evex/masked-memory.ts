import { I32, I64, numeric, select, type FunctionBuilder, type LoadOp, type StoreOp } from '@retrap/wasm-emitter'
import { SLOW_PROBE, SLOW_WRITE } from '../../state/host.ts'
import type { Context } from '../../semantics/context.ts'
import type { SharedFunction } from '@retrap/soft-float'
import * as S from '../../state/state-layout.ts'

/**
 * Memory operands element by element, where a mask leaves some out: these are not accessed and cannot fault. Elements are
 * accessed from the lowest on. The data are in S_SCRATCH, which nothing else uses before all operands are read, or once the
 * results are there.
 */

/** An access to each element: what is done before and after one that the TLB does not help, and instead where it does. */
interface ElementAccess {
  readonly flags: number
  readonly before?: (at: I32) => void
  readonly after?: (at: I32) => void
  readonly known?: (at: I32, host: I32, size: I32) => void
}

/** As many bits as `count` says, one or more, from bit `first` on. */
const bitsFrom = (first: I64, count: I32): I64 => I64.of(-1).shrU(I32.of(64).sub(count).toI64U()).shl(first)

/** Emits an access to each element whose bit is set, and returns from the function unless it is done. */
function eachElement(c: Context, f: FunctionBuilder, { flags, before, after, known }: ElementAccess): void {
  const state = f.param(0, 'i32').get
  const [ea, mask, bytes] = [f.param(1, 'i64').get, f.param(2, 'i64').get, f.param(3, 'i32').get]
  const [left, i, status, count] = [f.local('i64'), f.local('i64'), f.local('i32'), f.local('i32')]
  const table = (flags & SLOW_WRITE) === 0 ? S.TLB_READ : S.TLB_WRITE_OFFSET
  f.set(left, mask)
  f.block((done) => {
    f.loop((again) => {
      f.brIf(left.get.eqz(), done)
      f.set(i, numeric('i64.ctz', left.get))
      f.set(count, I32.of(1))
      const distance = f.let(i.get.toI32().mul(bytes))
      const at = f.let(state.add(distance))
      const address = f.let(ea.add(distance.toI64U()))
      const index = address.toI32().shrU(8).and(S.TLB_INDEX_MASK)
      const entry = f.let(f.loadExpression('i32.load', state, S.S_TLB).add(index))
      const inPage = f.let(address.sub(f.loadExpression('i64.load', entry, table)))
      f.if(
        inPage.ltU(I32.of(0x1001).sub(bytes).toI64U()),
        () => {
          // Neighbours in the page are accessed together.
          const fitting = f.let(I32.of(0x1000).sub(inPage.toI32()).divU(bytes))
          const run = f.let(numeric('i64.ctz', left.get.shrU(i.get).xor(-1n)).toI32())
          f.set(count, select(run.ltU(fitting), run, fitting))
          const host = f.loadExpression('i32.load', entry, table + 8).add(inPage.toI32())
          known?.(at, host, count.get.mul(bytes))
        },
        () => {
          before?.(at)
          f.store('i32.store', state, i.get.toI32(), S.S_ELEMENT)
          const [lo, hi] = [address.toI32(), address.shrU(32).toI32()]
          f.set(status, f.call(c.library.slowAccess, state, lo, hi, bytes.or(flags)))
          f.store('i32.store', state, I32.of(0), S.S_ELEMENT)
          f.if(status.get, () => f.return(status.get))
          after?.(at)
        },
      )
      f.set(left, left.get.and(bitsFrom(i.get, count.get).xor(-1n)))
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
    eachElement(c, f, {
      flags: 0,
      known: (at, host, size) => f.memoryCopy(at.add(S.S_SCRATCH), host, size),
      // The elements above are written later.
      after: (at) => f.store('i64.store', at, f.loadExpression('i64.load', state, S.S_DATA).and(kept), S.S_SCRATCH),
    })
    f.return(S.STATUS_DONE)
  })
}

/** (state, address, mask, bytes of an element) → status: checks that the elements can be written. */
export function maskedProbe(c: Context): SharedFunction<'i32'> {
  return c.shared('evex.probe', PARAMETERS, 'i32', (f) => {
    eachElement(c, f, { flags: SLOW_WRITE | SLOW_PROBE })
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
    eachElement(c, f, {
      flags: SLOW_WRITE,
      known: (at, host, size) => f.memoryCopy(host, at.add(S.S_SCRATCH), size),
      before: (at) => f.store('i64.store', state, f.loadExpression('i64.load', at, S.S_SCRATCH), S.S_DATA),
    })
    f.return(S.STATUS_DONE)
  })
}

/** (machine address, data's address, mask, bytes of an element): the same in memory that may be written. */
export function maskedStore(c: Context): SharedFunction {
  return c.shared('evex.store', ['i32', 'i32', 'i64', 'i32'], undefined, (f) => {
    const [to, from, bytes] = [f.param(0, 'i32').get, f.param(1, 'i32').get, f.param(3, 'i32').get]
    const [left, width] = [f.local('i64'), f.local('i32')]
    f.set(left, f.param(2, 'i64').get)
    f.block((done) => {
      f.loop((again) => {
        f.brIf(left.get.eqz(), done)
        const first = f.let(numeric('i64.ctz', left.get))
        const distance = f.let(first.toI32().mul(bytes))
        const [target, source] = [f.let(to.add(distance)), f.let(from.add(distance))]
        // Neighbours are written together.
        const run = f.let(numeric('i64.ctz', left.get.shrU(first).xor(-1n)).toI32().mul(bytes))
        const copy = (i: number): void => {
          const [size, load, store] = ACCESSES[i]!
          const write = (): void => {
            f.store(store, target, f.loadExpression(load, source, 0) as never)
            f.set(width, I32.of(size))
          }
          if (size === 1) write()
          else f.if(run.geU(size), write, () => copy(i + 1))
        }
        copy(0)
        f.set(left, left.get.and(bitsFrom(first, width.get.divU(bytes)).xor(-1n)))
        f.br(again)
      })
    })
  })
}

const ACCESSES: readonly (readonly [size: number, load: LoadOp, store: StoreOp])[] = [
  [16, 'v128.load', 'v128.store'],
  [8, 'i64.load', 'i64.store'],
  [4, 'i64.load32_u', 'i64.store32'],
  [2, 'i64.load16_u', 'i64.store16'],
  [1, 'i64.load8_u', 'i64.store8'],
]
