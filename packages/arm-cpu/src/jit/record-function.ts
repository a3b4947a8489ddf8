import { RECORD_BYTES, type RecordMemory, RegionFunction } from '@retrap/engine'
import { I32, I64 } from '@retrap/wasm-emitter'
import type { I32Like, Label, LoadOp, PrefixType, ValueOf, ValueType } from '@retrap/wasm-emitter'

/** A unit's function, in which the fields of the current instruction's record are constants. */
export class RecordFunction extends RegionFunction {
  #memory: RecordMemory | undefined
  #record = 0
  /** Arms, blocks and loops of the current instruction that are open. */
  #arms = 0

  /** Sets the record whose fields are constants from now on. */
  setRecord(memory: RecordMemory, record: number): void {
    this.#memory = memory
    this.#record = record
  }

  /** Whether the code that is emitted may be skipped or repeated within the current instruction. */
  get isInArm(): boolean {
    return this.#arms > 0
  }

  /** Calls `build`, which emits code for other instructions. */
  outsideArms(build: () => void): void {
    const arms = this.#arms
    this.#arms = 0
    build()
    this.#arms = arms
  }

  #arm<T>(build: () => T): T {
    this.#arms++
    const result = build()
    this.#arms--
    return result
  }

  override block(build: (label: Label) => void): void {
    this.#arm(() => super.block(build))
  }

  override loop(build: (label: Label) => void): void {
    this.#arm(() => super.loop(build))
  }

  override if(condition: I32Like, then: () => void, otherwise?: () => void): void {
    this.#arm(() => super.if(condition, then, otherwise))
  }

  override ifElse<T extends ValueType>(
    type: T,
    condition: I32Like,
    then: () => ValueOf[T],
    otherwise: () => ValueOf[T],
  ): ValueOf[T] {
    return this.#arm(() => super.ifElse(type, condition, then, otherwise))
  }

  override loadExpression<K extends LoadOp>(op: K, address: I32Like, offset = 0): ValueOf[PrefixType<K>] {
    const at = this.constantAddress(address, offset)
    const isField = this.#memory !== undefined && at >= this.#record && at < this.#record + RECORD_BYTES
    return isField
      ? (constant(this.#memory!, op, at) as ValueOf[PrefixType<K>])
      : super.loadExpression(op, address, offset)
  }
}

function constant({ u8, u16, u32, u64 }: RecordMemory, op: LoadOp, at: number): I32 | I64 {
  switch (op) {
    case 'i64.load':
      return I64.of(BigInt.asIntN(64, u64[at >>> 3]!))
    case 'i64.load16_u':
      return I64.of(u16[at >>> 1]!)
    case 'i32.load':
      return I32.of(u32[at >>> 2]! | 0)
    case 'i32.load16_u':
      return I32.of(u16[at >>> 1]!)
    case 'i32.load8_u':
      return I32.of(u8[at]!)
    default:
      throw new TypeError(`a record is not read by ${op}`)
  }
}
