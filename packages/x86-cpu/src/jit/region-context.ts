import { I32, I64 } from '@retrap/wasm-emitter'
import type { FunctionBuilder, I32Like, ValueType } from '@retrap/wasm-emitter'
import type { FormSource } from '../form-context.ts'
import { ADDRESS_16, ADDRESS_32, ADDRESS_CHECKED, ADDRESS_DISP64, R_ADDRESS, R_IMM, R_SEGMENT } from '../record.ts'
import {
  FS,
  SEG_BASE,
  SEG_BYTES,
  SEG_FLAT,
  SEG_RIGHTS,
  STATUS_FAULT,
  S_FAULT_VECTOR,
  S_SEGMENTS,
} from '../state-layout.ts'
import { flatOffset } from '../semantics/addressing.ts'
import { Context } from '../semantics/context.ts'
import type { FlagStore } from '../semantics/flag-context.ts'
import type { Library } from '../semantics/library.ts'
import { segmentFlags } from '../semantics/memory-context.ts'
import type { RegionBuilder } from './region-builder.ts'

/** Where control goes from an instruction of a region. */
export interface RegionExits {
  /** The interpreter executes the instruction: nothing has changed. */
  interpret(): void
  /** The instruction has retired; control goes to the target of its branch. */
  branch(): void
  /** The instruction has retired; control goes to a linear address. */
  jump(target: I64): void
}

/** An instruction of a region: what the interpreter reads from its record is known. */
export class RegionContext extends Context {
  protected readonly flagStore: FlagStore
  protected readonly isCold = false
  readonly #exits: RegionExits
  #linear: I64 | undefined

  constructor(
    f: RegionBuilder,
    source: FormSource,
    library: Library,
    record: number,
    tlb: I32,
    flags: FlagStore,
    exits: RegionExits,
  ) {
    super(f, source.form, library, f.stateAddress, I32.of(record), tlb)
    this.flagStore = flags
    this.accessFlags = source.accessFlags
    this.#exits = exits
  }

  override fail(status: I32Like): void {
    // The interpreter raises it again.
    if (I32.of(status).known === STATUS_FAULT) this.f.store('i32.store', this.state, I32.of(-1), S_FAULT_VECTOR)
    this.#exits.interpret()
  }

  override raise(): void {
    this.#exits.interpret()
  }

  override useHandler(): void {
    this.#exits.interpret()
  }

  protected override slow(): void {
    this.#exits.interpret()
  }

  override jumpLinear(target: I64): void {
    this.#exits.jump(target)
  }

  override jumpInPage(): void {
    this.#exits.branch()
  }

  /** A function that the interpreter's module has. */
  override shared<R extends ValueType | undefined>(
    name: string,
    params: readonly ValueType[],
    result: R,
  ): FunctionBuilder & { readonly signature: { readonly result: R } } {
    let known = this.library.shared.get(name)
    if (known === undefined) {
      known = this.library.define(name, params, result)
      this.library.shared.set(name, known)
    }
    return known as FunctionBuilder & { readonly signature: { readonly result: R } }
  }

  // ---------------------------------------------------------------- addresses

  override offset(): I64 {
    return this.let(this.#offset(I64.of(0)))
  }

  override address(i: number, bytes: number = this.operand(i).size): I64 {
    this.#linear ??= this.#linearAddress(i, bytes, I64.of(0))
    return this.#linear
  }

  override displacedAddress(i: number, bytes: I64): I64 {
    return this.#linearAddress(i, this.operand(i).size, bytes)
  }

  /** Base, index and displacement, truncated to the address size. */
  #offset(moved: I64): I64 {
    const { f, record, state } = this
    const kind = this.#kind
    const whole = kind & ADDRESS_DISP64 ? f.loadExpression('i64.load', record, R_IMM) : flatOffset(f, state, record)
    const sum = whole.add(moved)
    return kind & ADDRESS_16 ? sum.and(0xffff) : kind & ADDRESS_32 ? sum.and(0xffff_ffffn) : sum
  }

  #linearAddress(i: number, bytes: number, moved: I64): I64 {
    const { f, record, state } = this
    const offset = this.let(this.#offset(moved))
    const segment = known(f.loadExpression('i32.load8_u', record, R_SEGMENT)) & 7
    if ((this.#kind & ADDRESS_CHECKED) !== 0) {
      // FS and GS, which have a base nearly always, are not taken for anything.
      const rights = f.loadExpression('i32.load8_u', state, S_SEGMENTS + SEG_BYTES * segment + SEG_RIGHTS)
      if (((rights.known ?? 0) & SEG_FLAT) !== 0 && (this.#kind & ADDRESS_32) !== 0) return offset
      const sizeAndFlags = I32.of(bytes | segmentFlags(this.operand(i).access))
      const linear = f.call(this.library.checkSegment, f.param(0, 'i32').get, I32.of(segment), offset, sizeAndFlags)
      f.if(f.loadExpression('i32.load', state, S_FAULT_VECTOR).ne(-1), () => this.fail(STATUS_FAULT))
      return linear
    }
    if (segment < FS) return offset
    const base = f.loadExpression('i64.load', state, S_SEGMENTS + SEG_BYTES * segment + SEG_BASE)
    return this.let(offset.add(base))
  }

  get #kind(): number {
    return known(this.f.loadExpression('i32.load8_u', this.record, R_ADDRESS))
  }
}

function known(value: I32): number {
  if (value.known === undefined) throw new TypeError('a value that is known in a region')
  return value.known
}
