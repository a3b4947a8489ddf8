import {
  I32,
  I64,
  V128,
  extractLane,
  numeric,
  replaceLane,
  select,
  type LoadOp,
  type PrefixType,
  type StoreOp,
  type Value,
  type ValueOf,
} from '@retrap/wasm-emitter'
import { RegionContext } from '../jit/region-context.ts'
import type { Alignment, Context, Semantics } from '../semantics/context.ts'
import { FunctionContext } from '../semantics/form-context.ts'
import { loadOp } from '../semantics/integer.ts'
import type { TlbEntry } from '../semantics/memory-context.ts'
import type { SharedFunction } from '@retrap/soft-float'
import { R_EVEX, R_IMM, R_MASK } from '../state/record.ts'
import type { EvexForm } from '../state/form.ts'
import * as S from '../state/state-layout.ts'
import { maskedProbe, maskedRead, maskedStore, maskedWrite } from './masked-memory.ts'

/**
 * Instructions with EVEX, for their semantics: vectors are read and written under the mask, a repeated element of memory is a
 * whole operand, and MXCSR is what EVEX.b makes of it. In compiled code the record is known, and nothing is left of what an
 * instruction does not use.
 */

// Bits of R_EVEX, as `Instruction.evex` of x86-decoder has them.
const EVEX_Z = 8
const EVEX_B = 16
const ROUNDING_SHIFT = 5
const ROUNDING_SAE = 5

const MXCSR_RC_SHIFT = 13
/** All exceptions masked, and an inexact result reported already: what is raised is forgotten. */
const MXCSR_QUIET = 0x1fa0

/** Numbers 1 of half, single and double precision: whatever is computed of them is exact. */
const ONES: Readonly<Record<number, V128>> = {
  2: repeat([0, 0x3c]),
  4: repeat([0, 0, 0x80, 0x3f]),
  8: repeat([0, 0, 0, 0, 0, 0, 0xf0, 0x3f]),
}

function repeat(bytes: readonly number[]): V128 {
  return V128.of(Array.from({ length: 16 }, (_, i) => bytes[i % bytes.length]!))
}

/** A vector of small numbers. */
const numbers = (value: (i: number) => number, bytes: number): V128 =>
  V128.of(Array.from({ length: 16 }, (_, i) => (i % bytes === 0 ? value(i / bytes) : 0)))

/** All ones in the elements of a lane whose bits are set, from bit 0 on. */
export function expandBits(bits: I64, bytes: number): V128 {
  const low = bits.toI32()
  const equal = { 1: 'i8x16.eq', 2: 'i16x8.eq', 4: 'i32x4.eq', 8: 'i64x2.eq' } as const
  const selector = numbers((i) => 1 << (i & 7), bytes)
  const spread =
    bytes === 8
      ? numeric('i64x2.splat', bits)
      : bytes === 4
        ? numeric('i32x4.splat', low)
        : bytes === 2
          ? numeric('i16x8.splat', low)
          : numeric(
              'i8x16.swizzle',
              numeric('i16x8.splat', low),
              numbers((i) => i >> 3, 1),
            )
  return numeric(equal[bytes as 1], numeric('v128.and', spread, selector), selector)
}

/** The context that semantics of an instruction with EVEX are given. */
export interface EvexContext extends Context {
  /** The mask, of which the bits of elements count; undefined where all elements are computed. */
  mask: I64 | undefined
  /** The mask's bits of the elements: all of them where there is no mask. */
  maskBits(): I64
  /** Writes lanes under another mask, or over another vector than what operand `i` was. */
  writeUnder(i: number, values: readonly V128[], mask: I64 | undefined, old?: readonly V128[]): void
  /** Writes mask register operand 0: bits of elements that the mask leaves out become zero. */
  writeMask(bits: I64): void
  /** Emits the instruction: the mask of a scalar, and rounding, around its computation. */
  run(compute: () => void): void
}

