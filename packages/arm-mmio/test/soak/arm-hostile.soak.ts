import type { Soak } from '@retrap/tooling/soak'
import { hostileCase } from '../support/hostile.ts'

/** Random instructions, states, syndromes and devices: see test/support/hostile.ts. */
export const soak: Soak = {
  name: 'arm-hostile',
  count: 500_000,
  step(rng) {
    const { outcome, problem } = hostileCase((bound) => rng.below(bound))
    if (problem !== '') return `${outcome}: ${problem}`
  },
}
