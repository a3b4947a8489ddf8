import { runSoak } from '@retrap/tooling/soak'
import { expect, test } from 'vitest'
import { soak } from './soak/system-management.soak.ts'

test('SMIs at random places in random bytes change nothing', async () => {
  const { violations, smallest } = await runSoak(soak, { count: 24, seed: 3 })
  expect(smallest).toBeUndefined()
  expect(violations).toBe(0)
}, 240_000)
