import type { Form as Row } from '@retrap/arm-decoder'
import { I32, type I64, select, type AtomicRmwOp } from '@retrap/wasm-emitter'
import type { ArmContext } from './context.ts'
import { ATOMIC_LOADS, maskOf, type ElementSize, valueOf, type ArmForm } from '../state/form.ts'
import type { Semantics } from './semantics.ts'
import { R_A, R_M, R_MORE } from '../state/record.ts'
import { S_PAIR_LOCK } from '../state/state-layout.ts'
import { alignedKind, baseOf } from './operands.ts'
import { extendedFrom } from './vector/lanes.ts'

/** Atomic operations of the Large System Extensions, on memory in place. Other processors see each as one access. */

/** The single WebAssembly instruction on memory, and the operation on the source before it. */
interface Direct {
  readonly op: 'add' | 'and' | 'or' | 'xor' | 'xchg'
  readonly source?: (source: I64) => I64
}

const DIRECT: Readonly<Record<string, Direct>> = {
  add: { op: 'add' },
  clear: { op: 'and', source: (source) => source.xor(-1) },
  eor: { op: 'xor' },
  set: { op: 'or' },
  swap: { op: 'xchg' },
}

const WIDTHS = { 1: 'rmw8', 2: 'rmw16', 4: 'rmw32', 8: 'rmw' } as const

/** The name of an atomic instruction for elements of this many bytes. */
function atomicOp<Name extends Direct['op'] | 'cmpxchg'>(name: Name, size: ElementSize): AtomicRmwOp & `i64.${string}` {
  return `i64.atomic.${WIDTHS[size]}.${name}${size === 8 ? '' : '_u'}` as AtomicRmwOp & `i64.${string}`
}

/** Compares and swaps; the expected value has no bits beyond the element. @returns the old value */
export function compareExchange(c: ArmContext, host: I32, size: ElementSize, expected: I64, value: I64): I64 {
  return c.f.atomic(atomicOp('cmpxchg', size), host, [expected, value])
}

/** Maximum and minimum: a write by another processor in between makes the operation start over. */
function extreme(c: ArmContext, host: I32, size: ElementSize, kind: string, source: I64): I64 {
  const { f } = c
  const isSigned = kind.startsWith('s')
  const comparable = (value: I64): I64 => (isSigned ? extendedFrom(value, 8 * size, true) : value.and(maskOf(size)))
  const operand = c.let(comparable(source))
  const old = f.local('i64')
  f.set(old, f.loadExpression(ATOMIC_LOADS[size], host))
  f.loop((again) => {
    const value = comparable(old.get)
    const isLess = isSigned ? value.ltS(operand) : value.ltU(operand)
    const isKept = kind.endsWith('min') ? isLess : isLess.eqz()
    const found = compareExchange(c, host, size, old.get, select(isKept, old.get, operand))
    const isOther = c.let(found.ne(old.get))
    f.set(old, found)
    f.brIf(isOther, again)
  })
  return old.get
}

const sizeOf = (form: ArmForm): ElementSize => (form.row.size || 1 << valueOf(form, 'z')) as ElementSize

const OPERATIONS = ['add', 'clear', 'eor', 'set', 'smax', 'smin', 'umax', 'umin', 'swap']

const atomic: Semantics = {
  selectors: 'z',
  usesStack: true,
  emit(c, form) {
    const size = sizeOf(form)
    const operation = OPERATIONS.find((name) => form.row.attributes.has(name))!
    const direct = DIRECT[operation]
    c.modify(baseOf(c, form), size, alignedKind(size), (host) => {
      const source = c.m(true)
      const old =
        direct === undefined
          ? extreme(c, host, size, operation, source)
          : c.f.atomic(atomicOp(direct.op, size), host, [direct.source?.(source) ?? source])
      c.setD(old, size === 8)
    })
  },
}

const compareAndSwap: Semantics = {
  selectors: 'z',
  usesStack: true,
  emit(c, form) {
    const size = sizeOf(form)
    c.modify(baseOf(c, form), size, alignedKind(size), (host) => {
      c.write(R_A, compareExchange(c, host, size, c.m(true).and(maskOf(size)), c.d(true)), size === 8)
    })
  },
}

/** The second registers of CASP's pairs: the compared value, the old value, and the new value. */
const R_COMPARED = R_MORE
const R_OLD: number = R_MORE + 2
const R_NEW: number = R_MORE + 4

/** Looks for the lock of pairs before TypeScript waits: about a microsecond. */
const PAIR_TRIES = 100

/**
 * Changes 16 bytes with the lock of pairs, as WebAssembly has no atomic access to them: no other thread's change of a pair comes
 * in between. Before it nothing may have changed.
 */
export function withPairLock(c: ArmContext, change: () => void): void {
  const { f, state } = c
  const lock = f.load('i32.load', state, S_PAIR_LOCK)
  const [isTaken, tries] = [f.local('i32'), f.local('i32')]
  f.set(tries, I32.of(PAIR_TRIES))
  f.loop((again) => {
    f.set(isTaken, f.atomic('i32.atomic.rmw.cmpxchg', lock, [I32.of(0), I32.of(1)]).eqz())
    f.set(tries, tries.get.sub(1))
    f.brIf(isTaken.get.eqz().and(tries.get.ne(0)), again)
  })
  // The thread that has it does not execute just now.
  f.if(isTaken.get.eqz(), () => c.useHandler())
  change()
  f.store('i32.atomic.store', lock, I32.of(0), 0)
}

const compareAndSwapPair: Semantics = {
  selectors: '',
  usesStack: true,
  emit(c, form) {
    const { f } = c
    const size = form.row.size as 4 | 8
    c.modify(baseOf(c, form), 2 * size, alignedKind(2 * size), (host) => {
      if (size === 4) {
        const both = (low: number, high: number): I64 => c.read(low, false).or(c.read(high, true).shl(32))
        const old = compareExchange(c, host, 8, both(R_M, R_COMPARED), c.d(false).or(c.read(R_NEW, true).shl(32)))
        c.write(R_A, old, false)
        c.write(R_OLD, old.shrU(32), false)
        return
      }
      withPairLock(c, () => {
        const old = [f.load('i64.load', host), f.load('i64.load', host, 8)] as const
        const isEqual = old[0].eq(c.m(true)).and(old[1].eq(c.read(R_COMPARED, true)))
        f.if(isEqual, () => {
          f.store('i64.store', host, c.d(true))
          f.store('i64.store', host, c.read(R_NEW, true), 8)
        })
        c.write(R_A, old[0], true)
        c.write(R_OLD, old[1], true)
      })
    })
  },
}

/** The family's semantics of a row. */
export function atomics(row: Row): Semantics | undefined {
  if (row.attributes.has('unprivileged') || row.attributes.has('pair')) return undefined
  if (row.operation === 'atomic') return atomic
  if (row.operation !== 'compare-and-swap') return undefined
  return row.attributes.has('couple') ? compareAndSwapPair : compareAndSwap
}
