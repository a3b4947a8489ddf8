import type { InstructionExits } from '@retrap/engine'
import { I32, I64, type LoadOp, type PrefixType, type StoreOp, type V128, type ValueOf } from '@retrap/wasm-emitter'
import { SLOW_MODIFY, SLOW_PROBE, SLOW_WRITE } from '../state/host.ts'
import type { FormSource } from '../semantics/form-context.ts'
import { Context } from '../semantics/context.ts'
import {
  changePair,
  type ChangePair,
  exchangeInteger,
  loadOp,
  lockPairs,
  storeOp,
  unlockPairs,
} from '../semantics/integer.ts'
import type { Library } from '../semantics/library.ts'
import type { TlbEntry } from '../semantics/memory-context.ts'
import { STATUS_FAULT, TLB_WRITE_OFFSET } from '../state/state-layout.ts'
import type { RegionBuilder } from './region-builder.ts'

/**
 * Memory as an instruction of a region sees it: an access whose page is not in the TLB leaves the unit before it. Code after an
 * access has no second way in, so V8 keeps values in registers and folds loads into their users.
 *
 * The accesses of an instruction that often misses the TLB's fast path, at a device for example, are made as the interpreter makes
 * them: by a call in place.
 */
export abstract class RegionMemory extends Context {
  protected readonly isCold = false
  protected readonly exits: InstructionExits
  protected readonly builder: RegionBuilder

  constructor(f: RegionBuilder, source: FormSource, library: Library, record: number, exits: InstructionExits) {
    super(f, source.form, library, f.stateAddress, I32.of(record), f.param(2, 'i32').get)
    this.accessFlags = source.accessFlags
    this.exits = exits
    this.builder = f
  }

  override loadMemory<K extends LoadOp>(op: K, ea: I64, size: number, flags = 0): ValueOf[PrefixType<K>] {
    const value = this.#isCalled
      ? super.loadMemory(op, ea, size, flags)
      : this.f.load(op, this.#find(ea, 0, size, flags))
    const isNarrow = value instanceof I64 && size < 8
    return (isNarrow ? value.knownExtended(op.endsWith('_s')) : value) as ValueOf[PrefixType<K>]
  }

  override storeMemory<K extends StoreOp>(
    op: K,
    ea: I64,
    size: number,
    value: ValueOf[PrefixType<K>],
    flags = 0,
  ): void {
    if (this.#isCalled) super.storeMemory(op, ea, size, value, flags)
    else this.f.store(op, this.#find(ea, TLB_WRITE_OFFSET, size, flags | SLOW_WRITE), value, 0)
  }

  override modifyMemory(ea: I64, size: number, compute: (old: I64) => I64): void {
    if (this.#isCalled) {
      super.modifyMemory(ea, size, compute)
      return
    }
    const host = this.let(this.#find(ea, TLB_WRITE_OFFSET, size, SLOW_MODIFY))
    if (this.form.lock) {
      const { f } = this
      // The interpreter has an operand that is not aligned.
      if (size > 1) f.if(host.and(size - 1), () => this.exits.miss())
      const old = f.local('i64')
      f.set(old, f.loadExpression(loadOp(size, false), host))
      exchangeInteger(f, old, host, size, compute)
      return
    }
    const old = this.f.load(loadOp(size, true), host)
    const value = this.let(compute(size < 8 ? old.knownExtended(true) : old))
    this.f.store(storeOp(size), host, value, 0)
  }

  override modifyPair(ea: I64, compute: ChangePair): void {
    if (this.#isCalled) {
      super.modifyPair(ea, compute)
      return
    }
    const host = this.let(this.#find(ea, TLB_WRITE_OFFSET, 16, SLOW_MODIFY))
    this.f.if(lockPairs(this.f, this.state).eqz(), () => this.exits.miss())
    changePair(this.f, host, compute)
    unlockPairs(this.f, this.state)
  }

  override probeRead(i: number): void {
    if (this.#isCalled) super.probeRead(i)
    else this.#find(this.address(i, 1), 0, 1, 0)
  }

  override probeWrite(ea: I64, size: number): void {
    if (this.#isCalled) super.probeWrite(ea, size)
    else this.#find(ea, TLB_WRITE_OFFSET, size, SLOW_WRITE)
  }

  protected override loadLanes(ea: I64, count: number): readonly V128[] {
    if (this.#isCalled) return super.loadLanes(ea, count)
    const host = this.let(this.#find(ea, 0, 16 * count, 0))
    return Array.from({ length: count }, (_, lane) => this.f.load('v128.load', host, 16 * lane))
  }

  protected override storeLanes(ea: I64, lanes: readonly V128[]): void {
    if (this.#isCalled) super.storeLanes(ea, lanes)
    else this.putLanes(this.let(this.#find(ea, TLB_WRITE_OFFSET, 16 * lanes.length, SLOW_WRITE)), lanes)
  }

  get #isCalled(): boolean {
    return this.exits.onMiss === 'call'
  }

  override slow(ea: I64, flags: number): void {
    // A device may look at the registers, which are in the state where the interpreter runs. Which are in locals is not
    // known yet.
    this.builder.later(() => this.builder.storeRegisters())
    const status = this.#access(ea, flags)
    this.f.if(status, () => this.exits.fail(status))
  }

  /** Makes an access, or the probe for one, out of line. @returns its status */
  #access(ea: I64, sizeAndFlags: number): I32 {
    const state = this.f.param(0, 'i32').get
    const [lo, hi] = [ea.toI32(), ea.shrU(32).toI32()]
    return this.f.call(this.library.slowAccess, state, lo, hi, I32.of(sizeAndFlags))
  }

  /** Finds where `size` bytes at a linear address lie; leaves the unit where that is not known. */
  #find(ea: I64, table: number, size: number, flags: number): I32 {
    const { f, builder } = this
    const write = table === TLB_WRITE_OFFSET
    const place = this.exits.onMiss === 'count' ? builder.placeNear(ea, write) : undefined
    if (place !== undefined) return builder.beside(place, ea, size, () => this.exits.miss())
    const { host, distance } = this.probe(ea, table, size, flags)
    f.if(distance.geU(0x1001 - size), () => this.exits.miss())
    return builder.notePlace(ea, size, write, host, distance)
  }

  /** Where pages have often not been found, the TLB is filled in place; an access that it cannot help leaves the unit. */
  protected override probe(ea: I64, table: number, size: number, flags: number): TlbEntry {
    const found = super.probe(ea, table, size, flags)
    if (this.exits.onMiss !== 'fill') return found
    const { f } = this
    const [host, distance] = [f.local('i32'), f.local('i64')]
    f.set(host, found.host)
    f.set(distance, found.distance)
    f.if(distance.get.geU(0x1001 - size), () => {
      const status = this.#access(ea, size | flags | SLOW_PROBE)
      f.if(status, () => {
        // A fault is the instruction's: the interpreter would only find it again.
        f.if(status.eq(STATUS_FAULT), () => this.exits.fail(I32.of(STATUS_FAULT)))
        this.exits.miss()
      })
      this.exits.leaveIfGivenUp()
      const filled = super.probe(ea, table, size, flags)
      f.set(host, filled.host)
      f.set(distance, filled.distance)
    })
    return { host: host.get, distance: distance.get }
  }
}
