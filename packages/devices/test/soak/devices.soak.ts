import type { Soak } from '@retrap/tooling/soak'
import { i8254Case } from '../support/i8254-case.ts'
import { randomCase } from '../support/random-board.ts'

/** Random accesses to every device at once, with a save and a restore on the way; and an 8254 against a model of it. */
export const soak: Soak = {
  name: 'devices',
  count: 10_000,
  step(rng) {
    const choose = (bound: number): number => rng.below(bound)
    return randomCase(choose) ?? i8254Case(choose)
  },
}
