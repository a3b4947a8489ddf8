import { runSoak } from '@retrap/tooling/soak'
import { SLICE_REPEAT, slicedCount, slicedSeed } from '@retrap/tooling/slice'
import { expect, test } from 'vitest'
import { soak } from './soak/random-code.soak.ts'

test('random bytes run to an end, and to the same one piece by piece', async () => {
  const { violations, smallest } = await runSoak(soak, { count: slicedCount(60, 5), seed: slicedSeed(1) })
  expect(smallest, SLICE_REPEAT).toBeUndefined()
  expect(violations).toBe(0)
}, 240_000)
