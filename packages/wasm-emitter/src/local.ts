import { wrong } from './checks.ts'
import type { ValueType } from './opcodes.ts'
import { valueFrom, type ValueOf } from './value-of.ts'

/** A mutable local variable. */
export interface Local<T extends ValueType = ValueType> {
  /** Its WebAssembly type. */
  readonly type: T
  /** Its index among the locals; parameters come first. */
  readonly index: number
  /** The variable's value *at the place of use*: an expression holding it sees later assignments. */
  readonly get: ValueOf[T]
}

/** Checks a local variable. */
export function checkLocal(local: Local): void {
  if (!Number.isInteger((local as Local | null)?.index)) throw wrong('a local', local, 'what local() returns')
}

/** Makes the variable of an index. */
export function makeLocal<T extends ValueType>(type: T, index: number): Local<T> {
  const get = valueFrom(type, (out) => {
    out.u8(0x20)
    out.leb(index)
  })
  return { type, index, get }
}
