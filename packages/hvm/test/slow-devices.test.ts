import { runSoak } from '@retrap/tooling/soak'
import { expect, test } from 'vitest'
import { soak } from './soak/slow-devices.soak.ts'

test('guests cannot tell a device that takes its time from one that answers at once', async () => {
  const { violations, smallest } = await runSoak(soak, { count: 40, seed: 1 })
  expect(smallest).toBeUndefined()
  expect(violations).toBe(0)
}, 60_000)
