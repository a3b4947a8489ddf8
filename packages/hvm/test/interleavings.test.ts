/** The model checker behind `npm run -s soak -- p2m`, for a short while, and what it must not miss. */
import { runSoak, type Soak } from '@retrap/tooling/soak'
import { describe, expect, test } from 'vitest'
import { interleave } from './interleavings/interleaving.ts'
import { MUTATIONS, type Mutation } from './interleavings/mutations.ts'
import { Machine } from './interleavings/world.ts'
import { ACTIONS, soak } from './soak/p2m.soak.ts'

const SEED = 0x9216

test('no device model reaches RAM that has left, whatever happens in whatever order, and nobody waits for ever', async () => {
  const result = await runSoak(soak, { count: 1500, seed: SEED })
  expect(result.smallest).toBe(undefined)
  expect(result).toMatchObject({ steps: 1500, violations: 0 })
}, 60_000)

describe('the checker sees what it must not miss', () => {
  /** Steps until the mechanism so changed is found to be wrong. */
  async function stepsUntilFound(mutation: Mutation): Promise<{ steps: number; message: string }> {
    const mutant: Soak = {
      name: 'mutant',
      step: async (rng) => void (await interleave(new Machine(), rng, ACTIONS, mutation)),
    }
    for (let from = 0; from < 400; from++) {
      // oxlint-disable-next-line no-await-in-loop -- one after the other, until one fails
      const { smallest } = await runSoak(mutant, { count: 1, seed: SEED, from, shrinkMs: 0 })
      if (smallest !== undefined) return { steps: from + 1, message: smallest.message }
    }
    return { steps: Infinity, message: 'nothing' }
  }

  test.each(Object.keys(MUTATIONS))('%s', async (name) => {
    const { steps, message } = await stepsUntilFound(MUTATIONS[name] as Mutation)
    expect(message).toMatch(/reaches frame|still knows frame|stores to frame|already waits for mmio|for ever/)
    expect(steps).toBeLessThanOrEqual(400)
  })
})
