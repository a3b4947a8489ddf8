import { FunctionBuilder, I32 } from '@retrap/wasm-emitter'
import type {
  Callee,
  I64,
  I32Like,
  Label,
  LoadOp,
  Local,
  PrefixType,
  StoreOp,
  Value,
  ValueOf,
} from '@retrap/wasm-emitter'
import { RECORD_BYTES } from '../record.ts'
import { S_GPR } from '../state-layout.ts'

/** Number of general registers. */
const REGISTERS = 16
const GPR_END = S_GPR + 8 * REGISTERS

/** A function that is called through the table: it lies in another module. */
export interface TableCallee extends Callee {
  /** Its entry in the table. */
  readonly entry: number
  /** Index of its type in the module that calls it. */
  readonly typeIndex: number
}

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

/** What is known of the state while a region is generated. */
export interface KnownState {
  /** A field whose value is known, or undefined. */
  field(op: LoadOp, offset: number): Value | undefined
  /** A field of a record. */
  record(op: LoadOp, address: number): Value
}

/**
 * Builds a region's function. Semantics see the state and a record in memory, as the interpreter has them; here the fields
 * of a record are constants, general registers are locals, and what does not change within a region is known.
 */
export class RegionBuilder extends FunctionBuilder {
  /** General registers. */
  readonly registers: Local<'i64'>[] = []
  /** The state: parameter 0. */
  readonly stateAddress: I32
  /** Bit i: register i is used; is written. */
  used = 0
  written = 0
  /** Called before code that runs only sometimes. */
  beforeArm: () => void = () => undefined
  afterArm: () => void = () => undefined
  #known: KnownState | undefined
  #record = -1

  constructor(...parameters: ConstructorParameters<typeof FunctionBuilder>) {
    super(...parameters)
    this.stateAddress = new StateAddress(this.param(0, 'i32').get, 0)
    for (let i = 0; i < REGISTERS; i++) this.registers.push(this.local('i64'))
  }

  /** Sets what is known from here on. @param record - address of the record of the instruction that is generated */
  know(known: KnownState, record: number): void {
    this.#known = known
    this.#record = record
  }

  override loadExpression<K extends LoadOp>(op: K, address: I32Like, offset = 0): ValueOf[PrefixType<K>] {
    const known = this.#load(op, I32.of(address), offset)
    return (known as ValueOf[PrefixType<K>] | undefined) ?? super.loadExpression(op, address, offset)
  }

  #load(op: LoadOp, address: I32, offset: number): Value | undefined {
    if (address instanceof StateAddress) {
      const at = address.offset + offset
      return at < GPR_END ? this.#readRegister(op, at) : this.#known?.field(op, at)
    }
    const at = address.known === undefined ? -1 : address.known + offset
    return at >= this.#record && at < this.#record + RECORD_BYTES ? this.#known?.record(op, at) : undefined
  }

  #readRegister(op: LoadOp, at: number): Value {
    const number = (at - S_GPR) >>> 3
    this.used |= 1 << number
    const register = this.registers[number]!.get
    const value = (at & 7) === 0 ? register : register.shrU(8 * (at & 7))
    switch (op) {
      case 'i64.load':
        return value
      case 'i64.load8_s':
        return value.extend8S()
      case 'i64.load8_u':
        return value.and(0xff)
      case 'i64.load16_s':
        return value.extend16S()
      case 'i64.load16_u':
        return value.and(0xffff)
      case 'i64.load32_s':
        return value.extend32S()
      case 'i64.load32_u':
        return value.and(0xffff_ffffn)
      case 'i32.load':
        return value.toI32()
      case 'i32.load8_u':
        return value.toI32().and(0xff)
      case 'i32.load16_u':
        return value.toI32().and(0xffff)
      default:
        throw new TypeError(`a general register is not read by ${op}`)
    }
  }

  override store<K extends StoreOp>(op: K, address: I32Like, value: ValueOf[PrefixType<K>], offset = 0): void {
    const base = I32.of(address)
    const at = base instanceof StateAddress ? base.offset + offset : GPR_END
    if (at >= GPR_END) super.store(op, base, value, offset)
    else this.#writeRegister(op, at, value as Value)
  }

  #writeRegister(op: StoreOp, at: number, given: Value): void {
    const number = (at - S_GPR) >>> 3
    const value = given instanceof I32 ? given.toI64U() : (given as I64)
    const local = this.registers[number]!
    this.used |= 1 << number
    this.written |= 1 << number
    const bits = STORED_BITS[op]
    if (bits === undefined) throw new TypeError(`a general register is not written by ${op}`)
    if (bits === 64) {
      this.set(local, value)
      return
    }
    const shift = 8 * (at & 7)
    const mask = (1n << BigInt(bits)) - 1n
    const kept = local.get.and(BigInt.asIntN(64, ~(mask << BigInt(shift))))
    this.set(local, kept.or(value.and(mask).shl(shift)))
  }

  override call(callee: Callee, ...operands: Value[]): never {
    const { entry, typeIndex } = callee as Partial<TableCallee>
    const result =
      entry === undefined || typeIndex === undefined
        ? super.call(callee, ...operands)
        : this.callIndirect(callee.signature, typeIndex, entry, ...operands)
    return result as never
  }

  override if(condition: I32Like, then: () => void, otherwise?: () => void): void {
    if (I32.of(condition).known === undefined) this.beforeArm()
    super.if(condition, then, otherwise)
    if (I32.of(condition).known === undefined) this.afterArm()
  }

  override block(build: (label: Label) => void): void {
    this.beforeArm()
    super.block(build)
    this.afterArm()
  }

  override loop(build: (label: Label) => void): void {
    this.beforeArm()
    super.loop(build)
    this.afterArm()
  }

  /** A block of the region's own structure. */
  structuredBlock(build: (label: Label) => void): void {
    super.block(build)
  }

  /** A loop of the region's own structure. */
  structuredLoop(build: (label: Label) => void): void {
    super.loop(build)
  }

  /** An arm of the region's own structure: flags are as the caller says. */
  structuredIf(condition: I32, then: () => void): void {
    super.if(condition, then)
  }
}

const STORED_BITS: Readonly<Partial<Record<StoreOp, number>>> = {
  'i64.store': 64,
  'i64.store32': 32,
  'i64.store16': 16,
  'i64.store8': 8,
  'i32.store': 32,
  'i32.store16': 16,
  'i32.store8': 8,
}
