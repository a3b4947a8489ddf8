import {
  I32,
  I64,
  V128,
  extractLane,
  numeric,
  select,
  type LoadOp,
  type PrefixType,
  type StoreOp,
  type Value,
  type ValueOf,
} from '@retrap/wasm-emitter'
import { RegionContext } from '../../jit/region-context.ts'
import type { Alignment, Context, Semantics } from '../../semantics/context.ts'
import { FunctionContext } from '../../semantics/form-context.ts'
import { loadOp } from '../../semantics/integer.ts'
import type { SharedFunction } from '@retrap/soft-float'
import { R_EVEX, R_IMM, R_MASK } from '../../state/record.ts'
import type { EvexForm } from '../../state/form.ts'
import * as S from '../../state/state-layout.ts'
import { bitsBelow, computedElements, keptElements, laneMask } from './elements.ts'
import * as access from './masked-access.ts'

/**
 * Instructions with EVEX, for their semantics: vectors are read and written under the mask, a repeated element of memory is a
 * whole operand, and MXCSR is what EVEX.b makes of it. In compiled code the record is known, and nothing is left of what an
 * instruction does not use.
 */

// Rounding in R_EVEX, as `Instruction.evex` of x86-decoder has it.
const ROUNDING_SHIFT = 5
const ROUNDING_SAE = 5

const MXCSR_RC_SHIFT = 13
/** All exceptions masked, and an inexact result reported already: what is raised is forgotten. */
const MXCSR_QUIET = 0x1fa0

/** The context that semantics of an instruction with EVEX are given. */
export interface EvexContext extends access.MaskedContext {
  /** Writes lanes under another mask, or over another vector than what operand `i` was. */
  writeUnder(i: number, values: readonly V128[], mask: I64 | undefined, old?: readonly V128[]): void
  /** Writes mask register operand 0: bits of elements that the mask leaves out become zero. */
  writeMask(bits: I64): void
  /** Emits the instruction: the mask of a scalar, and rounding, around its computation. */
  run(compute: () => void): void
}

/** Vectors under a mask, and rounding. */
// oxlint-disable-next-line typescript/no-explicit-any -- TypeScript wants it of classes that extend a parameter
function maskedVectors<B extends abstract new (...given: any[]) => Context>(Base: B) {
  abstract class MaskedVectors extends Base {
    mask: I64 | undefined
    control: I32 = I32.of(0)
    /** The guest's MXCSR, which the instruction's own rounding replaces for a while. */
    #mxcsr: I32 | undefined

    protected get evex(): EvexForm {
      return this.form.evex as EvexForm
    }

    maskBits(): I64 {
      return bitsBelow(this.evex.elements, this.mask)
    }

    run(compute: () => void): void {
      const { f } = this
      const { elements, isScalar } = this.evex
      this.control = this.let(f.loadExpression('i32.load8_u', this.record, R_EVEX))
      const at = this.let(f.loadExpression('i32.load16_u', this.record, R_MASK))
      if (elements > 0 && at.known !== S.S_NO_MASK) this.mask = f.load('i64.load', this.state.add(at))
      const rounded = (): void => {
        this.#mxcsr = beginRounding(this, this.control)
        compute()
        this.#restore()
        this.#mxcsr = undefined
      }
      if (isScalar && this.mask !== undefined)
        f.if(this.mask.toI32().and(1), rounded, () => leaveOut(this, this.control))
      else rounded()
    }

    #restore(): void {
      const mxcsr = this.#mxcsr
      if (mxcsr === undefined) return
      this.f.if(this.control.shrU(ROUNDING_SHIFT), () => this.f.store('i32.store', this.state, mxcsr, S.S_MXCSR))
    }

    override interpret(): void {
      this.#restore()
      super.interpret()
    }

    override immediate(): I64 {
      return this.f.loadExpression('i64.load32_s', this.record, R_IMM)
    }

    override isNormal(i: number, bits: 32 | 64, scalar: boolean): boolean {
      return this.mask === undefined && super.isNormal(i, bits, scalar)
    }

    override setNormal(i: number, bits: 32 | 64, scalar: boolean): void {
      if (this.takesNormal) super.setNormal(i, bits, scalar)
    }

    override copyVector(to: number, from: number): void {
      if (this.evex.isScalar || this.mask === undefined) super.copyVector(to, from)
      else this.writeLanes(to, this.readLanes(from))
    }

    override readV(i: number, alignment?: Alignment): V128 {
      return computedElements(this, this.evex, this.mask, i, [super.readV(i, alignment)])[0]!
    }

    override readLanes(i: number, alignment?: Alignment): readonly V128[] {
      if (this.operand(i).size <= 16) return [this.readV(i, alignment)]
      return computedElements(this, this.evex, this.mask, i, super.readLanes(i, alignment))
    }

    override writeLanes(i: number, values: readonly V128[], alignment?: Alignment): void {
      if (this.kindOf(i) === 'mem' || this.evex.isScalar) super.writeLanes(i, values, alignment)
      else this.writeUnder(i, values, this.mask)
    }

    writeUnder(i: number, values: readonly V128[], mask: I64 | undefined, old?: readonly V128[]): void {
      const lanes = values.map((value) => this.let(value))
      if (mask === undefined) super.writeLanes(i, lanes)
      else writeLanesUnder(this, this.control, i, lanes, mask, old)
    }

    writeMask(bits: I64): void {
      const value = this.mask === undefined ? bits : bits.and(this.mask)
      this.f.store('i64.store', this.registerAddress(0), this.let(value))
    }
  }
  return MaskedVectors
}

