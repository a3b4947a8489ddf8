import type { Soak } from '@retrap/tooling/soak'
import { hostileCase, sameUsb } from '../support/hostile-usb.ts'

/** Guests that write anything into registers, rings and contexts, over a stick that answers late or fails, with saves and resets. */
export const soak: Soak = {
  name: 'usb',
  count: 1000,
  async step(rng) {
    const choose = (bound: number): number => rng.below(bound)
    return (await hostileCase(choose, 50 + rng.below(400))) ?? (await sameUsb(choose, rng.below(100))) ?? undefined
  },
}