// oxlint-disable-next-line typescript/no-explicit-any -- TypeScript wants it of classes that extend a parameter
function masked<B extends abstract new (...given: any[]) => Context>(Base: B) {
  abstract class Masked extends Base implements EvexContext {
    mask: I64 | undefined
    #control: I32 = I32.of(0)
    /** The guest's MXCSR, which the instruction's own rounding replaces for a while. */
    #mxcsr: I32 | undefined

    /** Emits accesses that the TLB does not help. */
    protected beyondTlb(build: () => void): void {
      build()
    }

    /** Makes accesses by a function; leaves the instruction unless they are done. */
    protected abstract callAccess(callee: SharedFunction<'i32'>, ...operands: readonly Value[]): void

    get #evex(): EvexForm {
      return this.form.evex as EvexForm
    }

    maskBits(): I64 {
      const { elements } = this.#evex
      return bitsBelow(elements, this.mask)
    }

    // ---------------------------------------------------------------- around the computation

    run(compute: () => void): void {
      const { f } = this
      const { elements, isScalar } = this.#evex
      this.#control = this.let(f.loadExpression('i32.load8_u', this.record, R_EVEX))
      const at = this.let(f.loadExpression('i32.load16_u', this.record, R_MASK))
      if (elements > 0 && at.known !== S.S_NO_MASK) this.mask = f.load('i64.load', this.state.add(at))
      const rounded = (): void => this.#round(compute)
      if (isScalar && this.mask !== undefined) f.if(this.mask.toI32().and(1), rounded, () => this.#leaveOut())
      else rounded()
    }

    /** Has the computation see an MXCSR that rounds as EVEX.b says and keeps nothing of exceptions. */
    #round(compute: () => void): void {
      const { f, state } = this
      const rounding = this.let(this.#control.shrU(ROUNDING_SHIFT))
      if (!this.#evex.isRounding || rounding.known === 0) {
        if (this.mask !== undefined) this.takesNormal = false
        compute()
        return
      }
      // The guest's MXCSR has to come back before the instruction ends.
      this.takesNormal = false
      const mxcsr = f.load('i32.load', state, S.S_MXCSR)
      f.if(rounding, () => {
        const own = mxcsr.and(~(3 << MXCSR_RC_SHIFT)).or(rounding.sub(1).shl(MXCSR_RC_SHIFT))
        const value = select(rounding.eq(ROUNDING_SAE), mxcsr, own).or(MXCSR_QUIET)
        f.store('i32.store', state, value, S.S_MXCSR)
      })
      this.#mxcsr = mxcsr
      compute()
      this.#restore()
      this.#mxcsr = undefined
    }

    #restore(): void {
      const mxcsr = this.#mxcsr
      if (mxcsr === undefined) return
      this.f.if(this.#control.shrU(ROUNDING_SHIFT), () => this.f.store('i32.store', this.state, mxcsr, S.S_MXCSR))
    }

    override interpret(): void {
      this.#restore()
      super.interpret()
    }

    /** A scalar whose only element the mask leaves out: all others are as ever. */
    #leaveOut(): void {
      const { kind } = this.operand(0)
      if (kind === 'mem') return
      if (kind !== 'xmm') {
        this.f.store('i64.store', this.registerAddress(0), I64.of(0))
        return
      }
      const register = this.let(this.registerAddress(0))
      const old = this.#kept(this.f.load('v128.load', register))
      const above = this.#evex.isAccumulating
        ? this.f.load('v128.load', register)
        : this.kindOf(1) === 'xmm'
          ? this.#register(1)
          : V128.of([])
      const lowest = V128.of(Array.from({ length: this.#evex.elementBytes[0]! }, () => 0xff))
      this.f.store('v128.store', register, this.let(numeric('v128.bitselect', old, above, lowest)))
      this.zeroAbove(register, 1)
    }

    #register(i: number): V128 {
      return this.f.load('v128.load', this.registerAddress(i))
    }

    /** Elements that the mask leaves out, of what a register was: zeros under EVEX.z. */
    #kept(old: V128): V128 {
      const zeroing = this.#control.and(EVEX_Z)
      if (zeroing.known === 0) return old
      return numeric('v128.and', old, numeric('i32x4.splat', select(zeroing, I32.of(0), I32.of(-1))))
    }

    // ---------------------------------------------------------------- what an instruction finds otherwise

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
      if (this.#evex.isScalar || this.mask === undefined) super.copyVector(to, from)
      else this.writeLanes(to, this.readLanes(from))
    }

    // ---------------------------------------------------------------- vectors

    override readV(i: number, alignment?: Alignment): V128 {
      return this.#computed(i, [super.readV(i, alignment)])[0]!
    }

    override readLanes(i: number, alignment?: Alignment): readonly V128[] {
      return this.operand(i).size <= 16 ? [this.readV(i, alignment)] : this.#computed(i, super.readLanes(i, alignment))
    }

    /** Numbers that are not computed become 1, of which nothing raises an exception. */
    #computed(i: number, lanes: readonly V128[]): readonly V128[] {
      const { elements, isFloat, isPaired, isScalar, elementBytes } = this.#evex
      const one = ONES[elementBytes[i]!]
      if (!isFloat || isScalar || this.mask === undefined || one === undefined) return lanes
      const mask = isPaired && i === 1 ? this.let(this.mask.shrU(elements / 2)) : this.mask
      return lanes.map((lane, at) =>
        this.let(numeric('v128.bitselect', lane, one, this.#laneMask(mask, at, elementBytes[i]!))),
      )
    }

    /** The elements of a lane that the mask has. */
    #laneMask(mask: I64, lane: number, bytes: number): V128 {
      return this.let(expandBits(mask.shrU((16 / bytes) * lane), bytes))
    }

    override writeLanes(i: number, values: readonly V128[], alignment?: Alignment): void {
      if (this.kindOf(i) === 'mem' || this.#evex.isScalar) super.writeLanes(i, values, alignment)
      else this.writeUnder(i, values, this.mask)
    }

    writeUnder(i: number, values: readonly V128[], mask: I64 | undefined, old?: readonly V128[]): void {
      const lanes = values.map((value) => this.let(value))
      if (mask === undefined) {
        super.writeLanes(i, lanes)
        return
      }
      const { elements, elementBytes } = this.#evex
      const bytes = elementBytes[i]!
      const register = this.let(this.registerAddress(i))
      // The bytes above the elements become zero, whatever the mask says.
      const isWhole = elements * bytes === 16 * lanes.length
      const chosen = isWhole ? mask : this.let(mask.or(-1n << BigInt(elements)))
      const results = lanes.map((lane, at) => {
        const before = this.#kept(old?.[at] ?? this.f.load('v128.load', register, 16 * at))
        return this.let(numeric('v128.bitselect', lane, before, this.#laneMask(chosen, at, bytes)))
      })
      this.putLanes(register, results)
      this.zeroAbove(register, lanes.length)
    }

    writeMask(bits: I64): void {
      const value = this.mask === undefined ? bits : bits.and(this.mask)
      this.f.store('i64.store', this.registerAddress(0), this.let(value))
    }

    // ---------------------------------------------------------------- memory

    /** Only a part of the operand may be accessed. */
    get #isPart(): boolean {
      const { broadcast, isSuppressing, isScalar } = this.#evex
      if (isScalar) return false
      return (broadcast > 0 && this.#control.and(EVEX_B).known !== 0) || (isSuppressing && this.mask !== undefined)
    }

    /** Without an element there is no access that could be misaligned. */
    override requireAligned(ea: I64, bytes: number): void {
      if (this.mask === undefined) super.requireAligned(ea, bytes)
      else this.f.if(this.maskBits().ne(0), () => super.requireAligned(ea, bytes))
    }

    protected override checkedBytes(bytes: number): I32 {
      if (!this.#isPart) return super.checkedBytes(bytes)
      // Of elements under a mask the segment of the first is checked.
      const { broadcast, isSuppressing } = this.#evex
      const least = isSuppressing && this.mask !== undefined ? 1 : bytes
      return broadcast === 0 ? I32.of(least) : select(this.#control.and(EVEX_B), I32.of(broadcast), I32.of(least))
    }

    override loadMemory<K extends LoadOp>(op: K, ea: I64, size: number, flags = 0): ValueOf[PrefixType<K>] {
      if (!this.#isPart) return super.loadMemory(op, ea, size, flags)
      const [lane] = this.#read(ea, size) as [V128]
      return (op.startsWith('v128')
        ? lane
        : extractLane('i64x2.extract_lane', lane, 0)) as Value as ValueOf[PrefixType<K>]
    }

    protected override loadLanes(ea: I64, count: number): readonly V128[] {
      return this.#isPart ? this.#read(ea, 16 * count) : super.loadLanes(ea, count)
    }

    /** Reads a vector of memory, zeros above it. */
    #read(ea: I64, size: number): readonly V128[] {
      const { f } = this
      const { broadcast, isSuppressing } = this.#evex
      const lanes = Array.from({ length: Math.max(1, size >> 4) }, () => f.local('v128'))
      const give = (values: readonly V128[]): void => lanes.forEach((lane, i) => f.set(lane, values[i] ?? values[0]!))
      const whole = (): void => give(this.#plain(ea, size))
      if (!this.#isPart) whole()
      else {
        const some = (build: () => void): void => {
          if (isSuppressing && this.mask !== undefined)
            f.if(this.#memoryBits(size).ne(0), build, () => give([V128.of([])]))
          else build()
        }
        f.if(
          this.#control.and(EVEX_B),
          () => some(() => broadcast > 0 && give([this.#repeatedElement(ea)])),
          () => {
            if (!isSuppressing || this.mask === undefined) whole()
            else
              this.#readElements(ea, size, (at, offset) =>
                give(lanes.map((_, i) => this.#vectorAt(at, offset + 16 * i, size))),
              )
          },
        )
      }
      return lanes.map(({ get }) => get)
    }

    #plain(ea: I64, size: number): readonly V128[] {
      if (size > 16) return super.loadLanes(ea, size >> 4)
      if (size > 2) return [super.loadMemory(loadOf(size), ea, size)]
      return [lowWord(super.loadMemory(loadOp(size, false), ea, size))]
    }

    /** A vector in machine memory. */
    #vectorAt(at: I32, offset: number, size: number): V128 {
      if (size > 2) return this.f.loadExpression(loadOf(size), at, offset)
      return lowWord(this.f.loadExpression(loadOp(size, false), at, offset))
    }

    #repeatedElement(ea: I64): V128 {
      const bytes = this.#evex.broadcast
      const value = super.loadMemory(loadOp(bytes, false), ea, bytes)
      if (bytes === 8) return this.let(numeric('i64x2.splat', value))
      return this.let(numeric(bytes === 4 ? 'i32x4.splat' : 'i16x8.splat', value.toI32()))
    }

    /** Bytes of the elements of the memory operand. */
    get #memoryBytes(): number {
      return this.#evex.elementBytes[
        this.#evex.isRepeated ? 0 : this.form.operands.findIndex(({ kind }) => kind === 'mem')
      ]!
    }

    /** The elements of the memory operand that are for results under the mask. */
    #memoryBits(size: number): I64 {
      const count = size / this.#memoryBytes
      let bits = this.let(this.maskBits())
      if (this.#evex.isRepeated)
        for (let upper = this.#evex.elements / 2; upper >= count; upper /= 2) bits = this.let(bits.or(bits.shrU(upper)))
      return this.let(bitsBelow(count, bits))
    }

    /** Reads the elements under the mask: at once where the TLB knows all of the operand. */
    #readElements(ea: I64, size: number, take: (at: I32, offset: number) => void): void {
      const { f } = this
      const { host, distance } = this.#look(ea, S.TLB_READ)
      f.if(
        distance.ltU(0x1001 - size),
        () => take(this.let(host.add(distance.toI32())), 0),
        () =>
          this.beyondTlb(() => {
            const bits = this.#memoryBits(size)
            const bytes = this.#memoryBytes
            f.if(
              bits.eq(bitsBelow(size / bytes)),
              () => {
                this.slow(ea, size | this.accessFlags)
                take(f.param(0, 'i32').get, S.S_DATA)
              },
              () => {
                this.callAccess(maskedRead(this), ea, bits, I32.of(bytes))
                take(f.param(0, 'i32').get, S.S_SCRATCH)
              },
            )
          }),
      )
    }

    /** The TLB's entry of an address, which is not filled here. */
    #look(ea: I64, table: number): TlbEntry {
      const { f } = this
      const entry = this.let(this.tlbEntry(ea))
      const page = f.load('i64.load', entry, table)
      return { host: f.load('i32.load', entry, table + 8), distance: this.let(ea.sub(page)) }
    }

    override storeMemory<K extends StoreOp>(
      op: K,
      ea: I64,
      size: number,
      value: ValueOf[PrefixType<K>],
      flags = 0,
    ): void {
      const isMasked = this.mask !== undefined && !this.#evex.isScalar
      if (!isMasked) super.storeMemory(op, ea, size, value, flags)
      else
        this.#write(
          ea,
          size,
          (at, offset) => this.f.store(op, at, value, offset),
          () => super.storeMemory(op, ea, size, value, flags),
        )
    }

    protected override storeLanes(ea: I64, lanes: readonly V128[]): void {
      if (this.mask === undefined) super.storeLanes(ea, lanes)
      else
        this.#write(
          ea,
          16 * lanes.length,
          (at, offset) => this.putLanes(at, lanes, offset),
          () => super.storeLanes(ea, lanes),
        )
    }

    override probeWrite(ea: I64, size: number): void {
      if (this.mask === undefined) {
        super.probeWrite(ea, size)
        return
      }
      const { distance } = this.#look(ea, S.TLB_WRITE_OFFSET)
      const bytes = I32.of(this.#evex.elementBytes[0]!)
      this.f.if(distance.geU(0x1001 - size), () =>
        this.beyondTlb(() => this.callAccess(maskedProbe(this), ea, this.let(this.maskBits()), bytes)),
      )
    }

    /** Writes the elements under the mask. */
    #write(ea: I64, size: number, put: (at: I32, offset: number) => void, whole: () => void): void {
      const { elements, isSuppressing } = this.#evex
      if (!isSuppressing) super.probeWrite(ea, size)
      const bits = this.let(this.maskBits())
      this.f.if(bits.eq(bitsBelow(elements)), whole, () => this.writeElements(ea, size, bits, put))
    }

    /** Writes elements of operand 0, whose bits are set, as `put` leaves them. */
    writeElements(ea: I64, size: number, bits: I64, put: (at: I32, offset: number) => void): void {
      const { f } = this
      const state = f.param(0, 'i32').get
      const elementBytes = this.#evex.elementBytes[0]!
      const bytes = I32.of(elementBytes)
      const { host, distance } = this.#look(ea, S.TLB_WRITE_OFFSET)
      put(state, S.S_SCRATCH)
      const store = (): void => {
        const to = this.let(host.add(distance.toI32()))
        if (this.library.isPrivate !== true || size < 16) {
          f.call(maskedStore(this), to, state.add(S.S_SCRATCH), bits, bytes)
          return
        }
        // No other thread can have changed the elements that are left out.
        for (let at = 0; at < size; at += 16) {
          const [value, old] = [f.load('v128.load', state, S.S_SCRATCH + at), f.load('v128.load', to, at)]
          const chosen = numeric('v128.bitselect', value, old, this.#laneMask(bits, at >> 4, elementBytes))
          f.store('v128.store', to, chosen, at)
        }
      }
      f.if(distance.ltU(0x1001 - size), store, () =>
        this.beyondTlb(() => this.callAccess(maskedWrite(this), ea, bits, bytes)),
      )
    }
  }
  return Masked
}

/** A number's lowest bits, or all ones there. */
function bitsBelow(count: number, value: I64 = I64.of(-1)): I64 {
  return count >= 64 ? value : value.and((1n << BigInt(count)) - 1n)
}

function lowWord(value: I64): V128 {
  return replaceLane('i64x2.replace_lane', V128.of([]), 0, value)
}

/** The load of a vector's lowest bytes, zeros above. */
function loadOf(size: number): 'v128.load' | 'v128.load64_zero' | 'v128.load32_zero' {
  return size >= 16 ? 'v128.load' : size === 8 ? 'v128.load64_zero' : 'v128.load32_zero'
}

class EvexFunction extends masked(FunctionContext) {
  protected override callAccess(callee: SharedFunction<'i32'>, ...operands: readonly Value[]): void {
    const status = this.f.call(callee, this.state, ...operands)
    this.f.if(status, () => this.fail(status))
  }
}

class EvexRegion extends masked(RegionContext) {
  protected override beyondTlb(build: () => void): void {
    if (this.exits.onMiss === 'call') build()
    else this.exits.miss()
  }

  protected override callAccess(callee: SharedFunction<'i32'>, ...operands: readonly Value[]): void {
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
