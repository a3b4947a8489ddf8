import { PAGE_BYTES } from '@retrap/memory'
import {
  I32,
  type FunctionBuilder,
  type I32Like,
  type I64,
  type Label,
  type LoadOp,
  type Local,
  type PrefixType,
  type StoreOp,
  type V128,
  type Value,
  type ValueOf,
  type ValueType,
} from '@retrap/wasm-emitter'
import type { FloatRules, SharedFunction } from '@retrap/soft-float'
import { SLOW_LOCKED, SLOW_MODIFY, SLOW_PROBE, SLOW_WRITE } from '../state/host.ts'
import { R_ADDRESS } from '../state/record.ts'
import * as S from '../state/state-layout.ts'
import { VECTOR_GP } from '../state/vectors.ts'
import {
  changePair,
  type ChangePair,
  exchangeInteger,
  flatOffset,
  isFlat32,
  loadOp,
  lockPairs,
  storeOp,
  unlockPairs,
} from './integer.ts'
import { FLOAT_RULES } from './float-scratch.ts'
import type { Form } from '../state/form.ts'
import { type Library, sharedFunction } from './library.ts'

/** Offset of the page's machine address in a TLB entry. */
const HOST = 8

/**
 * Memory as a semantic function sees it: addresses of operands, and accesses through the TLB that leave the instruction
 * where they cannot be finished.
 */
export abstract class MemoryContext {
  readonly f: FunctionBuilder
  readonly form: Form
  readonly library: Library
  readonly state: I32
  readonly record: I32
  protected readonly tlb: I32
  /** Where floating point in software keeps its operands, and how it is done: see `FloatModule`. */
  readonly floatScratch: number = S.S_SCRATCH
  readonly floatRules: FloatRules = FLOAT_RULES
  /** Set by the family: SLOW_DIRECT or 0, or'ed into every access. */
  accessFlags = 0
  /** Control goes elsewhere than to the next instruction. */
  jumps = false
  /** Where the instruction goes instead of ending with a status: a repeated one has made progress by then. */
  failure: { readonly label: Label; readonly status: Local<'i32'> } | undefined
  #address: I64 | undefined

  constructor(f: FunctionBuilder, form: Form, library: Library, state: I32, record: I32, tlb: I32) {
    this.f = f
    this.form = form
    this.library = library
    this.state = state
    this.record = record
    this.tlb = tlb
  }

  /** A function of its own, of which there are many: what is rare in it is left to functions that all share. */
  protected abstract readonly isCold: boolean

  /** Ends the instruction with a status other than done; nothing may have changed. */
  abstract fail(status: I32Like): void

  protected operand(i: number): Form['operands'][number] {
    const operand = this.form.operands[i]
    if (operand === undefined) throw new RangeError(`${this.form.mnemonic} has no operand ${i}`)
    return operand
  }

  let<V extends Value>(value: V): V {
    return this.f.let(value)
  }

  // ---------------------------------------------------------------- operands that lie in memory

