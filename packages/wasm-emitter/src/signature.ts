import { check, checkIndex, entryOf } from './checks.ts'
import { WasmEmitterError } from './errors.ts'
import type { ValueType } from './opcodes.ts'
import { checkValue, type Value } from './value.ts'

/** A function's parameter and result types. At most one result. */
export interface Signature {
  /** The types of the parameters. */
  readonly params: readonly ValueType[]
  /** The type of the result, if any. */
  readonly result?: ValueType | undefined
}

/** A callable function: imported or defined in the same module. */
export interface Callee {
  /** Index among the functions of the module. */
  readonly index: number
  /** Types of the function's parameters and result. */
  readonly signature: Signature
}

const VALUE_TYPE_CODES: Readonly<Record<ValueType, number>> = { i32: 0x7f, i64: 0x7e, f32: 0x7d, f64: 0x7c, v128: 0x7b }

/** The binary code of a value type ("Value Types", core specification 5.3). */
export function valueTypeCode(type: ValueType): number {
  return entryOf(VALUE_TYPE_CODES, 'a type', type)
}

/** Checks the types of a function. */
export function checkSignature(signature: Signature): void {
  check.object('a signature', signature)
  check.list('the parameters of a signature', signature.params)
  for (const type of signature.params) valueTypeCode(type)
  if (signature.result !== undefined) valueTypeCode(signature.result)
}

/** Checks the function to be called. */
export function checkCallee(callee: Callee): void {
  check.object('a function to call', callee)
  checkIndex('the index of a function', callee.index)
  checkSignature(callee.signature)
}

/** Checks the operands of a call. */
export function checkOperands(signature: Signature, operands: readonly Value[]): void {
  const { params } = signature
  for (const operand of operands) checkValue(operand)
  if (operands.length === params.length && operands.every((operand, i) => operand.type === params[i])) return
  const given = operands.map((operand) => operand.type).join(' ')
  throw new WasmEmitterError('ERR_TYPE', `call expects (${params.join(' ')}), given (${given})`)
}