/**
 * Has the computation see an MXCSR that rounds as EVEX.b says and keeps nothing of exceptions.
 *
 * @returns the guest's MXCSR, which has to come back before the instruction ends; undefined if the instruction does not round
 */
function beginRounding(c: Context & { readonly mask: I64 | undefined }, control: I32): I32 | undefined {
  const { f, state } = c
  const rounding = c.let(control.shrU(ROUNDING_SHIFT))
  if (!c.form.evex!.isRounding || rounding.known === 0) {
    if (c.mask !== undefined) c.takesNormal = false
    return undefined
  }
  c.takesNormal = false
  const mxcsr = f.load('i32.load', state, S.S_MXCSR)
  f.if(rounding, () => {
    const own = mxcsr.and(~(3 << MXCSR_RC_SHIFT)).or(rounding.sub(1).shl(MXCSR_RC_SHIFT))
    const value = select(rounding.eq(ROUNDING_SAE), mxcsr, own).or(MXCSR_QUIET)
    f.store('i32.store', state, value, S.S_MXCSR)
  })
  return mxcsr
}

/** A scalar whose only element the mask leaves out: all others are as ever. */
function leaveOut(c: Context, control: I32): void {
  const kind = c.kindOf(0)
  if (kind === 'mem') return
  if (kind !== 'xmm') {
    c.f.store('i64.store', c.registerAddress(0), I64.of(0))
    return
  }
  const { elementBytes, isAccumulating } = c.form.evex!
  const register = c.let(c.registerAddress(0))
  const old = keptElements(control, c.f.load('v128.load', register))
  const above = isAccumulating
    ? c.f.load('v128.load', register)
    : c.kindOf(1) === 'xmm'
      ? c.f.load('v128.load', c.registerAddress(1))
      : V128.of([])
  const lowest = V128.of(Array.from({ length: elementBytes[0]! }, () => 0xff))
  c.f.store('v128.store', register, c.let(numeric('v128.bitselect', old, above, lowest)))
  c.zeroAbove(register, 1)
}

/** Writes lanes under a mask over a vector: by default what operand `i` was. */
function writeLanesUnder(
  c: Context,
  control: I32,
  i: number,
  lanes: readonly V128[],
  mask: I64,
  old: readonly V128[] | undefined,
): void {
  const { elements, elementBytes } = c.form.evex!
  const bytes = elementBytes[i]!
  const register = c.let(c.registerAddress(i))
  // The bytes above the elements become zero, whatever the mask says.
  const isWhole = elements * bytes === 16 * lanes.length
  const chosen = isWhole ? mask : c.let(mask.or(-1n << BigInt(elements)))
  const results = lanes.map((lane, at) => {
    const before = keptElements(control, old?.[at] ?? c.f.load('v128.load', register, 16 * at))
    return c.let(numeric('v128.bitselect', lane, before, laneMask(c, chosen, at, bytes)))
  })
  c.putLanes(register, results)
  c.zeroAbove(register, lanes.length)
}

