import { expect, test } from 'vitest'
import { runSoak } from '@retrap/tooling/soak'
import { soak } from './soak/ioreq.soak.ts'

test('every vCPU gets the answer to its own last request, whatever happens meanwhile', async () => {
  const { violations, smallest } = await runSoak(soak, { count: 500, seed: 1 })
  expect([violations, smallest]).toEqual([0, undefined])
})
