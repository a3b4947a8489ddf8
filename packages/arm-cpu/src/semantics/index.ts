import { type Form as Row, a64Forms } from '@retrap/arm-decoder'
import { hasFeature } from '../system/id-registers.ts'
import { type Family, type Semantics, formsOf, type FormSource } from './semantics.ts'
import { aes } from './aes.ts'
import { arithmetic } from './arithmetic.ts'
import { atomics } from './atomics.ts'
import { control } from './control.ts'
import { exclusives } from './exclusives.ts'
import { floatMoves } from './float-moves.ts'
import { loadStore } from './load-store.ts'
import { logic } from './logic.ts'
import { blocks } from './blocks.ts'
import { exceptionLevels } from './exception-levels.ts'
import { multiplication } from './multiply.ts'
import { pointerAuthentication } from './pointer-authentication.ts'
import { sha } from './sha.ts'
import { structures } from './structures.ts'
import { systemRegisterAccess } from './system-registers.ts'
import { scalarConversions } from './float/convert.ts'
import { scalarFloat } from './float/scalar.ts'
import { vectorConversions } from './float/vector-convert.ts'
import { vectorFloat } from './float/vector.ts'
import { vectorElements } from './vector/elementwise.ts'
import { vectorImmediates } from './vector/immediates.ts'
import { permutation } from './vector/permute.ts'
import { reduction } from './vector/reduce.ts'
import { mixedSizes } from './vector/mixed-sizes.ts'

/** The semantics of a row of Advanced SIMD on integers. */
function vectorInteger(row: Row): Semantics | undefined {
  return permutation(row) ?? reduction(row) ?? mixedSizes(row) ?? vectorImmediates(row) ?? vectorElements(row)
}

/** The semantics of a row of floating point that computes. */
function floatingPoint(row: Row): Semantics | undefined {
  return scalarConversions(row) ?? scalarFloat(row) ?? vectorConversions(row) ?? vectorFloat(row)
}

/** Each finds the semantics of the rows of its family. */
const FAMILIES: readonly Family<Semantics>[] = [
  arithmetic,
  logic,
  multiplication,
  control,
  exceptionLevels,
  systemRegisterAccess,
  structures,
  loadStore,
  blocks,
  exclusives,
  atomics,
  pointerAuthentication,
  aes,
  sha,
  floatMoves,
  floatingPoint,
  vectorInteger,
]

/**
 * Returns the semantics of a row's instructions in generated code; undefined if TypeScript executes them, or they are not
 * implemented.
 */
export function semanticsOf(row: Row): Semantics | undefined {
  if (!hasFeature(row)) return undefined
  for (const family of FAMILIES) {
    const semantics = family(row)
    if (semantics !== undefined) return semantics
  }
  return undefined
}

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
