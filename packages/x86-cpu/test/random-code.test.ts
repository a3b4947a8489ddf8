import { runSoak } from '@retrap/tooling/soak'
import { expect, test } from 'vitest'
import { soak } from './soak/random-code.soak.ts'

test('random bytes run to an end, and to the same one piece by piece', async () => {
  const { violations, smallest } = await runSoak(soak, { count: 60, seed: 1 })
  expect(smallest).toBeUndefined()
  expect(violations).toBe(0)
}, 240_000)
