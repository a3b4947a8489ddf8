import { runSoak } from '@retrap/tooling/soak'
import { expect, test } from 'vitest'
import { shown, soak } from '../soak/arm-chaos.soak.ts'

test('programs end the same whatever comes between their instructions', { timeout: 120_000 }, async () => {
  const { violations, smallest } = await runSoak(soak, { count: 60, seed: 1 })
  expect(smallest).toBeUndefined()
  expect(violations).toBe(0)
  const { instructions, accesses, late, interrupts, settled } = shown()
  expect(instructions).toBeGreaterThan(15_000)
  expect(accesses).toBeGreaterThan(6000)
  expect(late).toBeGreaterThan(3000)
  expect(interrupts).toBeGreaterThan(800)
  expect(settled).toBeGreaterThan(200)
})
