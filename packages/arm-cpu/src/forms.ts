import { a64Forms } from '@retrap/arm-decoder'
import { formsOf } from './semantics.ts'
import type { FormSource } from './semantics.ts'
import { semanticsOf } from './semantics/index.ts'

let forms: ReadonlyMap<number, readonly FormSource[]> | undefined

/** All forms that generated code executes, by the index of their row. */
export function armForms(): ReadonlyMap<number, readonly FormSource[]> {
  if (forms === undefined) {
    const made = new Map<number, readonly FormSource[]>()
    for (const row of a64Forms()) {
      const semantics = semanticsOf(row)
      if (semantics !== undefined) made.set(row.index, formsOf(row, semantics))
    }
    forms = made
  }
  return forms
}