  /** Linear address of memory operand `i`, evaluated once; `bytes` (default: the operand's size) are checked against the segment. */
  address(i: number, bytes: number = this.operand(i).size): I64 {
    if (this.#address !== undefined) return this.#address
    const { f, record, state } = this
    const ea = f.local('i64')
    const kind = f.load('i32.load8_u', record, R_ADDRESS)
    const sizeAndFlags = this.checkedBytes(bytes).or(segmentFlags(this.operand(i).access))
    const call = (callee: Library['slowAddress']): void => {
      f.set(ea, f.call(callee, state, record, sizeAndFlags))
      f.if(f.loadExpression('i32.load', state, S.S_FAULT_VECTOR).ne(-1), () => this.fail(S.STATUS_FAULT))
    }
    f.if(
      kind.eqz(),
      () => f.set(ea, flatOffset(f, state, record)),
      () => {
        if (this.isCold) call(this.library.checkedAddress)
        else
          f.if(
            isFlat32(f, state, record, kind),
            () => f.set(ea, flatOffset(f, state, record).and(0xffff_ffffn)),
            () => call(this.library.slowAddress),
          )
      },
    )
    this.#address = ea.get
    return ea.get
  }

  /** The bytes of an operand whose segment is checked; areas of more than 255 have their size in the upper half. */
  protected checkedBytes(bytes: number): I32 {
    return I32.of(bytes > 0xff ? bytes << 16 : bytes)
  }

  /** Machine address of the TLB set in use. */
  tlbBase(): I32 {
    return this.tlb
  }

  /** Offset of the memory operand within its segment, truncated to the address size. */
  offset(): I64 {
    const { f, record, state } = this
    const offset = f.local('i64')
    f.if(
      this.isFlatAddress(),
      () => f.set(offset, flatOffset(f, state, record)),
      () => f.set(offset, f.call(this.library.offset, state, record)),
    )
    return offset.get
  }

  /** Whether the record's address is {@link flatOffset} and nothing else. */
  isFlatAddress(): I32 {
    return this.f.loadExpression('i32.load8_u', this.record, R_ADDRESS).eqz()
  }

  /** Address of memory operand `i` moved by `bytes` before segment and truncation apply (BT with a register index). */
  displacedAddress(i: number, bytes: I64): I64 {
    const { f, record, state } = this
    const { size, access } = this.operand(i)
    const ea = f.local('i64')
    const moved = f.let(bytes)
    f.if(
      this.isFlatAddress(),
      () => f.set(ea, flatOffset(f, state, record).add(moved)),
      () => {
        const flags = I32.of(size | segmentFlags(access))
        f.set(ea, f.call(this.library.slowAddressMoved, state, record, flags, moved) as I64)
        f.if(f.loadExpression('i32.load', state, S.S_FAULT_VECTOR).ne(-1), () => this.fail(S.STATUS_FAULT))
      },
    )
    return ea.get
  }

  // ---------------------------------------------------------------- accesses

  /** An integer of `size` bytes at a linear address, sign-extended. */
  loadInteger(ea: I64, size: number, flags = 0): I64 {
    return this.loadMemory(loadOp(size, true), ea, size, flags)
  }

  /** Reads `size` bytes with a load instruction; `ea` must be a local or a constant. */
  loadMemory<K extends LoadOp>(op: K, ea: I64, size: number, flags = 0): ValueOf[PrefixType<K>] {
    const f = this.f
    const type = op.slice(0, op.indexOf('.')) as PrefixType<K>
    const result = f.local(type)
    const { host, distance } = this.probe(ea, 0, size, flags)
    f.if(
      distance.ltU(0x1001 - size),
      () => f.set(result, f.loadExpression(op, host.add(distance.toI32()), 0)),
      () => {
        this.slow(ea, size | flags | this.accessFlags)
        f.set(result, f.loadExpression(op, this.state, S.S_DATA))
      },
    )
    return result.get
  }

  storeMemory<K extends StoreOp>(op: K, ea: I64, size: number, value: ValueOf[PrefixType<K>], flags = 0): void {
    const f = this.f
    const { host, distance } = this.probe(ea, S.TLB_WRITE_OFFSET, size, flags | SLOW_WRITE)
    f.if(
      distance.ltU(0x1001 - size),
      () => f.store(op, host.add(distance.toI32()), value, 0),
      () => {
        f.store(op, this.state, value, S.S_DATA)
        this.slow(ea, size | flags | SLOW_WRITE | this.accessFlags)
      },
    )
  }

  /**
   * {@link modify} for a linear address; if it is locked, in one atomic operation where the operand is found and aligned, and else
   * while no other thread executes.
   */
  modifyMemory(ea: I64, size: number, compute: (old: I64) => I64): void {
    const f = this.f
    const { lock } = this.form
    const locked = lock ? SLOW_LOCKED : 0
    const at = f.local('i32')
    const old = f.local('i64')
    const find = (miss: () => void): void => {
      const { host, distance } = this.probe(ea, S.TLB_WRITE_OFFSET, size, SLOW_MODIFY)
      const isFound = distance.ltU(0x1001 - size)
      const isPlain =
        lock && size > 1
          ? isFound.and(
              ea
                .toI32()
                .and(size - 1)
                .eqz(),
            )
          : isFound
      const hit = (): void => {
        f.set(at, host.add(distance.toI32()))
        f.set(old, f.loadExpression(loadOp(size, !lock), at.get, 0))
      }
      f.if(isPlain, hit, miss)
    }
    find(() => {
      f.set(at, I32.of(0))
      this.slow(ea, size | SLOW_MODIFY | locked)
      f.set(old, f.loadExpression(loadOp(size, !lock), this.state, S.S_DATA))
      // The TLB may have the page now.
      if (lock) find(() => undefined)
    })
    const store = (value: I64): void => {
      f.store('i64.store', this.state, value, S.S_DATA)
      this.slow(ea, size | SLOW_WRITE | locked)
    }
    if (lock) {
      exchangeInteger(f, old, at.get, size, compute, store)
      return
    }
    const value = this.let(compute(old.get))
    f.if(
      at.get,
      () => f.store(storeOp(size), at.get, value, 0),
      () => store(value),
    )
  }

  /** Changes 16 aligned bytes. Threads take turns by a lock; where the bytes are not found, no other executes. */
  modifyPair(ea: I64, compute: ChangePair): void {
    const { f, state } = this
    const [place, isLocked] = [f.local('i32'), f.local('i32')]
    const { host, distance } = this.probe(ea, S.TLB_WRITE_OFFSET, 16, SLOW_MODIFY)
    f.set(isLocked, I32.of(0))
    f.if(distance.ltU(0x1001 - 16), () => {
      f.set(place, host.add(distance.toI32()))
      f.set(isLocked, lockPairs(f, state))
    })
    f.if(isLocked.get.eqz(), () => {
      this.slow(ea, 16 | SLOW_MODIFY | SLOW_LOCKED)
      f.set(place, state.add(S.S_DATA))
    })
    changePair(f, place.get, compute)
    f.if(
      isLocked.get,
      () => unlockPairs(f, state),
      () => this.slow(ea, 16 | SLOW_WRITE | SLOW_LOCKED),
    )
  }

  /** Checks that the byte at memory operand `i` can be read, without reading it. */
  probeRead(i: number): void {
    const ea = this.address(i, 1)
    const { distance } = this.probe(ea, 0, 1, 0)
    this.f.if(distance.geU(PAGE_BYTES), () => this.slow(ea, 1 | SLOW_PROBE))
  }

  /**
   * Machine address of `size` bytes that can be read, or written with SLOW_WRITE; the handler has the instruction where the
   * TLB does not know them.
   */
  resident(ea: I64, size: number, flags = 0): I32 {
    const table = (flags & SLOW_WRITE) === 0 ? S.TLB_READ : S.TLB_WRITE_OFFSET
    const { host, distance } = this.probe(ea, table, size, flags)
    this.f.if(distance.gtU(PAGE_BYTES - size), () => this.useHandler())
    return this.let(host.add(distance.toI32()))
  }

  /** Checks that `size` bytes at `ea` can be written, without writing: before the first of several writes. */
  probeWrite(ea: I64, size: number): void {
    const { distance } = this.probe(ea, S.TLB_WRITE_OFFSET, size, SLOW_WRITE)
    this.f.if(distance.geU(0x1001 - size), () => this.slow(ea, size | SLOW_WRITE | SLOW_PROBE))
  }

  /**
   * In a logged pass, before a read that may be a device's: checks that what the same instruction writes elsewhere can be
   * written, and has the log hold that translation. A device that has been read cannot be read again, so nothing should
   * be left that can fail. Faults keep their order, since the read is checked first. Not where the value that is read may
   * raise an exception: the page that was not written must stay clean.
   */
  reserve(from: I64, to: () => I64, size: number, flags = 0): void {
    const logged = this.f.loadExpression('i32.load', this.state, S.S_LOGGED).eq(1)
    this.f.if(logged, () => {
      this.slow(from, size | SLOW_PROBE)
      this.slow(to(), size | flags | SLOW_WRITE | SLOW_PROBE)
    })
  }

  /** Reads lanes of 16 bytes that follow each other. */
  protected loadLanes(ea: I64, count: number): readonly V128[] {
    const f = this.f
    const bytes = 16 * count
    const lanes = Array.from({ length: count }, () => f.local('v128'))
    const { host, distance } = this.probe(ea, 0, bytes, 0)
    const take = (at: I32, offset: number): void =>
      lanes.forEach((lane, i) => f.set(lane, f.loadExpression('v128.load', at, offset + 16 * i)))
    f.if(
      distance.ltU(0x1001 - bytes),
      () => take(f.let(host.add(distance.toI32())), 0),
      () => {
        this.slow(ea, bytes | this.accessFlags)
        take(this.state, S.S_DATA)
      },
    )
    return lanes.map(({ get }) => get)
  }

  /** Writes lanes of 16 bytes. */
  protected storeLanes(ea: I64, lanes: readonly V128[]): void {
    const f = this.f
    const bytes = 16 * lanes.length
    const { host, distance } = this.probe(ea, S.TLB_WRITE_OFFSET, bytes, SLOW_WRITE)
    f.if(
      distance.ltU(0x1001 - bytes),
      () => this.putLanes(f.let(host.add(distance.toI32())), lanes),
      () => {
        this.putLanes(this.state, lanes, S.S_DATA)
        this.slow(ea, bytes | SLOW_WRITE | this.accessFlags)
      },
    )
  }

  /** Stores lanes in machine memory. */
  putLanes(at: I32, lanes: readonly V128[], offset = 0): void {
    lanes.forEach((lane, i) => this.f.store('v128.store', at, lane, offset + 16 * i))
  }

  requireAligned(ea: I64, bytes: number): void {
    this.f.if(ea.toI32().and(bytes - 1), () => this.raise(VECTOR_GP, 0))
  }

  /**
   * Looks a page up in the TLB.
   *
   * @param table - offset of the table in a set
   * @param size - of the access, and `flags`: for those that fill the TLB here
   * @returns machine address of the page, and how far `ea` lies from the page's beginning
   */
  protected probe(ea: I64, table: number, _size: number, _flags: number): TlbEntry {
    const { f } = this
    const entry = this.let(this.tlbEntry(ea))
    const page = f.load('i64.load', entry, table)
    // Between the page and the subtraction: V8 loads the page twice where the subtraction follows it.
    const host = f.load('i32.load', entry, table + HOST)
    return { host, distance: this.let(ea.sub(page)) }
  }

  /** Machine address of the TLB entry of a linear address, without the table's offset. */
  tlbEntry(ea: I64): I32 {
    return this.tlb.add(ea.toI32().shrU(8).and(S.TLB_INDEX_MASK))
  }

  /** The out-of-line access; leaves the instruction unless it is done. */
  slow(ea: I64, flags: number): void {
    const { slowAccess } = this.library
    const status = this.f.call(slowAccess, this.state, ea.toI32(), ea.shrU(32).toI32(), I32.of(flags))
    this.f.if(status, () => this.fail(status))
  }

  // ---------------------------------------------------------------- outcome and shared functions

  /** Raises an exception; nothing may have changed. */
  raise(vector: I32Like, errorCode?: I32Like): void {
    const { f, state } = this
    f.store('i32.store', state, I32.of(vector), S.S_FAULT_VECTOR)
    f.store('i32.store', state, I32.of(errorCode ?? 0), S.S_FAULT_ERROR)
    f.store('i32.store', state, I32.of(errorCode === undefined ? 0 : 1), S.S_FAULT_HAS_ERROR)
    this.fail(S.STATUS_FAULT)
  }

  /** Leaves the instruction to its TypeScript handler; nothing may have changed. For `partial` semantics only. */
  useHandler(): void {
    this.jumps = true
    this.fail(S.STATUS_HANDLER)
  }

  /** A module function that several families share, generated on first use. */
  shared<R extends ValueType | undefined>(
    name: string,
    params: readonly ValueType[],
    result: R,
    build: (f: FunctionBuilder) => void,
  ): SharedFunction<R> {
    return sharedFunction(this.library, name, params, result, build)
  }
}

/** The TLB's facts about an address: the machine address of its page, and its distance from the page's beginning. */
export interface TlbEntry {
  readonly host: I32
  readonly distance: I64
}

/** Which rights a segment needs for an operand's access. */
export function segmentFlags(access: 'r' | 'w' | 'rw' | 'n' | undefined): number {
  if (access === 'w') return SLOW_WRITE
  return access === 'rw' ? SLOW_WRITE | SLOW_MODIFY : 0
}
