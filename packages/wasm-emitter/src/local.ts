import type { ByteWriter } from './bytes.ts'
import { check } from './checks.ts'
import { WasmEmitterError } from './errors.ts'
import type { ValueType } from './opcodes.ts'
import { valueTypeCode } from './signature.ts'
import { valueFrom, type ValueOf } from './value-of.ts'

/** A mutable local variable. */
export interface Local<T extends ValueType = ValueType> {
  /** WebAssembly type. */
  readonly type: T
  /** Index among the locals; parameters come first. */
  readonly index: number
  /** The variable's value *at the place of use*: an expression holding it sees later assignments. */
  readonly get: ValueOf[T]
}

/** Checks a local variable. */
export function checkLocal(local: Local): void {
  if (!Number.isInteger((local as Local | null)?.index)) throw check.wrong('a local', local, 'what local() returns')
}

/** Makes the variable of an index. */
export function makeLocal<T extends ValueType>(type: T, index: number): Local<T> {
  const get = valueFrom(type, (out) => {
    out.u8(0x20)
    out.leb(index)
  })
  return { type, index, get }
}

/** The lists of a function that is being built; a complete function has none, since a module keeps thousands. */
interface Lists {
  /** The types of all variables, in the order of their indices. */
  readonly types: ValueType[]
  readonly free: Readonly<Record<ValueType, Local[]>>
}

/** The local variables of a function that is being built. A variable that is given back is taken again. */
export class Locals {
  readonly #function: string
  /** The index of the first local: parameters come before it. */
  readonly #first: number
  #lists: Lists | undefined = { types: [], free: { i32: [], i64: [], f32: [], f64: [], v128: [] } }
  #scope: Local[] = []
  /** Values of variables that are set once in their lives, and have been. */
  readonly #bound = new Set<unknown>()

  /**
   * @param functionName - for errors
   * @param first - the number of parameters
   */
  constructor(functionName: string, first: number) {
    this.#function = functionName
    this.#first = first
  }

  get #open(): Lists {
    if (this.#lists === undefined) throw new WasmEmitterError('ERR_STRUCTURE', `${this.#function} is complete already`)
    return this.#lists
  }

  /** Returns a variable that lives to the end of the current scope. */
  take<T extends ValueType>(type: T): Local<T> {
    const local = this.reserve(type)
    this.#scope.push(local)
    return local
  }

  /** Returns a variable that lives until it is released. */
  reserve<T extends ValueType>(type: T): Local<T> {
    const { free, types } = this.#open
    const local = free[type].pop() as Local<T> | undefined
    if (local !== undefined) return local
    types.push(type)
    return makeLocal(type, this.#first + types.length - 1)
  }

  /** Binds a local that was set, and is not set again before its release. */
  bind(local: Local): void {
    this.#bound.add(local.get)
  }

  /** Whether a value reads one of these locals. */
  isBound(value: unknown): boolean {
    return this.#bound.has(value)
  }

  /** Gives back a reserved variable. */
  release(local: Local): void {
    this.#bound.delete(local.get)
    this.#open.free[local.type].push(local)
  }

  /** Gives back, after `build`, the variables that it has taken. */
  scope(build: () => void): void {
    const outer = this.#scope
    this.#scope = []
    build()
    for (const local of this.#scope) this.release(local)
    this.#scope = outer
  }

  /** Writes the declarations, which precede a function's code, and ends the use of the variables. */
  finish(out: ByteWriter): void {
    const runs: { type: ValueType; count: number }[] = []
    for (const type of this.#open.types) {
      const last = runs.at(-1)
      if (last?.type === type) last.count++
      else runs.push({ type, count: 1 })
    }
    out.leb(runs.length)
    for (const { type, count } of runs) {
      out.leb(count)
      out.u8(valueTypeCode(type))
    }
    this.#lists = undefined
    this.#scope = []
    this.#bound.clear()
  }
}
