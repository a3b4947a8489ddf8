import type { DispatchLabels, DispatchLoop } from '@retrap/engine'
import { I32, type FunctionBuilder, type I32Like, type I64 } from '@retrap/wasm-emitter'
import { Context, type Semantics } from './context.ts'
import type { FlagStore } from './flag-context.ts'
import type { Library } from './library.ts'
import type { Form } from '../state/form.ts'
import * as S from '../state/state-layout.ts'

/** A form to generate. */
export interface FormSource {
  readonly form: Form
  readonly semantics: Semantics
  /** Flags of every memory access (SLOW_DIRECT). */
  readonly accessFlags: number
  /** The code that the form is of; absent where it is of no code, and is not compiled. */
  readonly code?: number
}

/** State offset of the base of CS. */
export const CS_BASE: number = S.S_SEGMENTS + S.SEG_BYTES * S.CS + S.SEG_BASE

/** Lazy flags in the state area: each use emits a load of its own. */
class MemoryFlags implements FlagStore {
  readonly #f: FunctionBuilder
  readonly #state: I32
  constructor(f: FunctionBuilder, state: I32) {
    this.#f = f
    this.#state = state
  }
  get kind(): I32 {
    return this.#f.loadExpression('i32.load', this.#state, S.S_FLAGS_KIND)
  }
  get a(): I64 {
    return this.#f.loadExpression('i64.load', this.#state, S.S_FLAGS_A)
  }
  get b(): I64 {
    return this.#f.loadExpression('i64.load', this.#state, S.S_FLAGS_B)
  }
  get result(): I64 {
    return this.#f.loadExpression('i64.load', this.#state, S.S_FLAGS_RESULT)
  }
  set(kind: number | I32, a: I64, b: I64, result: I64): void {
    const f = this.#f
    const [va, vb, vr] = [f.let(a), f.let(b), f.let(result)]
    f.store('i32.store', this.#state, I32.of(kind), S.S_FLAGS_KIND)
    f.store('i64.store', this.#state, va, S.S_FLAGS_A)
    f.store('i64.store', this.#state, vb, S.S_FLAGS_B)
    f.store('i64.store', this.#state, vr, S.S_FLAGS_RESULT)
  }
}

/** A form as a function (state, record, tlb) → status. */
export class FunctionContext extends Context {
  protected readonly flagStore: FlagStore
  protected readonly isCold = true

  constructor(f: FunctionBuilder, source: FormSource, library: Library) {
    super(f, source.form, library, f.param(0, 'i32').get, f.param(1, 'i32').get, f.param(2, 'i32').get)
    this.flagStore = new MemoryFlags(f, this.state)
    this.accessFlags = source.accessFlags
  }

  fail(status: I32Like): void {
    if (this.failure === undefined) this.f.return(I32.of(status))
    else {
      this.f.set(this.failure.status, I32.of(status))
      this.f.br(this.failure.label)
    }
  }

  jumpLinear(target: I64): void {
    this.jumps = true
    const rip = target.sub(this.f.loadExpression('i64.load', this.state, CS_BASE))
    this.f.store('i64.store', this.state, rip.and(this.f.loadExpression('i64.load', this.state, S.S_RIP_MASK)), S.S_RIP)
    this.f.return(S.STATUS_JUMP)
  }

  jumpInPage(offsetTimes4: I32): void {
    this.jumpLinear(this.f.loadExpression('i64.load', this.state, S.S_PAGE_BASE).add(offsetTimes4.shrU(2).toI64U()))
  }
}

/** A hot form, inline in the main function. */
export class InlineContext extends Context {
  protected readonly flagStore: FlagStore
  protected readonly isCold = false
  readonly #loop: DispatchLoop
  readonly #labels: DispatchLabels

  constructor(f: FunctionBuilder, source: FormSource, library: Library, loop: DispatchLoop, labels: DispatchLabels) {
    super(f, source.form, library, f.param(0, 'i32').get, loop.locals.record.get, loop.tlb)
    this.accessFlags = source.accessFlags
    this.flagStore = new MemoryFlags(f, this.state)
    this.#loop = loop
    this.#labels = labels
  }

  fail(status: I32Like): void {
    this.f.set(this.#loop.locals.status, I32.of(status))
    this.f.br(this.#labels.fail)
  }

  jumpLinear(target: I64): void {
    this.f.set(this.#loop.locals.target, target)
    this.f.br(this.#labels.jump)
  }

  override jumpFar(target: I64): void {
    this.f.set(this.#loop.locals.target, target)
    this.f.br(this.#labels.far)
  }

  override jumpBack(target: I64): void {
    this.f.set(this.#loop.locals.target, target)
    this.f.br(this.#labels.back)
  }

  override noteReturn(): void {
    this.#loop.noteReturn()
  }

  jumpInPage(offsetTimes4: I32, forward: boolean): void {
    this.#loop.branchInPage(this.#labels, offsetTimes4, forward)
  }
}
