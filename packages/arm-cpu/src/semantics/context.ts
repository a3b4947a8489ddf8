import {
  R_LENGTH,
  R_OFFSET,
  STATUS_FAULT,
  STATUS_HANDLER,
  TLB_INDEX_MASK,
  TLB_READ,
  TLB_WRITE,
  type I32Callee,
} from '@retrap/engine'
import type { Bits, Float } from '@retrap/soft-float'
import {
  extractLane,
  I32,
  V128,
  replaceLane,
  type F32,
  type F64,
  type FunctionBuilder,
  type I64,
  type Local,
  type Value,
} from '@retrap/wasm-emitter'
import * as A from '../state/access-rights.ts'
import { misalignment } from '../state/access-rights.ts'
import { LOADS, STORES, type ElementSize, type ArmForm, type Target } from '../state/form.ts'
import { conditionHolds, type FlagStore, type Flags } from './flags.ts'
import type { ArmLibrary } from './library.ts'
import { SP_ALIGNMENT_FAULT } from '../state/syndrome.ts'
import { R_A, R_D, R_IMMEDIATE, R_M, R_N, R_SMALL, R_WORD } from '../state/record.ts'
import * as S from '../state/state-layout.ts'

/** The parts of every context. */
export interface ContextParts {
  readonly f: FunctionBuilder
  readonly form: ArmForm
  readonly state: I32
  readonly record: I32
  readonly tlb: I32
  /** `(address low, high, ACCESS_*) → status`. */
  readonly access: I32Callee
  readonly library: ArmLibrary
}

/**
 * An instruction's interface for its semantics, in either tier: registers, flags, memory and control flow.
 *
 * Registers of 32 bits are values whose upper half is zero.
 */
export abstract class ArmContext {
  readonly f: FunctionBuilder
  readonly form: ArmForm
  readonly state: I32
  readonly record: I32
  /** Machine address of the TLB set in use. */
  readonly tlb: I32
  /** Functions that instructions share. */
  readonly library: ArmLibrary
  readonly #access: I32Callee
  /** Whether control may leave the sequence of instructions. */
  jumps = false
  /** The flags are read or written. */
  usesFlags = false

  constructor(parts: ContextParts) {
    this.f = parts.f
    this.form = parts.form
    this.state = parts.state
    this.record = parts.record
    this.tlb = parts.tlb
    this.#access = parts.access
    this.library = parts.library
  }

  protected abstract readonly flagStore: FlagStore
  /** Ends the instruction with a status other than done; nothing may have changed. */
  abstract fail(status: I32): void
  /** Branches to the target in the record. */
  protected abstract branchTo(target: Target): void
  /** Branches to a linear address. */
  protected abstract jumpTo(target: I64): void

  /** Ends the instruction with an exception; nothing has changed. */
  raise(syndrome: number): void {
    this.f.store('i32.store', this.state, I32.of(syndrome | 0), S.S_FAULT_SYNDROME)
    this.fail(I32.of(STATUS_FAULT))
  }

  /** Leaves the instruction to TypeScript; nothing has changed. */
  useHandler(): void {
    this.jumps = true
    this.fail(I32.of(STATUS_HANDLER))
  }

  /** Evaluates now, once. */
  let<V extends Value>(value: V): V {
    return this.f.let(value)
  }

  // ---------------------------------------------------------------- registers

  /** Machine address of the register that a field of the record names. */
  protected registerAt(field: number): I32 {
    return this.state.add(this.f.loadExpression('i32.load16_u', this.record, field))
  }

  /** A general-purpose register; of 32 bits unless `wide`. */
  read(field: number, wide: boolean): I64 {
    const at = this.registerAt(field)
    return wide ? this.f.load('i64.load', at) : this.f.load('i64.load32_u', at).knownExtended(false)
  }

  /** Writes a general-purpose register; of 32 bits unless `wide`: the upper half is cleared. */
  write(field: number, value: I64, wide: boolean): void {
    this.f.store('i64.store', this.registerAt(field), wide ? value : value.toI32().toI64U())
  }

  /** Writes X30. */
  writeLink(value: I64): void {
    this.f.store('i64.store', this.state, value, S.S_X + 8 * 30)
  }

  /** A vector register, as a whole. */
  readVector(field: number): V128 {
    return this.f.load('v128.load', this.registerAt(field))
  }

  /** A scalar of single or double precision. */
  readFloat(field: number, bits: Bits): Float {
    const at = this.registerAt(field)
    return bits === 64 ? this.f.load('f64.load', at) : this.f.load('f32.load', at)
  }

  /** Writes a scalar of single or double precision, and clears the bits above. */
  writeFloat(field: number, bits: Bits, value: Float): void {
    const zero = V128.of([])
    const vector =
      bits === 64
        ? replaceLane('f64x2.replace_lane', zero, 0, value as F64)
        : replaceLane('f32x4.replace_lane', zero, 0, value as F32)
    this.writeVector(field, vector)
  }

