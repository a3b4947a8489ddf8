import { asExpression, asWhole, Label, LabelExpression } from './labels.ts'

/** A number, known now or decided by the layout. */
export type Value = number | bigint | Label | LabelExpression

/** Converts a value for the encoder. Throws `ERR_OPERAND` for invalid ones. */
export function asValue(value: Value): bigint | LabelExpression {
  return value instanceof Label || value instanceof LabelExpression ? asExpression(value) : asWhole(value)
}
