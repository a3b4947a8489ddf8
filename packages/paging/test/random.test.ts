import { expect, test } from 'vitest'
import { randomOf } from './support/guest.ts'
import { randomCase } from './support/random-case.ts'

test('100,000 random tables, processors and accesses are walked as a second, naive walker does', () => {
  const seen = new Map<string, number>()
  for (let seed = 0; seed < 100_000; seed++) {
    const difference = randomCase(randomOf(seed), seen)
    if (difference !== undefined) expect.unreachable(`seed ${seed}: ${difference}`)
  }
  // The comparison means something only if every mode both faults and translates often.
  for (const mode of [2, 3, 4, 5]) {
    expect(seen.get(`${mode} mapped`)).toBeGreaterThan(4_000)
    expect(seen.get(`${mode} fault`)).toBeGreaterThan(4_000)
  }
})