  /** Writes a whole vector register. */
  writeVector(field: number, value: V128): void {
    this.f.store('v128.store', this.registerAt(field), value)
  }

  /** An element of a vector register, zero-extended, by a number that the record has. */
  readElement(field: number, index: I32, size: ElementSize): I64 {
    return this.f.load(LOADS[size], this.registerAt(field).add(index.mul(size)))
  }

  /** Writes an element, and nothing else of its register. */
  writeElement(field: number, index: I32, size: ElementSize, value: I64): void {
    this.f.store(STORES[size], this.registerAt(field).add(index.mul(size)), value)
  }

  /** The vector register some numbers after the one that a field names; after the last comes the first. */
  readVectorAfter(field: number, distance: number): V128 {
    const offset = this.f.loadExpression('i32.load16_u', this.record, field).sub(S.S_V)
    return this.f.load('v128.load', this.state.add(offset.add(16 * distance).and(0x1ff)), S.S_V)
  }

  /** Sets FPSR.QC where a condition (0 or 1) holds. */
  setSaturated(condition: I32): void {
    const { f, state } = this
    const before = f.loadExpression('i32.load', state, S.S_FPSR)
    f.store('i32.store', state, before.or(condition.shl(27)), S.S_FPSR)
  }

  /** The low 64 bits of a vector register. */
  readVectorLow(field: number): I64 {
    return extractLane('i64x2.extract_lane', this.readVector(field), 0)
  }

  /** A vector of a value in its low 64 bits, and zeros. */
  zeroExtended(low: I64): V128 {
    return replaceLane('i64x2.replace_lane', V128.of([]), 0, low)
  }

  d(wide: boolean): I64 {
    return this.read(R_D, wide)
  }

  n(wide: boolean): I64 {
    return this.read(R_N, wide)
  }

  m(wide: boolean): I64 {
    return this.read(R_M, wide)
  }

  a(wide: boolean): I64 {
    return this.read(R_A, wide)
  }

  setD(value: I64, wide: boolean): void {
    this.write(R_D, value, wide)
  }

  // ---------------------------------------------------------------- the record

  get immediate(): I64 {
    return this.f.load('i64.load', this.record, R_IMMEDIATE)
  }

  /** The small number of the record. */
  get small(): I32 {
    return this.f.load('i32.load8_u', this.record, R_SMALL)
  }

  /** The number of a lane, in the four low bits of the small number. */
  get lane(): I32 {
    return this.small.and(15)
  }

  /** The instruction. */
  get word(): I32 {
    return this.f.load('i32.load', this.record, R_WORD)
  }

  /** Linear address of the page that the instruction begins in, plus an offset. */
  linear(offset: I64): I64 {
    return this.f.load('i64.load', this.state, S.S_PAGE_BASE).add(offset)
  }

  /** Linear address of the instruction. */
  address(): I64 {
    return this.linear(this.f.load('i64.load16_u', this.record, R_OFFSET))
  }

  /** Linear address of the next instruction. */
  next(): I64 {
    return this.linear(this.f.load('i64.load16_u', this.record, R_OFFSET).add(4))
  }

  /** Calls the form whose entry of the table a field has, and ends as that ends unless it is done. */
  callForm(field: number): void {
    const { f, library, record, state } = this
    const status = library.callForm(f, f.loadExpression('i32.load16_u', record, field), state, record, this.tlb)
    f.if(status, () => this.fail(status))
  }

  /** Returns the next program counter, by the record's instruction length. */
  nextOf(): I64 {
    return this.address().add(this.f.loadExpression('i32.load8_u', this.record, R_LENGTH).toI64U())
  }

  // ---------------------------------------------------------------- flags

  get flags(): Flags {
    this.usesFlags = true
    return this.flagStore
  }

  setFlags(flags: Flags): void {
    this.usesFlags = true
    this.flagStore.set(flags)
  }

  holds(condition: number): I32 {
    return conditionHolds(this.flags, condition)
  }

  // ---------------------------------------------------------------- control

  /** Returns the rest of the budget where the instruction has retired; not of forms in the dispatch loop. */
  remaining(): I32 {
    return this.f.loadExpression('i32.load', this.state, S.S_BUDGET)
  }

  branch(): void {
    this.jumps = true
    this.branchTo(this.form.target!)
  }

  jump(target: I64): void {
    this.jumps = true
    this.jumpTo(target)
  }

  /** Branches to a return address. */
  return(target: I64): void {
    this.jumps = true
    this.jumpBack(target)
  }

  /** As {@link jumpTo}, at a return address. */
  protected jumpBack(target: I64): void {
    this.jumpTo(target)
  }

  /** A call is about to be taken that returns to the next instruction. */
  noteReturn(): void {
    // The dispatch loop alone has a ring of return addresses.
  }

  /** Raises the exception for a misaligned stack pointer as base, if SCTLR_ELx enables it. */
  checkStackPointer(base: I64): void {
    const { f, state } = this
    const unaligned = base.toI32().and(f.loadExpression('i32.load', state, S.S_SP_ALIGNMENT))
    f.if(unaligned, () => this.raise(SP_ALIGNMENT_FAULT))
  }

