import { I32, I64, select, type Local } from '@retrap/wasm-emitter'
import { flagsOfDifference, flagsOfSum, type FlagOperation, type Flags, type FlagStore } from '../semantics/flags.ts'
import { S_FLAG_C, S_FLAG_N, S_FLAG_V, S_FLAG_Z } from '../state/state-layout.ts'
import type { RecordFunction } from './record-function.ts'

/** The content of the locals: the flags themselves, */
const EXPLICIT = 0
/** or the result of a subtraction and its operands; the 64-bit kind is one higher; */
const DIFFERENCE = 1
/** or the result of an addition and its operands. */
const SUM = 3

/**
 * A unit's flags, in locals. After an addition or subtraction these hold the operands: C and V are computed where they are
 * read, and where the unit is left.
 */
export class UnitFlags implements FlagStore {
  readonly #f: RecordFunction
  readonly #kind: Local<'i32'>
  /** The result: N is its sign, and Z is set for zero unless the flags are explicit. */
  readonly #result: Local<'i64'>
  /** The first operand; of explicit flags C in bit 0, V in bit 1. */
  readonly #a: Local<'i64'>
  /** The second operand; of explicit flags zero where Z is set. */
  readonly #b: Local<'i64'>
  /** The value of `#kind` at this point, if known. */
  #known: number | undefined = EXPLICIT

  /** @param f - of the unit */
  constructor(f: RecordFunction) {
    this.#f = f
    this.#kind = f.local('i32')
    this.#result = f.local('i64')
    this.#a = f.local('i64')
    this.#b = f.local('i64')
  }

  get n(): I64 {
    return this.#result.get
  }

  get z(): I64 {
    if (this.#known === undefined) return select(this.#kind.get, this.#result.get, this.#b.get)
    return this.#known === EXPLICIT ? this.#b.get : this.#result.get
  }

  get c(): I32 {
    return this.#carryAndOverflow().c
  }

  get v(): I32 {
    return this.#carryAndOverflow().v
  }

  get operation(): FlagOperation | undefined {
    if (this.#known === undefined || this.#known === EXPLICIT) return undefined
    return {
      subtracts: this.#known < SUM,
      wide: (this.#known & 1) === 0,
      a: this.#a.get,
      b: this.#b.get,
    }
  }

  set(flags: Flags): void {
    const f = this.#f
    const { operation } = flags
    const result = f.let(flags.n)
    if (operation === undefined) {
      const z = f.let(flags.z)
      const a = f.let(flags.c.or(flags.v.shl(1)).toI64U())
      this.#put(EXPLICIT, result, a, z)
    } else {
      const { subtracts, wide } = operation
      const [a, b] = [f.let(operation.a), f.let(operation.b)]
      this.#put((subtracts ? DIFFERENCE : SUM) + (wide ? 1 : 0), result, a, b)
    }
  }

  #put(kind: number, result: I64, a: I64, b: I64): void {
    const f = this.#f
    f.set(this.#result, result)
    f.set(this.#a, a)
    f.set(this.#b, b)
    f.set(this.#kind, I32.of(kind))
    // After an arm the flags may be as they were.
    this.#known = f.isInArm ? undefined : kind
  }

  /** Emits stores of the flags into the state. */
  store(state: I32): void {
    const f = this.#f
    const z = f.let(this.z)
    const { c, v } = this.#carryAndOverflow()
    f.store('i64.store', state, this.n, S_FLAG_N)
    f.store('i64.store', state, z, S_FLAG_Z)
    f.store('i32.store', state, c, S_FLAG_C)
    f.store('i32.store', state, v, S_FLAG_V)
  }

  /** Emits loads of the flags from the state. */
  load(state: I32): void {
    const f = this.#f
    const c = f.loadExpression('i32.load', state, S_FLAG_C)
    const v = f.loadExpression('i32.load', state, S_FLAG_V)
    const [n, z] = ([S_FLAG_N, S_FLAG_Z] as const).map((at) => f.loadExpression('i64.load', state, at)) as [I64, I64]
    this.#put(EXPLICIT, n, c.or(v.shl(1)).toI64U(), z)
  }

  /** Control has come from several places. */
  meet(): void {
    this.#known = undefined
  }

  /** Calls `build`, which emits code that is branched to from here; afterwards the known values are restored. */
  aside(build: () => void): void {
    const known = this.#known
    this.#f.outsideArms(build)
    this.#known = known
  }

  #carryAndOverflow(): { readonly c: I32; readonly v: I32 } {
    if (this.#known === undefined) return this.#derived()
    const [a, b] = [this.#a.get, this.#b.get]
    if (this.#known === EXPLICIT) return { c: a.toI32().and(1), v: a.shrU(1).toI32() }
    const wide = (this.#known & 1) === 0
    return (this.#known < SUM ? flagsOfDifference : flagsOfSum)(a, b, this.#result.get, wide)
  }

  /** C and V of a kind that is not known. */
  #derived(): { readonly c: I32; readonly v: I32 } {
    const f = this.#f
    const [kind, a, b, result] = [this.#kind.get, this.#a.get, this.#b.get, this.#result.get]
    const [c, v] = [f.local('i32'), f.local('i32')]
    f.set(c, a.toI32().and(1))
    f.set(v, a.shrU(1).toI32())
    f.structuredIf(kind, () => {
      const top = f.let(I64.of(63).sub(kind.and(1).shl(5).toI64U()))
      const topBit = (value: I64): I32 => value.shrU(top).toI32().and(1)
      const subtracts = f.let(kind.ltU(SUM))
      const carry = a.and(b).or(a.or(b).and(result.xor(-1)))
      f.set(c, select(subtracts, a.geU(b), topBit(carry)))
      f.set(v, topBit(a.xor(result).and(select(subtracts, a.xor(b), b.xor(result)))))
    })
    return { c: c.get, v: v.get }
  }
}
