import type { Soak } from '@retrap/tooling/soak'
import { hostileCase } from '../support/hostile-queue.ts'
import { randomQueueCase } from '../support/random-queue.ts'

/** A driver and a device at random, with saves and resets on the way; and guests that write anything anywhere. */
export const soak: Soak = {
  name: 'virtio',
  count: 2000,
  async step(rng) {
    const choose = (bound: number): number => rng.below(bound)
    return (await randomQueueCase(choose, 20 + rng.below(200))) ?? (await hostileCase(choose, 20 + rng.below(200)))
  },
}
