import type { Soak } from '@retrap/tooling/soak'
import { hostileCase } from '../support/hostile-usb.ts'

/** Guests that write anything into registers, rings and contexts, with saves and resets on the way. */
export const soak: Soak = {
  name: 'usb',
  count: 2000,
  async step(rng) {
    return (await hostileCase((bound) => rng.below(bound), 50 + rng.below(400))) ?? undefined
  },
}
