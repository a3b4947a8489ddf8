import { R_OFFSET, STATUS_FAULT, TLB_INDEX_MASK, TLB_READ, TLB_WRITE } from '@retrap/engine'
import type { I32Callee } from '@retrap/engine'
import { extractLane, I32, V128, replaceLane } from '@retrap/wasm-emitter'
import type { FunctionBuilder, I64, Local, Value } from '@retrap/wasm-emitter'
import {
  ACCESS_ALIGNED,
  ACCESS_BLOCK,
  ACCESS_DONE,
  ACCESS_ELEMENT_SHIFT,
  ACCESS_MODIFY,
  ACCESS_WRITE,
} from './access-flags.ts'
import { LOADS, STORES } from './elements.ts'
import type { ElementSize } from './elements.ts'
import { conditionHolds } from './flags.ts'
import type { FlagStore, Flags } from './flags.ts'
import type { ArmForm, Target } from './form.ts'
import type { ArmLibrary } from './library.ts'
import { SP_ALIGNMENT_FAULT } from './syndrome.ts'
import { R_A, R_D, R_IMMEDIATE, R_M, R_N, R_SMALL, R_WORD } from './record.ts'
import { S_DATA, S_FAULT_SYNDROME, S_PAGE_BASE, S_SLOW_ACCESSES, S_SP_ALIGNMENT, S_X } from './state-layout.ts'

/** Bytes of a page, and one: an access of `n` bytes lies in it at distances below this less `n`. */
const PAGE_END = 0x1001

/** What every context is made of. */
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
 * An instruction as its semantics see it, whatever executes it: registers, flags, memory, and where control goes.
 *
 * Registers of 32 bits are values whose upper half is zero.
 */
export abstract class ArmContext {
  readonly f: FunctionBuilder
  readonly form: ArmForm
  readonly state: I32
  readonly record: I32
  /** Functions that instructions share. */
  readonly library: ArmLibrary
  readonly #tlb: I32
  readonly #access: I32Callee
  /** Control may go elsewhere than to the next instruction. */
  jumps = false
  /** The flags are read or written. */
  usesFlags = false

  constructor(parts: ContextParts) {
    this.f = parts.f
    this.form = parts.form
    this.state = parts.state
    this.record = parts.record
    this.#tlb = parts.tlb
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
    this.f.store('i64.store', this.state, value, S_X + 8 * 30)
  }

  /** A vector register, as a whole. */
  readVector(field: number): V128 {
    return this.f.load('v128.load', this.registerAt(field))
  }

  /** Writes a whole vector register. */
  writeVector(field: number, value: V128): void {
    this.f.store('v128.store', this.registerAt(field), value)
  }

  /** The low 64 bits of a vector register. */
  readVectorLow(field: number): I64 {
    return extractLane('i64x2.extract_lane', this.readVector(field), 0)
  }

  /** A vector of a value in its low 64 bits, and zeros. */
  zeroExtended(low: I64): V128 {
    return replaceLane('i64x2.replace_lane', V128.of([]), 0, low)
  }

