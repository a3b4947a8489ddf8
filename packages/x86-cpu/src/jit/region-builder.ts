import { RegionFunction } from '@retrap/engine'
import {
  I32,
  I64,
  numeric,
  type Callee,
  type I32Like,
  type Label,
  type LoadOp,
  type Local,
  type PrefixType,
  type StoreOp,
  type V128,
  type Value,
  type ValueOf,
} from '@retrap/wasm-emitter'
import { RECORD_BYTES } from '../state/record.ts'
import { ORDINARY_64 } from '@retrap/soft-float'
import { isRoundingSettled } from '../semantics/float-scratch.ts'
import { constant } from '../semantics/vector/sse-float-packed.ts'
import { generalOffset, S_GPR, S_MXCSR, S_ZERO } from '../state/state-layout.ts'
import { FoundPlaces, type FoundPlace } from './found-places.ts'
import { RegisterOrigins, RelativeValue, type Origin } from './relative-value.ts'
import { readPart, writePart, type VectorRegisters } from './vector-registers.ts'

/** Number of general registers without those of APX. */
const REGISTERS = 16
/** Constants in locals at most: base forms have four of either type. */
const REPEATED = 8

/** The address of a field of the state, as far as it is known. */
class StateAddress extends I32 {
  readonly offset: number

  constructor(state: I32, offset: number) {
    super((out) => (offset === 0 ? state : state.add(offset)).emit(out))
    this.#state = state
    this.offset = offset
  }
  readonly #state: I32

  override add(other: I32Like): I32 {
    const right = I32.of(other)
    return right.known === undefined ? super.add(right) : new StateAddress(this.#state, this.offset + right.known)
  }
}

/** The offset of the field of the state that an address is of; undefined of other addresses. */
export function fieldOf(address: I32): number | undefined {
  return address instanceof StateAddress ? address.offset : undefined
}

/** The knowledge of the state while a region is generated. */
export interface KnownState {
  /** A field whose value is known, or undefined. */
  field(op: LoadOp, offset: number): Value | undefined
  /** A field of a record. */
  record(op: LoadOp, address: number): Value
}

/** The knowledge of memory and registers by the path that has led to a place. */
export type KnownPath = readonly [places: readonly FoundPlace[], origins: readonly Origin[]]

/**
 * Builds a region's function. Semantics see the state and a record in memory, as the interpreter has them; here the fields
 * of a record are constants, general registers are locals, and what does not change within a region is known.
 */
export class RegionBuilder extends RegionFunction {
  /** General registers. */
  readonly registers: Local<'i64'>[] = []
  /** Vector registers, if instructions of the region name any. */
  vectors: VectorRegisters | undefined
  /** All ones where MXCSR is settled, else 0: see {@link Context.settled}. */
  readonly settled: Local<'i32'>
  /** See {@link Context.settledExponents}. */
  readonly settledExponents: Local<'i32'>
  /** Constants in locals, by their bits. */
  readonly #repeated = new Map<bigint, Local<'v128'>>()
  readonly #spare: Local<'v128'>[] = []
  /** The state: parameter 0. */
  readonly stateAddress: I32
  /** Bit i: register i is used; is written. */
  used = 0
  written = 0
  /** Called before code that runs only sometimes. */
  beforeArm: () => void = () => undefined
  afterArm: () => void = () => undefined
  /** Functions that change no translation of an address. */
  readonly harmless: Set<Callee> = new Set<Callee>()
  readonly #origins = new RegisterOrigins(REGISTERS)
  readonly #places: FoundPlaces
  /** Depth of code that runs only sometimes, and the registers that it writes. */
  #arms = 0
  #writtenInArms = 0
  #known: KnownState | undefined
  #record = -1

  constructor(...parameters: ConstructorParameters<typeof RegionFunction>) {
    super(...parameters)
    this.stateAddress = new StateAddress(this.param(0, 'i32').get, 0)
    this.addRegisters()
    this.settled = this.local('i32')
    this.settledExponents = this.local('i32')
    for (let i = 0; i < REPEATED; i++) this.#spare.push(this.local('v128'))
    this.#places = new FoundPlaces(this)
  }

  /** Adds locals for further general registers, before there is any code. */
  addRegisters(): void {
    for (let i = 0; i < REGISTERS; i++) this.registers.push(this.local('i64'))
  }

