import { TLB_READ, TLB_WRITE, type I32Callee, type InstructionExits } from '@retrap/engine'
import type { Bits, Float } from '@retrap/soft-float'
import { extractLane, I32, I64, type V128, type Value } from '@retrap/wasm-emitter'
import { ACCESS_MODIFY, ACCESS_WRITE, misalignment, PAGE_END } from '../state/access-rights.ts'
import { ArmContext, type ContextParts } from '../semantics/context.ts'
import type { ElementSize } from '../state/form.ts'
import type { FlagStore } from '../semantics/flags.ts'
import { element, withElement } from '../semantics/vector/lanes.ts'
import type { UnitRegisters } from './unit-registers.ts'
import type { UnitVectors } from './unit-vectors.ts'

/** An instruction in a unit: registers and flags in locals, the fields of its record constants. */
export class UnitContext extends ArmContext {
  readonly #registers: UnitRegisters
  readonly #vectors: UnitVectors
  readonly #exits: InstructionExits
  readonly #record: number
  readonly #probe: I32Callee

  constructor(
    parts: ContextParts,
    registers: UnitRegisters,
    vectors: UnitVectors,
    probe: I32Callee,
    record: number,
    exits: InstructionExits,
  ) {
    super(parts)
    this.#registers = registers
    this.#vectors = vectors
    this.#exits = exits
    this.#record = record
    this.#probe = probe
  }

  protected get flagStore(): FlagStore {
    return this.#registers.flags
  }

  /** Keeps a value that 32 bits determine as 32 bits, because the code is shorter. */
  override let<V extends Value>(value: V): V {
    if (value instanceof I64 && value.known === undefined && value.extended !== undefined)
      return value.withLow(this.f.let(value.extended.low)) as Value as V
    return super.let(value)
  }

  override read(field: number, wide: boolean): I64 {
    const value = this.#registers.read(this.#registers.numberOf(this.#record, field))
    return this.let(wide ? value : value.toI32().toI64U())
  }

  override write(field: number, value: I64, wide: boolean): void {
    this.#registers.write(this.#registers.numberOf(this.#record, field), wide ? value : value.toI32().toI64U())
  }

  override writeLink(value: I64): void {
    this.#registers.write(30, value)
  }

  // ---------------------------------------------------------------- vector registers, as far as they are in locals

  override readVector(field: number): V128 {
    const register = this.#vectors.find(this.#record, field)
    return register === undefined ? super.readVector(field) : this.let(this.#vectors.read(register))
  }

  override writeVector(field: number, value: V128): void {
    const register = this.#vectors.find(this.#record, field)
    if (register === undefined) super.writeVector(field, value)
    else this.#vectors.write(register, value)
  }

  override readFloat(field: number, bits: Bits): Float {
    const register = this.#vectors.find(this.#record, field)
    if (register === undefined) return super.readFloat(field, bits)
    const vector = this.#vectors.read(register)
    return bits === 64
      ? this.let(extractLane('f64x2.extract_lane', vector, 0))
      : this.let(extractLane('f32x4.extract_lane', vector, 0))
  }

  override readVectorAfter(field: number, distance: number): V128 {
    const register = this.#vectors.find(this.#record, field, distance)
    return register === undefined ? super.readVectorAfter(field, distance) : this.let(this.#vectors.read(register))
  }

  override readElement(field: number, index: I32, size: ElementSize): I64 {
    const register = this.#vectors.find(this.#record, field)
    if (register === undefined) return super.readElement(field, index, size)
    return this.let(element(this.#vectors.read(register), lane(index), 8 * size, false))
  }

  override writeElement(field: number, index: I32, size: ElementSize, value: I64): void {
    const register = this.#vectors.find(this.#record, field)
    if (register === undefined) super.writeElement(field, index, size, value)
    else this.#vectors.write(register, withElement(this.#vectors.read(register), lane(index), 8 * size, value))
  }

  override remaining(): I32 {
    return this.#exits.remaining()
  }

  override linear(offset: I64): I64 {
    return this.#exits.pageBase().add(offset)
  }

  /** Leaves to the interpreter, which raises the exception. */
  override raise(): void {
    this.#exits.interpret()
  }

  fail(status: I32): void {
    // An access has ended otherwise, with the reason in the state; of what generated code does not deal with the reason is known.
    if (status.known === undefined) this.#exits.fail(status)
    else this.#exits.interpret()
  }

  /** Accesses of the instruction lead to devices, to two pages, or to a page with code: they are made in place. */
  get #calls(): boolean {
    return this.#exits.onMiss === 'call'
  }

  protected branchTo(): void {
    this.#exits.branch()
  }

  protected jumpTo(target: I64): void {
    this.#exits.jump(target)
  }

  override load(address: I64, bytes: number, kind: number, use: (host: I32) => void): void {
    if (this.#calls) super.load(address, bytes, kind, use)
    else use(this.#reach(address, bytes | kind, TLB_READ))
  }

  override store(address: I64, bytes: number, kind: number, put: (host: I32) => void): void {
    if (this.#calls) super.store(address, bytes, kind, put)
    else put(this.#reach(address, bytes | kind | ACCESS_WRITE, TLB_WRITE))
  }

  override modify(address: I64, bytes: number, kind: number, use: (host: I32) => void): void {
    if (this.#calls) super.modify(address, bytes, kind, use)
    else use(this.#reach(address, bytes | kind | ACCESS_MODIFY, TLB_WRITE))
  }

  /** The machine address of an access; where the TLB does not have its page, the instruction is left. */
  #reach(address: I64, flags: number, table: number): I32 {
    const { f } = this
    const misaligned = misalignment(address, flags)
    if (misaligned !== undefined) f.if(misaligned, () => this.#exits.interpret())
    const isOutside = (distance: I64): I32 => distance.geU(PAGE_END - (flags & 0xff))
    const found = this.lookUp(address, flags, table)
    const distance = f.local('i64')
    f.set(distance, found.distance)
    f.if(isOutside(distance.get), () => {
      if (this.#exits.onMiss === 'fill') {
        const status = f.call(this.#probe, address.toI32(), address.shrU(32).toI32(), I32.of(flags))
        f.if(status, () => this.#exits.miss())
        this.#exits.leaveIfGivenUp()
        f.set(distance, this.lookUp(address, flags, table).distance)
        f.if(isOutside(distance.get), () => this.#exits.miss())
      } else this.#exits.miss()
    })
    return f.let(f.loadExpression('i32.load', found.entry, table + 8).add(distance.get.toI32()))
  }
}

/** The number of an element, which the record of an instruction in a unit has. */
function lane({ known }: I32): number {
  if (known === undefined) throw new TypeError('the number of an element is not known')
  return known
}
