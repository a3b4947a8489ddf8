import type { Form as Row } from '@retrap/arm-decoder'
import type { Semantics } from '../../semantics.ts'
import { vectorElements } from './elementwise.ts'
import { vectorImmediates } from './immediates.ts'
import { permutation } from './permute.ts'
import { reduction } from './reduce.ts'
import { mixedSizes } from './mixed-sizes.ts'

/** The semantics of a row of Advanced SIMD on integers. */
export function vectorInteger(row: Row): Semantics | undefined {
  return permutation(row) ?? reduction(row) ?? mixedSizes(row) ?? vectorImmediates(row) ?? vectorElements(row)
}