  // ---------------------------------------------------------------- memory

  /**
   * Reads memory: calls `use` with the machine address where the bytes are.
   *
   * @param bytes - 1 to 128; of several elements all, which then lie side by side
   * @param kind - `ACCESS_*`
   */
  load(address: I64, bytes: number, kind: number, use: (host: I32) => void): void {
    const { f } = this
    const host = f.local('i32')
    this.#find(address, bytes | kind, TLB_READ, host, () => {
      this.#leaveToHost(address, bytes | kind)
      f.set(host, this.state.add(S.S_DATA))
    })
    use(host.get)
  }

  /**
   * Writes memory: calls `put` with the machine address where the bytes go. Nothing may have changed before.
   *
   * @param bytes - as for {@link ArmContext.load}
   */
  store(address: I64, bytes: number, kind: number, put: (host: I32) => void): void {
    const { f } = this
    const host = f.local('i32')
    const slow = f.local('i32')
    f.set(slow, I32.of(0))
    this.#find(address, bytes | kind, TLB_WRITE, host, () => {
      f.set(slow, I32.of(1))
      f.set(host, this.state.add(S.S_DATA))
    })
    put(host.get)
    f.if(slow.get, () => this.#leaveToHost(address, bytes | kind | A.ACCESS_WRITE))
  }

  /**
   * Reads and writes memory in place: calls `use` with the machine address of the bytes, where atomic instructions may be
   * used. Nothing may have changed before.
   *
   * @param bytes - 1 to 16, of which the address must be a multiple
   * @param kind - `ACCESS_*`; with `ACCESS_WRITE` aborts count as a store's
   */
  modify(address: I64, bytes: number, kind: number, use: (host: I32) => void): void {
    const { f } = this
    const host = f.local('i32')
    const slow = f.local('i32')
    f.set(slow, I32.of(0))
    this.#find(address, bytes | kind, TLB_WRITE, host, () => {
      f.set(slow, I32.of(1))
      this.#leaveToHost(address, bytes | kind | A.ACCESS_MODIFY)
      f.set(host, f.loadExpression('i32.load', this.state, S.S_DATA))
    })
    use(host.get)
    f.if(slow.get, () => this.#leaveToHost(host.get.toI64U(), bytes | A.ACCESS_DONE))
  }

  /**
   * Raises the alignment fault of an access whose address is no multiple of a power of two.
   *
   * @param exponent - of that: 0 to 5
   * @param kind - the access's bytes and `ACCESS_*`
   */
  requireAlignment(address: I64, exponent: I32, kind: number): void {
    const { f } = this
    f.if(address.toI32().and(I32.of(1).shl(exponent).sub(1)), () => {
      const flags = exponent.shl(A.ACCESS_ELEMENT_SHIFT).or(kind | A.ACCESS_ALIGNED)
      const status = f.call(this.#access, address.toI32(), address.shrU(32).toI32(), flags)
      f.if(status, () => this.fail(status))
    })
  }

  /** Sets `host` to the machine address of a linear address; emits `otherwise` where the TLB does not know it. */
  #find(address: I64, flags: number, table: number, host: Local<'i32'>, otherwise: () => void): void {
    const { f } = this
    const { entry, distance } = this.lookUp(address, flags, table)
    const isKnown = distance.ltU(A.PAGE_END - (flags & 0xff))
    const misaligned = misalignment(address, flags)
    f.if(
      misaligned === undefined ? isKnown : isKnown.and(misaligned.eqz()),
      () => f.set(host, f.loadExpression('i32.load', entry, table + 8).add(distance.toI32())),
      otherwise,
    )
  }

  /** The TLB's entry for an access, and the distance of its first byte from the page that the entry is of. */
  protected lookUp(address: I64, flags: number, table: number): { readonly entry: I32; readonly distance: I64 } {
    const { f } = this
    const start = (flags & A.ACCESS_BLOCK) === 0 ? address : f.let(address.and(-(flags & 0xff)))
    const set =
      (flags & A.ACCESS_UNPRIVILEGED) === 0
        ? this.tlb
        : this.f.loadExpression('i32.load', this.state, S.S_TLB_UNPRIVILEGED)
    const entry = f.let(set.add(start.toI32().shrU(8).and(TLB_INDEX_MASK)))
    return { entry, distance: f.let(start.sub(f.loadExpression('i64.load', entry, table))) }
  }

  #leaveToHost(address: I64, flags: number): void {
    const { f } = this
    const count = f.loadExpression('i32.load', this.state, S.S_SLOW_ACCESSES).add(1)
    f.store('i32.store', this.state, count, S.S_SLOW_ACCESSES)
    const status = f.call(this.#access, address.toI32(), address.shrU(32).toI32(), I32.of(flags))
    f.if(status, () => this.fail(status))
  }
}
