/** The table of combinations: what it refuses, machines refuse in its words, and what it supports, they do. */
import { expect, test } from 'vitest'
import { combinations, REFUSALS } from '../src/index.ts'

test('each refusal is of some combination', () => {
  const unused = new Set(REFUSALS.map(({ why }) => why))
  for (const { refused = '' } of combinations()) for (const why of unused) if (refused.endsWith(why)) unused.delete(why)
  expect([...unused]).toEqual([])
})
