import type { Comparison } from './folding.ts'

/** Comparisons of a 32-bit value. */
export interface Ordered<Value> {
  eq(other: Value): Value
  ne(other: Value): Value
  ltS(other: Value): Value
  ltU(other: Value): Value
  gtS(other: Value): Value
  gtU(other: Value): Value
  leS(other: Value): Value
  leU(other: Value): Value
  geS(other: Value): Value
  geU(other: Value): Value
}

/** The 32-bit comparison of the low halves that equals a 64-bit comparison of sign-extended values. */
const OF_SIGNED = {
  eq: 'eq',
  ne: 'ne',
  lt_s: 'ltS',
  lt_u: 'ltU',
  gt_s: 'gtS',
  gt_u: 'gtU',
  le_s: 'leS',
  le_u: 'leU',
  ge_s: 'geS',
  ge_u: 'geU',
} as const satisfies Record<Comparison, keyof Ordered<unknown>>

/** The 32-bit comparison that equals a 64-bit comparison of zero-extended values, none of which is negative. */
const OF_UNSIGNED = { ...OF_SIGNED, lt_s: 'ltU', gt_s: 'gtU', le_s: 'leU', ge_s: 'geU' } as const

/** Compares 64-bit integers by the low halves of which both are sign extensions, or else both zero extensions. */
export function compareLow<Value extends Ordered<Value>>(
  comparison: Comparison,
  areSigned: boolean,
  a: Value,
  b: Value,
): Value {
  return a[(areSigned ? OF_SIGNED : OF_UNSIGNED)[comparison]](b)
}
