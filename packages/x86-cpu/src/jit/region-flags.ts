import { I32, I64, select, type Callee, type Local, type Value, type ValueType } from '@retrap/wasm-emitter'
import * as S from '../state/state-layout.ts'
import type { FlagChange, FlagStore } from '../semantics/flag-context.ts'
import { FLAG_MASKS, flagBits, flagOf, flagParts, flagsOf, resultParts } from '../semantics/flag-parts.ts'
import type { FlagName, FlagParts } from '../semantics/flag-parts.ts'
import { ChangedParts, depthOf, kindOf, operationOf, type Change, type Flags, type Settled } from './flag-history.ts'
import type { RegionBuilder } from './region-builder.ts'

/** Changes of some flags that are kept upon one another. */
const DEEPEST = 3

/** The flags at a point of a region, to come back to. */
export interface FlagsMark {
  readonly flags: Flags
  readonly arms: number
  readonly hasChangedInArm: boolean
}

/**
 * The arithmetic flags while a region is generated. They are computed where they are read; where the region is left or
 * edges meet, the locals of the lazy flags take them.
 */
export class RegionFlags implements FlagStore {
  readonly #f: RegionBuilder
  readonly #derive: Callee & { readonly signature: { readonly result: 'i32' } }
  readonly #kind: Local<'i32'>
  readonly #a: Local<'i64'>
  readonly #b: Local<'i64'>
  readonly #result: Local<'i64'>
  #flags: Flags = { type: 'settled', kind: undefined }
  #depth = 0
  /** Arms of the current instruction that are open. */
  #arms = 0
  #hasChangedInArm = false

  /** @param derive - computes the flags of a state whose kind is not known */
  constructor(f: RegionBuilder, derive: Callee & { readonly signature: { readonly result: 'i32' } }) {
    this.#f = f
    this.#derive = derive
    this.#kind = f.local('i32')
    this.#a = f.local('i64')
    this.#b = f.local('i64')
    this.#result = f.local('i64')
  }

  // ---------------------------------------------------------------- the state in memory

