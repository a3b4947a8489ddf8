import { asExpression, asWhole, Label, LabelExpression } from './labels.ts'

/** A number that is known now, or one that the layout decides. */
export type Value = number | bigint | Label | LabelExpression

/** A value as the encoder keeps it. Throws `ERR_OPERAND` on what is none. */
export function asValue(value: Value): bigint | LabelExpression {
  return value instanceof Label || value instanceof LabelExpression ? asExpression(value) : asWhole(value)
}
