import { I32 } from '@retrap/wasm-emitter'
import type { I64, Local, V128 } from '@retrap/wasm-emitter'
import type { InstructionExits } from '@retrap/engine'
import { Context } from '../../semantics/context.ts'
import type { FoundPlace } from '../found-places.ts'
import { RegionBuilder } from '../region-builder.ts'
import { RegionContext } from '../region-context.ts'
import type { RegionFlags } from '../region-flags.ts'
import { HOLE_PAGE_BASE, MOST_NAMED, generalAt, hole64 } from './holes.ts'
import {
  FIRST_NAMED,
  MARK_BRANCH,
  MARK_FAIL,
  MARK_GIVEN_UP,
  MARK_INTERPRET,
  MARK_JUMP,
  MARK_MISS,
  MARK_RETIRE,
  MARK_STORE,
} from './template.ts'

/** Builds the function in which a template is evaluated: what an instruction names stands apart from what its form names. */
export class TemplateBuilder extends RegionBuilder {
  /** Set to `MARK_*` where the unit emits code. */
  readonly mark: Local<'i32'>

  constructor(...parameters: ConstructorParameters<typeof RegionBuilder>) {
    super(...parameters)
    this.mark = this.local('i32')
  }

  protected override get registerCount(): number {
    return FIRST_NAMED + MOST_NAMED
  }

  protected override registerAt(offset: number): number {
    const named = generalAt(offset)
    return named < 0 ? super.registerAt(offset) : FIRST_NAMED + named
  }

  /** Nothing is known from one instruction to the next. */
  override placeNear(): FoundPlace | undefined {
    return undefined
  }

  override notePlace(_address: I64, _size: number, _writable: boolean, host: I32, distance: I64): I32 {
    return host.add(distance.toI32())
  }

  /** Later statements of a region are the stores of its registers. */
  override later(): void {
    this.emitMark(MARK_STORE)
  }

  /** Emits what stands for code of the unit. */
  emitMark(mark: number): void {
    this.set(this.mark, I32.of(mark))
  }
}

/** The exits of an instruction whose template is evaluated. */
export class TemplateExits implements InstructionExits {
  readonly onMiss: InstructionExits['onMiss']
  /** Linear address that control goes to at `MARK_JUMP`. */
  readonly target: Local<'i64'>
  /** The status that the instruction has ended with at `MARK_FAIL`. */
  readonly status: Local<'i32'>
  readonly #f: TemplateBuilder
  readonly #flags: RegionFlags

  constructor(f: TemplateBuilder, flags: RegionFlags, onMiss: InstructionExits['onMiss']) {
    this.#f = f
    this.#flags = flags
    this.onMiss = onMiss
    this.target = f.local('i64')
    this.status = f.local('i32')
  }

  pageBase(): I64 {
    return hole64(HOLE_PAGE_BASE, false)
  }

  remaining(): I32 {
    throw new TypeError('no instruction in place looks at the budget')
  }

  #leave(mark: number): void {
    this.#flags.materialise()
    this.#f.emitMark(mark)
  }

  interpret(): void {
    this.#leave(MARK_INTERPRET)
  }

  miss(): void {
    this.#leave(MARK_MISS)
  }

  fail(status: I32): void {
    this.#f.set(this.status, status)
    this.#leave(MARK_FAIL)
  }

  leaveIfGivenUp(): void {
    this.#leave(MARK_GIVEN_UP)
  }

  retire(): void {
    this.#leave(MARK_RETIRE)
  }

  branch(): void {
    this.#leave(MARK_BRANCH)
  }

  jump(target: I64): void {
    this.#f.set(this.target, target)
    this.#leave(MARK_JUMP)
  }
}

/** An instruction whose template is evaluated: all that is not its own is in the state. */
export class TemplateContext extends RegionContext {
  override readonly takesNormal = false

  override settled(): I32 {
    return Context.prototype.settled.call(this)
  }

  override settledExponents(): I32 {
    return Context.prototype.settledExponents.call(this)
  }

  override repeated(element: bigint, bits: 32 | 64): V128 {
    return Context.prototype.repeated.call(this, element, bits)
  }
}
