import type { ByteWriter } from './bytes.ts'
import { check, checkIndex, entryOf } from './checks.ts'
import { I32, I64, type I32Like } from './integers.ts'
import { ATOMIC_RMW, LOADS, STORES } from './opcodes.ts'
import type { AtomicRmwOp, LoadOp, PrefixType, StoreOp, ValueType } from './opcodes.ts'
import { checkValue, type Value } from './value.ts'
import { valueFrom, type ValueOf } from './value-of.ts'

/** An instruction's bytes, and log2 of its required alignment: only atomic instructions require any. */
type Encoding = readonly [code: readonly number[], align?: number]

/** 64-bit stores of at most 32 bits, each with the 32-bit store that has the same effect. */
const NARROW_STORES: Readonly<Partial<Record<StoreOp, 'i32.store' | 'i32.store16' | 'i32.store8'>>> = {
  'i64.store32': 'i32.store',
  'i64.store16': 'i32.store16',
  'i64.store8': 'i32.store8',
}

/** The types before the dots in the names of instructions that access memory. */
const PREFIXES: ReadonlyMap<string, ValueType> = new Map(
  [LOADS, STORES, ATOMIC_RMW].flatMap((table) =>
    Object.keys(table).map((op) => [op, op.slice(0, op.indexOf('.')) as ValueType]),
  ),
)

function prefixOf<K extends LoadOp | StoreOp | AtomicRmwOp>(op: K): PrefixType<K> {
  return PREFIXES.get(op) as PrefixType<K>
}

/** Makes a load that happens where the value is used. */
export function loaded<K extends LoadOp>(op: K, address: I32Like, offset: number): ValueOf[PrefixType<K>] {
  const [code, align]: Encoding = entryOf(LOADS, 'a load', op)
  checkIndex('an offset', offset)
  const base = I32.of(address)
  return valueFrom(prefixOf(op), (out) => {
    base.emit(out)
    out.raw(code)
    // Guest addresses are arbitrary: claim no alignment, except for atomics.
    out.leb(align ?? 0)
    out.leb(offset)
  })
}

/** Appends a store. */
export function emitStore<K extends StoreOp>(
  out: ByteWriter,
  op: K,
  address: I32Like,
  value: ValueOf[PrefixType<K>],
  offset: number,
): void {
  const narrow = NARROW_STORES[op]
  if (narrow !== undefined && value instanceof I64 && value.extended !== undefined && value.known === undefined) {
    emitStore(out, narrow, address, value.extended.low, offset)
    return
  }
  const [code, align]: Encoding = entryOf(STORES, 'a store', op)
  checkValue(value as Value, prefixOf(op))
  checkIndex('an offset', offset)
  I32.of(address).emit(out)
  ;(value as Value).emit(out)
  out.raw(code)
  out.leb(align ?? 0)
  out.leb(offset)
}

/** Makes an atomic read-modify-write that happens where the value is used: it is the old value. */
export function exchanged<K extends AtomicRmwOp>(
  op: K,
  address: I32Like,
  operands: readonly ValueOf[PrefixType<K>][],
  offset: number,
): ValueOf[PrefixType<K>] {
  const [code, align] = entryOf(ATOMIC_RMW, 'an atomic instruction', op)
  const type = prefixOf(op)
  check.list('the operands', operands)
  for (const operand of operands) checkValue(operand as Value, type)
  checkIndex('an offset', offset)
  const base = I32.of(address)
  return valueFrom(type, (out) => {
    base.emit(out)
    for (const operand of operands) (operand as Value).emit(out)
    out.raw(code)
    out.leb(align)
    out.leb(offset)
  })
}
