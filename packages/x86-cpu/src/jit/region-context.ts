import type { InstructionExits } from '@retrap/engine'
import { I32, I64, numeric, type FunctionBuilder, type I32Like, type V128, type ValueType } from '@retrap/wasm-emitter'
import { SLOW_WRITE } from '../state/host.ts'
import type { FormSource } from '../semantics/form-context.ts'
import {
  ADDRESS_16,
  ADDRESS_32,
  ADDRESS_CHECKED,
  ADDRESS_DISP64,
  R_ADDRESS,
  R_IMM,
  R_SEGMENT,
} from '../state/record.ts'
import * as S from '../state/state-layout.ts'
import { flatOffset } from '../semantics/integer.ts'
import { CC_B, CC_BE, CC_L, CC_LE, conditionOf } from '../semantics/flag-parts.ts'
import type { FlagChange } from '../semantics/flag-context.ts'
import type { Library } from '../semantics/library.ts'
import { segmentFlags } from '../semantics/memory-context.ts'
import { hasFusedMultiplyAdd } from '@retrap/soft-float'
import { fieldOf, type RegionBuilder } from './region-builder.ts'
import type { RegionFlags } from './region-flags.ts'
import { RegionMemory } from './region-memory.ts'

/** Data segments whose rights units assume. */
const ASSUMED_SEGMENTS: readonly number[] = [S.ES, S.DS]

/** An instruction of a region: what the interpreter reads from its record is known. */
export class RegionContext extends RegionMemory {
  protected readonly flagStore: RegionFlags
  override readonly isSpecialised = true
  override takesNormal: boolean = true
  #linear: I64 | undefined

  constructor(
    f: RegionBuilder,
    source: FormSource,
    library: Library,
    record: number,
    flags: RegionFlags,
    exits: InstructionExits,
  ) {
    super(f, source, library, record, exits)
    this.flagStore = flags
  }

  override fail(status: I32Like): void {
    // The interpreter raises it again.
    if (I32.of(status).known === S.STATUS_FAULT) this.f.store('i32.store', this.state, I32.of(-1), S.S_FAULT_VECTOR)
    this.exits.interpret()
  }

  override interpret(): void {
    this.exits.interpret()
  }

  override raise(): void {
    this.exits.interpret()
  }

  override useHandler(): void {
    this.exits.interpret()
  }

  // ---------------------------------------------------------------- floating point

  override settled(): I32 {
    return this.builder.settled.get
  }

  override settledExponents(): I32 {
    return this.builder.settledExponents.get
  }

  override refreshMxcsr(): void {
    this.builder.refreshMxcsr()
  }

  override repeated(element: bigint, bits: 32 | 64): V128 {
    return this.builder.repeated(element, bits)
  }

  override multiplyAdd(bits: 32 | 64, a: V128, b: V128, c: V128): V128 | undefined {
    if (!hasFusedMultiplyAdd()) return undefined
    return numeric(bits === 64 ? 'f64x2.relaxed_madd' : 'f32x4.relaxed_madd', a, b, c)
  }

