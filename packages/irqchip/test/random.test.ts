import { expect, test } from 'vitest'
import { runSoak } from '@retrap/tooling/soak'
import { soak } from './soak/irqchip.soak.ts'

test('three processors and their I/O APIC agree with a naive model, and none misses its wake-up', async () => {
  const { violations, smallest } = await runSoak(soak, { count: 500, seed: 1 })
  expect([violations, smallest]).toEqual([0, undefined])
})