/** Memory operands under a mask, beside vectors. */
// oxlint-disable-next-line typescript/no-explicit-any -- TypeScript wants it of classes that extend a parameter
function masked<B extends abstract new (...given: any[]) => Context>(Base: B) {
  abstract class Masked extends maskedVectors(Base) implements EvexContext {
    beyondTlb(build: () => void): void {
      build()
    }

    abstract callAccess(callee: SharedFunction<'i32'>, ...operands: readonly Value[]): void

    readWhole(ea: I64, size: number): readonly V128[] {
      if (size > 16) return super.loadLanes(ea, size >> 4)
      if (size > 2) return [super.loadMemory(access.loadOf(size), ea, size)]
      return [access.lowWord(this.readElement(ea, size))]
    }

    readElement(ea: I64, bytes: number): I64 {
      return super.loadMemory(loadOp(bytes, false), ea, bytes)
    }

    /** Without an element there is no access that could be misaligned. */
    override requireAligned(ea: I64, bytes: number): void {
      if (this.mask === undefined) super.requireAligned(ea, bytes)
      else this.f.if(this.maskBits().ne(0), () => super.requireAligned(ea, bytes))
    }

    protected override checkedBytes(bytes: number): I32 {
      if (!access.isPart(this)) return super.checkedBytes(bytes)
      // Of elements under a mask the segment of the first is checked.
      const { broadcast, isSuppressing } = this.evex
      const least = isSuppressing && this.mask !== undefined ? 1 : bytes
      if (broadcast === 0) return I32.of(least)
      return select(this.control.and(access.EVEX_B), I32.of(broadcast), I32.of(least))
    }

    override loadMemory<K extends LoadOp>(op: K, ea: I64, size: number, flags = 0): ValueOf[PrefixType<K>] {
      if (!access.isPart(this)) return super.loadMemory(op, ea, size, flags)
      const [lane] = access.readPart(this, ea, size) as [V128]
      return (op.startsWith('v128')
        ? lane
        : extractLane('i64x2.extract_lane', lane, 0)) as Value as ValueOf[PrefixType<K>]
    }

    protected override loadLanes(ea: I64, count: number): readonly V128[] {
      return access.isPart(this) ? access.readPart(this, ea, 16 * count) : super.loadLanes(ea, count)
    }

    override storeMemory<K extends StoreOp>(
      op: K,
      ea: I64,
      size: number,
      value: ValueOf[PrefixType<K>],
      flags = 0,
    ): void {
      const whole = (): void => super.storeMemory(op, ea, size, value, flags)
      if (this.mask === undefined || this.evex.isScalar) whole()
      else this.#write(ea, size, (at, offset) => this.f.store(op, at, value, offset), whole)
    }

    protected override storeLanes(ea: I64, lanes: readonly V128[]): void {
      const whole = (): void => super.storeLanes(ea, lanes)
      if (this.mask === undefined) whole()
      else this.#write(ea, 16 * lanes.length, (at, offset) => this.putLanes(at, lanes, offset), whole)
    }

    override probeWrite(ea: I64, size: number): void {
      if (this.mask === undefined) super.probeWrite(ea, size)
      else access.probePart(this, ea, size)
    }

    /** Writes the elements under the mask; where parts of memory cannot be left out, all of the operand has to be writable. */
    #write(ea: I64, size: number, put: (at: I32, offset: number) => void, whole: () => void): void {
      if (!this.evex.isSuppressing) super.probeWrite(ea, size)
      access.writePart(this, ea, size, put, whole)
    }
  }
  return Masked
}

class EvexFunction extends masked(FunctionContext) {
  override callAccess(callee: SharedFunction<'i32'>, ...operands: readonly Value[]): void {
    const status = this.f.call(callee, this.state, ...operands)
    this.f.if(status, () => this.fail(status))
  }
}

class EvexRegion extends masked(RegionContext) {
  override beyondTlb(build: () => void): void {
    if (this.exits.onMiss === 'call') build()
    else this.exits.miss()
  }

  override callAccess(callee: SharedFunction<'i32'>, ...operands: readonly Value[]): void {
    this.builder.later(() => this.builder.storeRegisters())
    const status = this.f.call(callee, this.f.param(0, 'i32').get, ...operands)
    this.f.if(status, () => this.exits.fail(status))
  }
}

/** The classes that generate forms with EVEX: of the interpreter, and of compiled code. */
export interface EvexContexts {
  readonly form: typeof FunctionContext
  readonly region: typeof RegionContext
}

export const contexts: EvexContexts = { form: EvexFunction, region: EvexRegion }

/** Semantics of VEX for an instruction with EVEX. */
export function underEvex(semantics: Semantics): Semantics {
  return { ...semantics, emit: (c) => (c as EvexContext).run(() => semantics.emit(c)) }
}
