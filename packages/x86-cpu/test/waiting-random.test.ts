import { TEST_LONG } from '@retrap/tooling/long'
import { runSoak } from '@retrap/tooling/soak'
import { expect, test } from 'vitest'
import { soak } from './soak/waiting.soak.ts'

test('whichever way an instruction waits for its device, the same happens, and after it too', async () => {
  const { violations, smallest } = await runSoak(soak, { count: TEST_LONG ? 600 : 150, seed: 1 })
  expect(smallest).toBeUndefined()
  expect(violations).toBe(0)
}, 240_000)
