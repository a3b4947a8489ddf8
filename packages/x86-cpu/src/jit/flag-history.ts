import { I32, select, type I64, type Local } from '@retrap/wasm-emitter'
import { FLAGS_EXPLICIT, FLAGS_RESULT, FLAG_CF, FLAG_ZF } from '../state/state-layout.ts'
import type { FlagChange } from '../semantics/flag-context.ts'
import { FLAG_MASKS, resultParts, type FlagName, type FlagParts } from '../semantics/flag-parts.ts'

// The known facts about the arithmetic flags at a point of a region: the operation and the changes that they come from.

/** Flags whose values are in locals. */
interface Held {
  /** Locals that hold its values, of the depth `depth`. */
  readonly locals: readonly Local[]
  readonly depth: number
}

/** The locals of the lazy flags hold them. */
export interface Settled {
  readonly type: 'settled'
  /** The kind, where it is known. */
  readonly kind: number | undefined
}

/** The flags come from one operation. */
interface Operation extends Held {
  readonly type: 'operation'
  readonly kind: number
  readonly a: I64
  readonly b: I64
  readonly result: I64
}

/** Some have changed since. */
export interface Change extends Held {
  readonly type: 'change'
  readonly before: Flags
  readonly change: FlagChange
}

/** The flags at a point of a region, by where they come from. */
export type Flags = Settled | Operation | Change

/** The lazy flags of an operation: kind, operands, result. */
export function operationOf({ kind, a, b, result }: Operation): readonly [number, I64, I64, I64] {
  return [kind, a, b, result]
}

/** The kind that the lazy flags have; undefined where that is not known. */
export function kindOf(flags: Flags): number | undefined {
  if (flags.type !== 'change') return flags.kind
  const { result, when } = flags.change
  return result === undefined || when !== undefined ? FLAGS_EXPLICIT : FLAGS_RESULT
}

/** The number of changes that are kept upon one another. */
export function depthOf(flags: Flags): number {
  return flags.type === 'change' ? 1 + depthOf(flags.before) : 0
}

/** The flags after a change, each computed where it is asked for. */
export class ChangedParts implements FlagParts {
  readonly #change: FlagChange
  readonly #before: () => FlagParts
  #own: Partial<FlagParts> | undefined
  #old: FlagParts | undefined

  constructor(change: FlagChange, before: () => FlagParts) {
    this.#change = change
    this.#before = before
  }

  get carry(): I32 {
    return this.#part('carry')
  }
  get parity(): I32 {
    return this.#part('parity')
  }
  get adjust(): I32 {
    return this.#part('adjust')
  }
  get zero(): I32 {
    return this.#part('zero')
  }
  get sign(): I32 {
    return this.#part('sign')
  }
  get overflow(): I32 {
    return this.#part('overflow')
  }

  get carryOrZero(): I32 | undefined {
    const { written, when } = this.#change
    const isWhole = (written & (FLAG_CF | FLAG_ZF)) === (FLAG_CF | FLAG_ZF) && when === undefined
    return isWhole ? this.#written().carryOrZero : undefined
  }

  #part(name: FlagName): I32 {
    const { written, when } = this.#change
    const old = (): I32 => (this.#old ??= this.#before())[name]
    if ((written & FLAG_MASKS[name]) === 0) return old()
    const own = this.#written()[name] ?? I32.of(0)
    return when === undefined ? own : select(when, own, old())
  }

  #written(): Partial<FlagParts> {
    const { from, result } = this.#change
    return (this.#own ??= { ...this.#change.flags(...from), ...(result === undefined ? {} : resultParts(result)) })
  }
}
