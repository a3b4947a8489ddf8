import { runSoak } from '@retrap/tooling/soak'
import { SLICE_REPEAT, slicedCount, slicedSeed } from '@retrap/tooling/slice'
import { expect, test } from 'vitest'
import { soak } from './soak/slow-devices.soak.ts'

test('guests cannot tell a device that takes its time from one that answers at once', async () => {
  const { violations, smallest } = await runSoak(soak, { count: slicedCount(40, 5), seed: slicedSeed(1) })
  expect(smallest, SLICE_REPEAT).toBeUndefined()
  expect(violations).toBe(0)
}, 60_000)
