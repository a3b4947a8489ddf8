import type { Form as Row } from '@retrap/arm-decoder'
import type { Semantics } from '../../semantics.ts'
import { scalarConversions } from './convert.ts'
import { scalarFloat } from './scalar.ts'
import { vectorConversions } from './vector-convert.ts'
import { vectorFloat } from './vector.ts'

/** The semantics of a row of floating point that computes. */
export function floatingPoint(row: Row): Semantics | undefined {
  return scalarConversions(row) ?? scalarFloat(row) ?? vectorConversions(row) ?? vectorFloat(row)
}
