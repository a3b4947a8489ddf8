import type { Soak } from '@retrap/tooling/soak'
import { RandomCaller } from '../support/random-hypercalls.ts'

/** Calls of one guest, unless it ends before. */
const CALLS = 50

/** Random hypercalls with random arguments: nothing throws, nothing hangs, and no frame is lost. */
export const soak: Soak = {
  name: 'hypercalls',
  count: 300,
  async step(rng) {
    const mode = rng.pick(['64', '32', 'compatibility', 'real'] as const)
    const caller = new RandomCaller(mode)
    for (let i = 0; i < CALLS && caller.usable; i++) {
      const wrong = await caller.call((below) => rng.below(below))
      if (wrong !== undefined) return `${mode} caller, call ${i}: ${wrong}`
    }
  },
}