  /** An element of a vector register, whose lane is in the four low bits of the small number. */
  readLane(field: number, size: ElementSize): I64 {
    return this.f.load(LOADS[size], this.#laneAt(field, size))
  }

  /** Writes an element, and nothing else of its register. */
  writeLane(field: number, size: ElementSize, value: I64): void {
    this.f.store(STORES[size], this.#laneAt(field, size), value)
  }

  #laneAt(field: number, size: ElementSize): I32 {
    return this.registerAt(field).add(this.small.and(15).mul(size))
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

  /** The instruction. */
  get word(): I32 {
    return this.f.load('i32.load', this.record, R_WORD)
  }

  /** Linear address of the page that the instruction begins in, plus an offset. */
  linear(offset: I64): I64 {
    return this.f.load('i64.load', this.state, S_PAGE_BASE).add(offset)
  }

  /** Linear address of the instruction. */
  address(): I64 {
    return this.linear(this.f.load('i64.load16_u', this.record, R_OFFSET))
  }

  /** Linear address of the next instruction. */
  next(): I64 {
    return this.linear(this.f.load('i64.load16_u', this.record, R_OFFSET).add(4))
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

  branch(): void {
    this.jumps = true
    this.branchTo(this.form.target!)
  }

  jump(target: I64): void {
    this.jumps = true
    this.jumpTo(target)
  }

  /** Raises the exception for a base that is a stack pointer and not aligned, where SCTLR_ELx asks for it. */
  checkStackPointer(base: I64): void {
    const { f, state } = this
    f.if(base.toI32().and(f.loadExpression('i32.load', state, S_SP_ALIGNMENT)), () => {
      f.store('i32.store', state, I32.of(SP_ALIGNMENT_FAULT), S_FAULT_SYNDROME)
      this.fail(I32.of(STATUS_FAULT))
    })
  }

  // ---------------------------------------------------------------- memory

  /**
   * Reads memory: calls `use` with the machine address where the bytes are.
   *
   * @param bytes - 1 to 64; of several elements all, which then lie side by side
   * @param kind - `ACCESS_*`
   */
  load(address: I64, bytes: number, kind: number, use: (host: I32) => void): void {
    const { f } = this
    const host = f.local('i32')
    this.#find(address, bytes | kind, TLB_READ, host, () => {
      this.#leaveToHost(address, bytes | kind)
      f.set(host, this.state.add(S_DATA))
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
      f.set(host, this.state.add(S_DATA))
    })
    put(host.get)
    f.if(slow.get, () => this.#leaveToHost(address, bytes | kind | ACCESS_WRITE))
  }

  /**
   * Reads and writes memory in place: calls `use` with the machine address of the bytes, where atomic instructions may be
   * used. Nothing may have changed before.
   *
   * @param bytes - 1 to 16, of which the address must be a multiple
   * @param kind - `ACCESS_*`; with `ACCESS_WRITE` aborts are those of a store
   */
  modify(address: I64, bytes: number, kind: number, use: (host: I32) => void): void {
    const { f } = this
    const host = f.local('i32')
    const slow = f.local('i32')
    f.set(slow, I32.of(0))
    this.#find(address, bytes | kind, TLB_WRITE, host, () => {
      f.set(slow, I32.of(1))
      this.#leaveToHost(address, bytes | kind | ACCESS_MODIFY)
      f.set(host, f.loadExpression('i32.load', this.state, S_DATA))
    })
    use(host.get)
    f.if(slow.get, () => this.#leaveToHost(host.get.toI64U(), bytes | ACCESS_DONE))
  }

  /** Sets `host` to the machine address of a linear address; emits `otherwise` where the TLB does not know it. */
  #find(address: I64, flags: number, table: number, host: Local<'i32'>, otherwise: () => void): void {
    const { f } = this
    const bytes = flags & 0xff
    const isBlock = (flags & ACCESS_BLOCK) !== 0
    const start = isBlock ? f.let(address.and(-bytes)) : address
    const entry = f.let(this.#tlb.add(start.shrU(8).toI32().and(TLB_INDEX_MASK)))
    const distance = f.let(start.sub(f.loadExpression('i64.load', entry, table)))
    const isKnown = distance.ltU(PAGE_END - bytes)
    const alignment = (flags & ACCESS_ALIGNED) === 0 ? 1 : 1 << ((flags >>> ACCESS_ELEMENT_SHIFT) & 0xf)
    f.if(
      alignment === 1
        ? isKnown
        : isKnown.and(
            address
              .toI32()
              .and(alignment - 1)
              .eqz(),
          ),
      () => f.set(host, f.loadExpression('i32.load', entry, table + 8).add(distance.toI32())),
      otherwise,
    )
  }

  #leaveToHost(address: I64, flags: number): void {
    const { f } = this
    const count = f.loadExpression('i32.load', this.state, S_SLOW_ACCESSES).add(1)
    f.store('i32.store', this.state, count, S_SLOW_ACCESSES)
    const status = f.call(this.#access, address.toI32(), address.shrU(32).toI32(), I32.of(flags))
    f.if(status, () => this.fail(status))
  }
}