  // ---------------------------------------------------------------- addresses that are known by others

  /** Returns a place that tells where an address is. */
  placeNear(address: I64, write: boolean): FoundPlace | undefined {
    return isPlace(address) ? this.#places.near(address, write) : undefined
  }

  /** Returns the machine address of `size` bytes beside a place. @param leave - emits what ends the unit */
  beside(place: FoundPlace, address: I64, size: number, leave: () => void): I32 {
    return this.#places.beside(place, address as RelativeValue, size, this.#arms === 0, leave)
  }

  /** Notes where an address has been found. @returns its machine address */
  notePlace(address: I64, size: number, writable: boolean, host: I32, distance: I64): I32 {
    // Code that runs only sometimes must not set the locals of a place.
    return isPlace(address) && this.#arms === 0
      ? this.#places.note(address, size, writable, host, distance)
      : host.add(distance.toI32())
  }

  /** Forgets where anything lies: the set of the TLB is another, or what is called may change translations. */
  forgetPlaces(): void {
    this.#places.known = []
  }

  /** Forgets all that is known by the path that has led here: a loop begins, no path leads here, or registers were set elsewhere. */
  forgetPath(): void {
    this.forgetPlaces()
    this.#origins.forget()
  }

  /**
   * Returns what is known by the path that has led here.
   *
   * @param path - what another one knows that leads to the same place: only what both know is returned
   */
  meetPath([places, origins]: KnownPath = [this.#places.known, this.#origins.known]): KnownPath {
    return [this.#places.known.filter((place) => places.includes(place)), this.#origins.meet(origins)]
  }

  /** Goes on with what {@link RegionBuilder.meetPath} has returned, for all paths that lead here. */
  mergePaths([places, origins]: KnownPath): void {
    this.#places.known = places
    this.#origins.known = origins
  }

  /** Emits code to which control goes, and from which it does not come back. */
  onPath(build: () => void): void {
    const path = this.meetPath()
    const [arms, writtenInArms] = [this.#arms, this.#writtenInArms]
    this.#arms = 0
    this.#writtenInArms = 0
    build()
    this.#arms = arms
    this.#writtenInArms = writtenInArms
    this.mergePaths(path)
  }

  #enterArm(): void {
    this.#arms++
    this.beforeArm()
  }

  #leaveArm(): void {
    this.afterArm()
    this.#origins.forget(this.#writtenInArms)
    if (--this.#arms === 0) this.#writtenInArms = 0
  }

  /** An element all over a vector. It is in a local that hosts know nothing of: V8 makes a constant anew at each use. */
  repeated(element: bigint, elementBits: 32 | 64): V128 {
    const bits = elementBits === 64 ? element : (element << 32n) | element
    let local = this.#repeated.get(bits)
    if (local === undefined) {
      local = this.#spare.pop()
      if (local === undefined) return constant(element, elementBits)
      this.#repeated.set(bits, local)
    }
    return local.get
  }

  /** Emits loads of the general registers that the unit uses. Which these are is known when all instructions are emitted. */
  loadRegisters(): void {
    const state = this.param(0, 'i32').get
    for (const [i, register] of this.registers.entries()) {
      if (((this.used >>> i) & 1) !== 0) this.set(register, super.loadExpression('i64.load', state, generalOffset(i)))
    }
  }

  /** Emits stores of the general registers that the unit writes, as {@link RegionBuilder.loadRegisters}. */
  storeRegisters(): void {
    const state = this.param(0, 'i32').get
    for (const [i, register] of this.registers.entries()) {
      if (((this.written >>> i) & 1) !== 0) super.store('i64.store', state, register.get, generalOffset(i))
    }
  }

  /** Vector registers, and what goes with them. */
  loadVectors(): void {
    if (this.vectors === undefined) return
    const state = this.param(0, 'i32').get
    this.vectors.load(state)
    this.refreshMxcsr()
    for (const [bits, local] of this.#repeated) {
      const opaque = this.loadExpression('i64.load', state, S_ZERO).or(bits)
      this.set(local, numeric('i64x2.splat', opaque))
    }
  }

  /** Looks at MXCSR again. */
  refreshMxcsr(): void {
    if (this.vectors === undefined) return
    this.set(this.settled, I32.of(0).sub(isRoundingSettled(this, this.param(0, 'i32').get)))
    this.set(this.settledExponents, this.settled.get.and(ORDINARY_64))
  }

  /** Sets what is known from here on. @param record - address of the record of the instruction that is generated */
  know(known: KnownState, record: number): void {
    this.#known = known
    this.#record = record
  }

  /** The address of a field stays known, and what 32 bits determine is kept in 32 bits. */
  override let<V extends Value>(value: V): V {
    if (value instanceof StateAddress) return value
    if (!(value instanceof I64) || value.known !== undefined) return super.let(value)
    const { extended } = value
    const local = extended === undefined ? super.let(value as I64) : value.withLow(super.let(extended.low))
    return (value instanceof RelativeValue ? value.kept(local) : local) as Value as V
  }

  override loadExpression<K extends LoadOp>(op: K, address: I32Like, offset = 0): ValueOf[PrefixType<K>] {
    const known = this.#load(op, I32.of(address), offset) as ValueOf[PrefixType<K>] | undefined
    if (known !== undefined || !(address instanceof StateAddress)) {
      return known ?? super.loadExpression(op, address, offset)
    }
    return super.loadExpression(op, this.param(0, 'i32').get, address.offset + offset)
  }

  #load(op: LoadOp, address: I32, offset: number): Value | undefined {
    if (address instanceof StateAddress) {
      const at = address.offset + offset
      const number = registerAt(at)
      if (number >= 0) return this.#readRegister(op, number, at)
      return this.vectors?.holds(at) === true ? this.vectors.read(op, at) : this.#known?.field(op, at)
    }
    const at = this.constantAddress(address, offset)
    return at >= this.#record && at < this.#record + RECORD_BYTES ? this.#known?.record(op, at) : undefined
  }

  #readRegister(op: LoadOp, number: number, at: number): Value {
    this.used |= 1 << number
    return readPart(op, this.#origins.read(number, this.registers[number]!.get), at & 7)
  }

  override store<K extends StoreOp>(op: K, address: I32Like, value: ValueOf[PrefixType<K>], offset = 0): void {
    const base = I32.of(address)
    const at = base instanceof StateAddress ? base.offset + offset : -1
    const number = registerAt(at)
    if (number >= 0) this.#writeRegister(op, number, at, value as Value)
    else if (this.vectors?.holds(at) === true) this.vectors.write(op, at, value as Value)
    else if (at >= 0) super.store(op, this.param(0, 'i32').get, value, at)
    else super.store(op, base, value, offset)
    if (at === S_MXCSR) this.refreshMxcsr()
  }

  #writeRegister(op: StoreOp, number: number, at: number, value: Value): void {
    const local = this.registers[number]!
    this.used |= 1 << number
    this.written |= 1 << number
    const whole = writePart(op, local.get, value, at & 7)
    this.set(local, whole)
    this.#origins.write(number, whole, this.#arms === 0)
    if (this.#arms > 0) this.#writtenInArms |= 1 << number
  }

  override call(callee: Callee, ...operands: Value[]): never {
    if (!this.harmless.has(callee)) this.forgetPlaces()
    return super.call(callee, ...operands)
  }

  override if(condition: I32Like, then: () => void, otherwise?: () => void): void {
    if (I32.of(condition).known === undefined) this.#enterArm()
    super.if(condition, then, otherwise)
    if (I32.of(condition).known === undefined) this.#leaveArm()
  }

  override block(build: (label: Label) => void): void {
    this.#enterArm()
    super.block(build)
    this.#leaveArm()
  }

  override loop(build: (label: Label) => void): void {
    this.#enterArm()
    super.loop(build)
    this.#leaveArm()
  }
}

/** Returns the number of the general register whose field of the state has a byte; -1 of other fields. */
function registerAt(offset: number): number {
  const number = (offset - S_GPR) >> 3
  if (number >= 0 && number < REGISTERS) return number
  const further = (offset - generalOffset(REGISTERS)) >> 3
  return further >= 0 && further < REGISTERS ? REGISTERS + further : -1
}

/** Whether the linear address of an access is known by what it is relative to. */
function isPlace(address: I64): address is RelativeValue {
  return address instanceof RelativeValue && address.origin.width !== 'open'
}
