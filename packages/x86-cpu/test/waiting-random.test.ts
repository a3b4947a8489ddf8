import { SLICE_REPEAT, slicedCount, slicedSeed } from '@retrap/tooling/slice'
import { runSoak } from '@retrap/tooling/soak'
import { expect, test } from 'vitest'
import { soak } from './soak/waiting.soak.ts'

test('whichever way an instruction waits for its device, the same happens, and after it too', async () => {
  const { violations, smallest } = await runSoak(soak, { count: slicedCount(600, 12), seed: slicedSeed(1) })
  expect(smallest, SLICE_REPEAT).toBeUndefined()
  expect(violations).toBe(0)
}, 240_000)
