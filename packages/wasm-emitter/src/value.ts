import type { ByteWriter } from './bytes.ts'
import { check } from './checks.ts'
import { NUMERIC, type NumericOp, type ValueType } from './opcodes.ts'

/**
 * A value known when the code runs, or already when it is generated.
 *
 * Values are side-effect free expression trees: they are emitted at the place where they are used, once per use. A value
 * that is used more than once is given a local with {@link FunctionBuilder.let}. Operations on constants are carried out at
 * once, so that the emitter is a partial evaluator: known values leave no code.
 */
export abstract class Value<T extends ValueType = ValueType> {
  /** The WebAssembly type. */
  readonly type: T
  constructor(type: T) {
    this.type = type
  }
  /** Appends the instructions that leave the value on the stack. */
  abstract emit(out: ByteWriter): void
}

/** Appends the instructions of a value. */
export type Emit = (out: ByteWriter) => void

/** Returns an instruction applied to one to three operands. */
export function apply(op: NumericOp, first: Value, second?: Value, third?: Value): Emit {
  const code = NUMERIC[op][0]
  return (out) => {
    first.emit(out)
    second?.emit(out)
    third?.emit(out)
    out.raw(code)
  }
}

/** Checks a constructor's emitter. */
export function checkEmit(emit: unknown): void {
  if (typeof emit !== 'function') throw check.wrong('what emits a value', emit, 'a function')
}

/** Checks that a value has a type; without a type, that it is a value. */
export function checkValue(value: Value, type?: ValueType): void {
  if (!(value instanceof Value))
    throw check.wrong('a value', value, type === undefined ? 'a value' : `a value of type ${type}`)
  if (type !== undefined && value.type !== type) throw check.wrong('the type of a value', value.type, type)
}