  /** Takes the flags from the state. */
  load(state: I32): void {
    const f = this.#f
    f.set(this.#kind, f.loadExpression('i32.load', state, S.S_FLAGS_KIND))
    f.set(this.#a, f.loadExpression('i64.load', state, S.S_FLAGS_A))
    f.set(this.#b, f.loadExpression('i64.load', state, S.S_FLAGS_B))
    f.set(this.#result, f.loadExpression('i64.load', state, S.S_FLAGS_RESULT))
  }

  /** The flags are those that {@link load} has taken. */
  forget(): void {
    this.#replace({ type: 'settled', kind: undefined })
  }

  /** Stores what {@link materialise} has made. */
  store(state: I32): void {
    const f = this.#f
    f.store('i32.store', state, this.#kind.get, S.S_FLAGS_KIND)
    f.store('i64.store', state, this.#a.get, S.S_FLAGS_A)
    f.store('i64.store', state, this.#b.get, S.S_FLAGS_B)
    f.store('i64.store', state, this.#result.get, S.S_FLAGS_RESULT)
  }

  // ---------------------------------------------------------------- control flow

  /** Has the locals hold the flags, where control goes elsewhere: what follows in the code sees them as before. */
  materialise(): void {
    const flags = this.#flags
    const f = this.#f
    if (flags.type === 'settled') return
    const [kind, a, b, result] = flags.type === 'operation' ? operationOf(flags) : this.#lazyOf(flags)
    f.set(this.#kind, I32.of(kind))
    f.set(this.#a, a)
    f.set(this.#b, b)
    f.set(this.#result, result)
  }

  /** Has the locals hold the flags from here on. */
  settle(): void {
    this.materialise()
    this.#replace({ type: 'settled', kind: kindOf(this.#flags) })
  }

  /** The kind that the locals have once they hold the flags; null where that is not known. */
  get knownKind(): number | null {
    return kindOf(this.#flags) ?? null
  }

  /** Control has come from several places, whose locals held the flags. @param kind - if all had the same */
  meet(kind: number | undefined): void {
    this.#replace({ type: 'settled', kind })
  }

  /** Later code is generated aside, and then the code after this point. */
  enter(): FlagsMark {
    const mark = {
      flags: this.#flags,
      arms: this.#arms,
      hasChangedInArm: this.#hasChangedInArm,
    }
    this.#depth++
    this.#arms = 0
    return mark
  }

  /** Goes on where {@link enter} was called. */
  leave({ flags, arms, hasChangedInArm }: FlagsMark): void {
    this.#replace(flags)
    this.#arms = arms
    this.#hasChangedInArm = hasChangedInArm
    this.#depth--
  }

  // ---------------------------------------------------------------- an instruction

  /** Code follows that runs only sometimes. */
  beginArm(): void {
    this.#arms++
  }

  endArm(): void {
    this.#arms--
    if (this.#hasChangedInArm && this.#arms === 0) {
      this.forget()
      this.#hasChangedInArm = false
    }
  }

  set(kind: number | I32, a: I64, b: I64, result: I64): void {
    const f = this.#f
    if (typeof kind === 'number' && this.#arms === 0) {
      const held = this.#hold([a, b, result])
      const [heldA, heldB, heldResult] = held.values as [I64, I64, I64]
      const { locals } = held
      this.#replace({
        type: 'operation',
        kind,
        a: heldA,
        b: heldB,
        result: heldResult,
        locals,
        depth: this.#depth,
      })
      return
    }
    if (this.#flags.type !== 'settled') throw new TypeError('flags of an arm are not settled')
    const [va, vb, vr] = [f.let(a), f.let(b), f.let(result)]
    f.set(this.#a, va)
    f.set(this.#b, vb)
    f.set(this.#result, vr)
    f.set(this.#kind, I32.of(kind))
    if (this.#arms > 0) this.#hasChangedInArm = true
    else this.forget()
  }

  change(change: FlagChange): void {
    const { when, result, from } = change
    if (when?.known === 0) return
    const condition = when?.known === undefined ? when : undefined
    const isPartial = (change.written & S.FLAGS_ARITHMETIC) !== S.FLAGS_ARITHMETIC || condition !== undefined
    if (this.#arms > 0) throw new TypeError('an arm changes all flags')
    if (isPartial && depthOf(this.#flags) >= DEEPEST) this.settle()
    const held = this.#hold([result ?? I64.of(0), condition?.toI64U() ?? I64.of(0), ...from])
    const [heldResult, heldWhen, ...heldFrom] = held.values as [I64, I64, ...I64[]]
    const { when: _when, result: _result, ...rest } = change
    const next: FlagChange = {
      ...rest,
      from: heldFrom,
      ...(result === undefined ? {} : { result: heldResult }),
      ...(condition === undefined ? {} : { when: heldWhen.toI32() }),
    }
    const before: Flags = isPartial ? this.#neededOf(next) : { type: 'settled', kind: undefined }
    this.#replace({ type: 'change', before, change: next, locals: held.locals, depth: this.#depth })
  }

  /** The flags before a change, without changes all of which it overwrites. */
  #neededOf({ written, when }: FlagChange): Flags {
    let flags = this.#flags
    while (when === undefined && flags.type === 'change' && flags.change.when === undefined) {
      if ((flags.change.written & ~written) !== 0) break
      flags = flags.before
    }
    return flags
  }

  // ---------------------------------------------------------------- reading

  /** The flags, if they are known without a look at the kind. */
  get known(): { readonly parts: FlagParts; readonly subtraction: readonly [a: I64, b: I64] | undefined } | undefined {
    const flags = this.#flags
    if (flags.type === 'settled' && flags.kind === undefined) return undefined
    const parts = this.#partsOf(flags)
    if (flags.type === 'change' || flags.kind !== S.FLAGS_SUB) return { parts, subtraction: undefined }
    return { parts, subtraction: flags.type === 'operation' ? [flags.a, flags.b] : [this.#a.get, this.#b.get] }
  }

  /** The six at their places in RFLAGS. */
  bits(): I32 {
    return this.#bitsOf(this.#flags)
  }

  get kind(): I32 {
    const { type, kind } = this.#flags as Settled
    if (type !== 'settled') throw new TypeError('the locals hold the flags')
    return kind === undefined ? this.#kind.get : I32.of(kind)
  }

  get a(): I64 {
    return this.#a.get
  }

  get b(): I64 {
    return this.#b.get
  }

  get result(): I64 {
    return this.#result.get
  }

  #partsOf(flags: Flags): FlagParts {
    if (flags.type === 'operation') return flagParts(...operationOf(flags))
    if (flags.type === 'change') return new ChangedParts(flags.change, () => this.#partsOf(flags.before))
    const [a, b, result] = [this.#a.get, this.#b.get, this.#result.get]
    if (flags.kind !== undefined) return flagParts(flags.kind, a, b, result)
    const bits = this.#bitsOf(flags)
    const parts: Partial<Record<FlagName, I32>> = {}
    for (const name of Object.keys(FLAG_MASKS) as FlagName[]) parts[name] = flagOf(bits, name)
    return parts as FlagParts
  }

  #bitsOf(flags: Flags): I32 {
    const f = this.#f
    if (flags.type === 'operation') return f.let(flagBits(...operationOf(flags)))
    if (flags.type === 'settled') {
      const [a, b, result] = [this.#a.get, this.#b.get, this.#result.get]
      if (flags.kind !== undefined) return f.let(flagBits(flags.kind, a, b, result))
      return f.call(this.#derive, this.#kind.get, a, b, result)
    }
    const { change } = flags
    const { written, when, result } = change
    const own = change.flags(...change.from)
    const all = flagsOf(result === undefined ? own : { ...own, ...resultParts(result) })
    if (when === undefined && (written & S.FLAGS_ARITHMETIC) === S.FLAGS_ARITHMETIC) return f.let(all)
    const before = this.#bitsOf(flags.before)
    const merged = f.let(before.and(S.FLAGS_ARITHMETIC & ~written).or(all.and(written)))
    return when === undefined ? merged : f.let(select(when, merged, before))
  }

  /** The lazy flags that a change stands for. */
  #lazyOf(flags: Change): readonly [number, I64, I64, I64] {
    const { change, before } = flags
    const { written, when, result } = change
    const f = this.#f
    if (result === undefined || when !== undefined) {
      const bits = f.let(this.#bitsOf(flags).toI64U())
      return [S.FLAGS_EXPLICIT, I64.of(0), bits, bits.and(S.FLAG_ZF).eqz().toI64U()]
    }
    const rest = S.FLAGS_ARITHMETIC & ~written
    const own = flagsOf(change.flags(...change.from))
    if (rest === 0) return [S.FLAGS_RESULT, I64.of(0), f.let(own.toI64U()), f.let(result)]
    const parts = this.#partsOf(before)
    const names = (Object.keys(FLAG_MASKS) as FlagName[]).filter((name) => (FLAG_MASKS[name] & rest) !== 0)
    const kept = flagsOf(Object.fromEntries(names.map((name) => [name, parts[name]])))
    return [S.FLAGS_RESULT, I64.of(0), f.let(own.or(kept).toI64U()), f.let(result)]
  }

  // ---------------------------------------------------------------- locals

  /** Values in locals that live as long as the flags that are made of them. */
  #hold(values: readonly I64[]): { readonly values: readonly I64[]; readonly locals: readonly Local[] } {
    // A logical operation has its result as an operand, too.
    const kept = new Map<Value, Local>()
    const held = values.map((value) => {
      const { known, extended } = value
      if (known !== undefined) return value
      if (extended === undefined) return this.#keep('i64', value, kept)
      return value.withLow(this.#keep('i32', extended.low, kept))
    })
    return { values: held, locals: [...kept.values()] }
  }

  #keep<T extends ValueType>(type: T, value: Value, kept: Map<Value, Local>): never {
    let local = kept.get(value)
    if (local === undefined) {
      local = this.#f.reserve(type) as Local
      this.#f.set(local, value as never)
      kept.set(value, local)
    }
    return local.get as never
  }

  /** Gives back the locals of flags that nothing is made of any more. */
  #replace(next: Flags): void {
    const kept = new Set<Flags>()
    for (let each: Flags | undefined = next; each !== undefined;) {
      kept.add(each)
      each = each.type === 'change' ? each.before : undefined
    }
    for (let each: Flags | undefined = this.#flags; each !== undefined && !kept.has(each);) {
      // Those from before `enter` are needed after `leave`.
      if (each.type !== 'settled' && each.depth === this.#depth) for (const local of each.locals) this.#f.release(local)
      each = each.type === 'change' ? each.before : undefined
    }
    this.#flags = next
  }
}
