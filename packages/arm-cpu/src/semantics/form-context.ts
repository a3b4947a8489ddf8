import { STATUS_JUMP, type DispatchLabels, type DispatchLoop, type I32Callee } from '@retrap/engine'
import type { FunctionBuilder, I32, I64, Label } from '@retrap/wasm-emitter'
import { ArmContext } from './context.ts'
import { flagsInState, type FlagStore } from './flags.ts'
import type { ArmForm, Target } from '../state/form.ts'
import type { ArmLibrary } from './library.ts'
import { S_PC } from '../state/state-layout.ts'

/** A form as a function `(state, record, tlb) → status`. */
export class FunctionContext extends ArmContext {
  protected readonly flagStore: FlagStore

  constructor(f: FunctionBuilder, form: ArmForm, access: I32Callee, library: ArmLibrary) {
    const [state, record, tlb] = [f.param(0, 'i32').get, f.param(1, 'i32').get, f.param(2, 'i32').get]
    super({ f, form, state, record, tlb, access, library })
    this.flagStore = flagsInState(f, state)
  }

  fail(status: I32): void {
    this.f.return(status)
  }

  protected branchTo(target: Target): void {
    this.jumpTo(this.linear(target === 'far' ? this.immediate : this.immediate.shrU(2)))
  }

  protected jumpTo(target: I64): void {
    this.f.store('i64.store', this.state, target, S_PC)
    this.f.return(STATUS_JUMP)
  }
}

/** Values that the code of a form in the dispatch loop uses. */
export interface InlineParts {
  readonly f: FunctionBuilder
  readonly form: ArmForm
  /** The function that makes an access which the TLB does not allow at once. */
  readonly access: I32Callee
  readonly library: ArmLibrary
  readonly loop: DispatchLoop
  readonly labels: DispatchLabels
}

/** A hot form, in the dispatch loop. */
export class InlineContext extends ArmContext {
  protected readonly flagStore: FlagStore
  readonly #loop: DispatchLoop
  readonly #labels: DispatchLabels

  constructor({ f, form, access, library, loop, labels }: InlineParts) {
    super({ f, form, state: f.param(0, 'i32').get, record: loop.locals.record.get, tlb: loop.tlb, access, library })
    this.flagStore = flagsInState(f, this.state)
    this.#loop = loop
    this.#labels = labels
  }

  override linear(offset: I64): I64 {
    return this.#loop.pageBase.add(offset)
  }

  fail(status: I32): void {
    this.f.set(this.#loop.locals.status, status)
    this.f.br(this.#labels.fail)
  }

  protected branchTo(target: Target): void {
    if (target === 'far') this.#follow(this.linear(this.immediate), this.#labels.far)
    else this.#loop.branchInPage(this.#labels, this.immediate.toI32(), target === 'forward')
  }

  protected jumpTo(target: I64): void {
    this.#follow(target, this.#labels.jump)
  }

  protected override jumpBack(target: I64): void {
    this.#follow(target, this.#labels.back)
  }

  override noteReturn(): void {
    this.#loop.noteReturn()
  }

  #follow(target: I64, label: Label): void {
    this.f.set(this.#loop.locals.target, target)
    this.f.br(label)
  }
}
