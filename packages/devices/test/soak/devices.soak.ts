import type { Soak } from '@retrap/tooling/soak'
import { randomCase } from '../support/random-board.ts'

/** Random accesses to every device at once, with a save and a restore on the way. */
export const soak: Soak = {
  name: 'devices',
  count: 10_000,
  step(rng) {
    return randomCase((bound) => rng.below(bound))
  },
}
