import type { Soak } from '@retrap/tooling/soak'
import { hostileMessages } from '../support/hostile-messages.ts'
import { hostileCase } from '../support/hostile-queue.ts'
import { randomQueueCase } from '../support/random-queue.ts'

/**
 * A driver and a device at random, with saves and resets on the way; guests that write anything anywhere, and drivers that
 * send any message of 9P.
 */
export const soak: Soak = {
  name: 'virtio',
  count: 2000,
  async step(rng) {
    const choose = (bound: number): number => rng.below(bound)
    return (
      (await randomQueueCase(choose, 20 + rng.below(200))) ??
      (await hostileCase(choose, 20 + rng.below(200))) ??
      (await hostileMessages(choose, 20 + rng.below(200)))
    )
  },
}
