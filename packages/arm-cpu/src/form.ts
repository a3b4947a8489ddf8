import { extract } from '@retrap/arm-decoder'
import type { Form as Row } from '@retrap/arm-decoder'

/** Where a branch leads: within its page further on or back, or out of it. */
export type Target = 'forward' | 'back' | 'far'

/** One way of executing instructions: a row of the decoder's table, and the values of the fields that its code depends on. */
export interface ArmForm {
  readonly row: Row
  /** Values of `Semantics.selectors`, by letter. */
  readonly values: ReadonlyMap<string, number>
  /** The base register is the stack pointer. */
  readonly onStack: boolean
  /** Of branches. */
  readonly target: Target | undefined
  /** Unlike any other form's. */
  readonly key: string
}

/** The value of a field of a form that is one of its selectors; 0 where the row does not have it. */
export function valueOf(form: ArmForm, letter: string): number {
  return form.values.get(letter) ?? 0
}

/** A field's value in an instruction. */
export function fieldOf(row: Row, letter: string, word: number): number {
  return extract(row.fields.get(letter), word)
}

/** A field's value as a signed number. */
export function signedField(row: Row, letter: string, word: number): number {
  const field = row.fields.get(letter)
  if (field === undefined) return 0
  const unused = 32 - field.width
  return (extract(field, word) << unused) >> unused
}
