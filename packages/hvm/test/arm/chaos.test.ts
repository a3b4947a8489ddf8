import { runSoak } from '@retrap/tooling/soak'
import { TEST_LONG } from '@retrap/tooling/long'
import { SLICE_REPEAT, slicedCount, slicedSeed } from '@retrap/tooling/slice'
import { expect, test } from 'vitest'
import { shown, soak } from '../soak/arm-chaos.soak.ts'

test('programs end the same whatever comes between their instructions', { timeout: 120_000 }, async () => {
  const { violations, smallest } = await runSoak(soak, { count: slicedCount(60, 4), seed: slicedSeed(1) })
  expect(smallest, SLICE_REPEAT).toBeUndefined()
  expect(violations).toBe(0)
  const part = TEST_LONG ? 1 : 8
  const { instructions, accesses, late, interrupts, settled } = shown()
  expect(instructions).toBeGreaterThan(15_000 / part)
  expect(accesses).toBeGreaterThan(6000 / part)
  expect(late).toBeGreaterThan(3000 / part)
  expect(interrupts).toBeGreaterThan(800 / part)
  expect(settled).toBeGreaterThan(200 / part)
})
