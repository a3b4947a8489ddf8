import { AssemblerError } from './errors.ts'
import { asExpression, Label, LabelExpression } from './labels.ts'

/** A number that is known now, or one that the layout decides. */
export type Value = number | bigint | Label | LabelExpression

/** A value as the encoder keeps it. Throws `ERR_OPERAND` on a fraction or an unsafe number. */
export function asValue(value: Value): bigint | LabelExpression {
  if (value instanceof Label || value instanceof LabelExpression) return asExpression(value)
  if (typeof value === 'number' && !Number.isSafeInteger(value)) {
    throw new AssemblerError('ERR_OPERAND', `${value} is not an integer that a number holds exactly`)
  }
  return BigInt(value)
}
