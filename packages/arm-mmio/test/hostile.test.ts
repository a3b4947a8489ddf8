import { words } from '@retrap/tooling/random'
import { expect, test } from 'vitest'
import { hostileCase } from './support/hostile.ts'

test('60,000 random aborts: nothing throws, locks and logs are given back, RETRY leaves everything as it was', () => {
  const seen = new Map<string, number>()
  for (let seed = 0; seed < 60_000; seed++) {
    const next = words(seed * 0x9e37_79b1)
    const { outcome, problem } = hostileCase((bound) => Math.floor((next() / 2 ** 32) * bound))
    if (problem !== '') expect.unreachable(`seed ${seed}: ${outcome}: ${problem}`)
    seen.set(outcome, (seen.get(outcome) ?? 0) + 1)
  }
  for (const outcome of ['DONE', 'RETRY', 'INJECTED', 'UNHANDLED', 'cancelled']) {
    expect(seen.get(outcome), outcome).toBeGreaterThan(100)
  }
})
