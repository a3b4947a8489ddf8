import type { Soak } from '@retrap/tooling/soak'
import { hostileE1000, sameE1000 } from '../support/random-e1000.ts'

/** Drivers that write anything to an e1000 and to its rings, at a network that is full at times or loses its link. */
export const soak: Soak = {
  name: 'e1000',
  count: 500,
  step(rng) {
    const choose = (bound: number): number => rng.below(bound)
    return hostileE1000(choose, rng.below(300)) ?? sameE1000(choose, rng.below(100))
  },
}
