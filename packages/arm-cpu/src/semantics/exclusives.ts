import type { Form as Row } from '@retrap/arm-decoder'
import { I32, type I64 } from '@retrap/wasm-emitter'
import { ACCESS_WRITE } from '../state/access-rights.ts'
import type { ArmContext } from './context.ts'
import { ATOMIC_LOADS, type ElementSize } from '../state/form.ts'
import { familyOf, type Family, type Semantics } from './semantics.ts'
import { R_A, R_D, R_M } from '../state/record.ts'
import { S_EXCLUSIVE_ADDRESS, S_EXCLUSIVE_BYTES, S_EXCLUSIVE_VALUE } from '../state/state-layout.ts'
import { compareExchange, withPairLock } from './atomics.ts'
import { alignedKind, baseOf } from './operands.ts'

/**
 * Load-exclusive and store-exclusive.
 *
 * The monitor knows the address, the bytes and the value that the load has seen. The store is a compare-and-swap with that
 * value, so that whatever has changed the bytes meanwhile makes it fail.
 */

/** Returns bytes of a register, and the number of registers. */
export const shapeOf = ({ size, attributes }: Row): readonly [size: ElementSize, count: number] => [
  size as ElementSize,
  attributes.has('pair') || attributes.has('couple') ? 2 : 1,
]

/** Both halves of a pair of 32-bit registers are one access. */
const isJoined = (size: number, count: number): boolean => size === 4 && count === 2

/** Loads one or two registers, `R_D` and `R_A`, and marks the bytes. */
export function emitLoadExclusive(c: ArmContext, base: I64, size: ElementSize, count: number): void {
  const { f, state } = c
  const bytes = size * count
  c.load(base, bytes, alignedKind(bytes), (host) => {
    const element = isJoined(size, count) ? 8 : size
    const values = Array.from({ length: bytes / element }, (_, i) => f.load(ATOMIC_LOADS[element], host, i * element))
    f.store('i32.store', state, I32.of(bytes), S_EXCLUSIVE_BYTES)
    f.store('i64.store', state, base, S_EXCLUSIVE_ADDRESS)
    for (const [i, value] of values.entries()) f.store('i64.store', state, value, S_EXCLUSIVE_VALUE + 8 * i)
    const second = isJoined(size, count) ? values[0]!.shrU(32) : values[1]
    c.write(R_D, values[0]!, size === 8)
    if (second !== undefined) c.write(R_A, second, size === 8)
  })
}

const loadExclusive: Semantics = {
  selectors: '',
  usesStack: true,
  emit: (c, form) => emitLoadExclusive(c, baseOf(c, form), ...shapeOf(form.row)),
}

/** Writes the registers if memory still holds the monitored value. @returns whether it did */
function exchange(c: ArmContext, host: I32, size: ElementSize, count: number): I32 {
  const { f, state } = c
  const expected = (i: number): I64 => f.loadExpression('i64.load', state, S_EXCLUSIVE_VALUE + 8 * i)
  const first = c.d(true)
  if (count === 1) return compareExchange(c, host, size, expected(0), first).eq(expected(0))
  const second = c.read(R_A, true)
  if (isJoined(size, count)) {
    const both = c.d(false).or(second.shl(32))
    return compareExchange(c, host, 8, expected(0), both).eq(expected(0))
  }
  const isDone = f.local('i32')
  withPairLock(c, () => {
    const [low, high] = [f.loadExpression('i64.load', host), f.loadExpression('i64.load', host, 8)]
    f.set(isDone, low.eq(expected(0)).and(high.eq(expected(1))))
    f.if(isDone.get, () => {
      f.store('i64.store', host, first)
      f.store('i64.store', host, second, 8)
    })
  })
  return isDone.get
}

/** Stores `R_D` and `R_A` if the bytes are marked and unchanged; `R_M` gets the failure flag. */
export function emitStoreExclusive(c: ArmContext, base: I64, size: ElementSize, count: number): void {
  const { f, state } = c
  const bytes = size * count
  // Whether a store that will fail is checked for aborts is for the implementation to say: it is.
  c.modify(base, bytes, alignedKind(bytes) | ACCESS_WRITE, (host) => {
    const isMarked = f
      .loadExpression('i32.load', state, S_EXCLUSIVE_BYTES)
      .eq(bytes)
      .and(f.loadExpression('i64.load', state, S_EXCLUSIVE_ADDRESS).eq(base))
    const done = f.ifElse(
      'i32',
      isMarked,
      () => exchange(c, host, size, count),
      () => I32.of(0),
    )
    f.store('i32.store', state, I32.of(0), S_EXCLUSIVE_BYTES)
    c.write(R_M, done.eqz().toI64U(), false)
  })
}

const storeExclusive: Semantics = {
  selectors: '',
  usesStack: true,
  emit: (c, form) => emitStoreExclusive(c, baseOf(c, form), ...shapeOf(form.row)),
}

/** Opens the monitor. */
export function emitClearExclusive(c: ArmContext): void {
  c.f.store('i32.store', c.state, I32.of(0), S_EXCLUSIVE_BYTES)
}

const clearExclusive: Semantics = { selectors: '', emit: emitClearExclusive }

/** The family's semantics of a row. */
export const exclusives: Family<Semantics> = familyOf({
  'load-exclusive': loadExclusive,
  'store-exclusive': storeExclusive,
  'clear-exclusive': clearExclusive,
})
