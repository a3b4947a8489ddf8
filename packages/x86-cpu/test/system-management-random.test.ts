import { runSoak } from '@retrap/tooling/soak'
import { SLICE_REPEAT, slicedCount, slicedSeed } from '@retrap/tooling/slice'
import { expect, test } from 'vitest'
import { soak } from './soak/system-management.soak.ts'

test('SMIs at random places in random bytes change nothing', async () => {
  const { violations, smallest } = await runSoak(soak, { count: slicedCount(24, 4), seed: slicedSeed(3) })
  expect(smallest, SLICE_REPEAT).toBeUndefined()
  expect(violations).toBe(0)
}, 240_000)