  /** The field of vector register operand `i`, if it is in locals. */
  #vectorField(i: number): number | undefined {
    if (this.kindOf(i) !== 'xmm') return undefined
    const at = fieldOf(this.registerAddress(i))
    return at !== undefined && this.builder.vectors?.holds(at) === true ? at : undefined
  }

  override isNormal(i: number, bits: 32 | 64, scalar: boolean): boolean {
    const at = this.#vectorField(i)
    return at !== undefined && this.builder.vectors!.isNormal(at, bits, scalar ? 0 : this.laneCount(i))
  }

  override setNormal(i: number, bits: 32 | 64, scalar: boolean): void {
    const at = this.#vectorField(i)
    if (at !== undefined) this.builder.vectors!.setNormal(at, bits, scalar ? 0 : this.laneCount(i))
  }

  override isSame(i: number, j: number): boolean {
    const isRegister = (n: number): boolean => this.kindOf(n) === 'xmm' || this.kindOf(n) === 'reg'
    if (!isRegister(i) || !isRegister(j)) return false
    return fieldOf(this.registerAddress(i)) === fieldOf(this.registerAddress(j))
  }

  override copyVector(to: number, from: number): void {
    const [toAt, fromAt] = [this.#vectorField(to), this.#vectorField(from)]
    if (toAt === undefined || fromAt === undefined || this.laneCount(to) > 1) {
      super.copyVector(to, from)
      return
    }
    this.builder.vectors!.copy(toAt, fromAt)
    this.zeroAbove(this.registerAddress(to), 1)
  }

  override retire(): void {
    this.exits.retire()
  }

  override jumpLinear(target: I64): void {
    this.exits.jump(target)
  }

  override segmentLoaded(): void {
    const { f, state } = this
    const at = fieldOf(this.registerAddress(0))
    const isLong = f.loadExpression('i32.load', state, S.S_MODE).known === S.MODE_64
    if (isLong || !ASSUMED_SEGMENTS.some((segment) => at === S.S_SEGMENTS + S.SEG_BYTES * segment)) return
    const rights = f.loadExpression('i32.load8_u', f.param(0, 'i32').get, at! + S.SEG_RIGHTS)
    f.if(rights.ne(f.loadExpression('i32.load8_u', state, at! + S.SEG_RIGHTS)), () => this.exits.retire())
  }

  override goOnInSet(): void {
    const { f } = this
    this.builder.forgetPlaces()
    f.set(f.param(2, 'i32'), f.loadExpression('i32.load', f.param(0, 'i32').get, S.S_TLB))
  }

  override jumpInPage(): void {
    this.exits.branch()
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

  // ---------------------------------------------------------------- flags

  override changeFlags(change: FlagChange): void {
    this.flagStore.change(change)
  }

  override allFlags(): I32 {
    return this.flagStore.bits()
  }

  override carry(): I32 {
    const { known } = this.flagStore
    return known === undefined ? super.carry() : this.let(known.parts.carry)
  }

  override condition(code: number): I32 {
    const { known } = this.flagStore
    if (known === undefined) return super.condition(code)
    const { parts, subtraction } = known
    const base = code & ~1
    const compare = subtraction && SUBTRACTION[base]
    const holds = compare === undefined ? conditionOf(base, parts) : compare(...subtraction!)
    return this.let((code & 1) === 0 ? holds : holds.eqz())
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
      if (segment >= S.FS) return this.#baseAndOffset(segment, offset, bytes, segmentFlags(this.operand(i).access))
      const rights = f.loadExpression('i32.load8_u', state, S.S_SEGMENTS + S.SEG_BYTES * segment + S.SEG_RIGHTS)
      if (((rights.known ?? 0) & S.SEG_FLAT) !== 0 && (this.#kind & ADDRESS_32) !== 0) return offset
      const sizeAndFlags = I32.of(bytes | segmentFlags(this.operand(i).access))
      const linear = f.call(this.library.checkSegment, f.param(0, 'i32').get, I32.of(segment), offset, sizeAndFlags)
      f.if(f.loadExpression('i32.load', state, S.S_FAULT_VECTOR).ne(-1), () => this.fail(S.STATUS_FAULT))
      return linear
    }
    if (segment < S.FS) return offset
    const base = f.loadExpression('i64.load', state, S.S_SEGMENTS + S.SEG_BYTES * segment + S.SEG_BASE)
    return this.let(offset.add(base))
  }

  /** An address in FS or GS outside 64-bit mode. They have a base nearly always, and are not taken for anything. */
  #baseAndOffset(segment: number, offset: I64, bytes: number, flags: number): I64 {
    const { f, state } = this
    const at = S.S_SEGMENTS + S.SEG_BYTES * segment
    const needed = (flags & SLOW_WRITE) === 0 ? S.SEG_CAN_READ : S.SEG_CAN_READ | S.SEG_CAN_WRITE
    const refused = f
      .loadExpression('i32.load8_u', state, at + S.SEG_RIGHTS)
      .and(needed)
      .ne(needed)
    const below = offset.ltU(f.loadExpression('i64.load32_u', state, at + S.SEG_LOW))
    const above = offset.add(bytes - 1).gtU(f.loadExpression('i64.load32_u', state, at + S.SEG_HIGH))
    f.if(refused.or(below).or(above), () => this.exits.interpret())
    const base = f.loadExpression('i64.load', state, at + S.SEG_BASE)
    return this.let(base.add(offset).and(0xffff_ffffn))
  }

  get #kind(): number {
    return known(this.f.loadExpression('i32.load8_u', this.record, R_ADDRESS))
  }
}

/** Conditions by which the operands of a subtraction tell. */
const SUBTRACTION: Readonly<Record<number, (a: I64, b: I64) => I32>> = {
  [CC_B]: (a, b) => a.ltU(b),
  [CC_BE]: (a, b) => a.leU(b),
  [CC_L]: (a, b) => a.ltS(b),
  [CC_LE]: (a, b) => a.leS(b),
}

function known(value: I32): number {
  if (value.known === undefined) throw new TypeError('a value that is known in a region')
  return value.known
}
