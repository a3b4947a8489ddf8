import { words } from '@retrap/tooling/random'
import { SLICE_REPEAT, sliced, slicedCount } from '@retrap/tooling/slice'
import { expect, test } from 'vitest'
import { hostileCase } from './support/hostile.ts'

/** The seeds of 60,000 aborts; a run has a quarter of them. */
const SEEDS = sliced([...Array(60_000).keys()], 4)

test('random aborts: nothing throws, locks and logs are given back, RETRY leaves everything as it was', () => {
  const seen = new Map<string, number>()
  for (const seed of SEEDS) {
    const next = words(seed * 0x9e37_79b1)
    const { outcome, problem } = hostileCase((bound) => Math.floor((next() / 2 ** 32) * bound))
    if (problem !== '') expect.unreachable(`seed ${seed}: ${outcome}: ${problem}; ${SLICE_REPEAT}`)
    seen.set(outcome, (seen.get(outcome) ?? 0) + 1)
  }
  for (const outcome of ['DONE', 'RESTART', 'FAULT', 'UNHANDLED', 'cancelled']) {
    expect(seen.get(outcome), outcome).toBeGreaterThan(slicedCount(100, 4))
  }
})
