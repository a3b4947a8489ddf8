/** The model checker behind `npm run -s soak -- p2m`, for a short while, and what it must not miss. */
import { runSoak, type Soak } from '@retrap/tooling/soak'
import { SLICE_REPEAT, sliced, slicedCount, slicedSeed } from '@retrap/tooling/slice'
import { describe, expect, test } from 'vitest'
import { DomainStage } from './interleavings/domain-stage.ts'
import { interleave } from './interleavings/interleaving.ts'
import { DOMAIN_MUTATIONS, MUTATIONS } from './interleavings/mutations.ts'
import type { Mutation, Stage } from './interleavings/world.ts'
import { LightStage } from './interleavings/light-stage.ts'
import { ACTIONS, DOMAIN_ACTIONS, soak } from './soak/p2m.soak.ts'

const SEED = 0x9216
const STEPS = slicedCount(1500, 5)

test('no device model reaches RAM that has left, whatever happens in whatever order, and nobody waits for ever', async () => {
  const result = await runSoak(soak, { count: STEPS, seed: slicedSeed(SEED) })
  expect(result.smallest, SLICE_REPEAT).toBe(undefined)
  expect(result).toMatchObject({ steps: STEPS, violations: 0 })
}, 120_000)

test('nor where real vCPUs execute real hypercalls', async () => {
  const stage = await DomainStage.make()
  const step: Soak['step'] = async (rng) => void (await interleave(stage, rng, DOMAIN_ACTIONS))
  const result = await runSoak(
    { name: 'domain', step },
    { count: slicedCount(100, 4), seed: slicedSeed(SEED), shrinkMs: 2000 },
  )
  expect(result.smallest, SLICE_REPEAT).toBe(undefined)
  expect(stage.domain.vcpus.every(({ counts }) => counts.hypercalls > slicedCount(100, 4))).toBe(true)
}, 120_000)

/** Steps until a mechanism that has been changed is found to be wrong. */
async function stepsUntilFound(
  stage: () => Stage | Promise<Stage>,
  actions: number,
  mutation: Mutation,
): Promise<{ steps: number; message: string }> {
  const step: Soak['step'] = async (rng) => void (await interleave(await stage(), rng, actions, mutation))
  for (let from = 0; from < 400; from++) {
    const { smallest } = await runSoak({ name: 'mutant', step }, { count: 1, seed: SEED, from, shrinkMs: 0 })
    if (smallest !== undefined) return { steps: from + 1, message: smallest.message }
  }
  return { steps: Infinity, message: 'nothing' }
}

const SAYS = /reaches frame|still knows frame|stores to frame|already waits for mmio|mid|for ever/

describe('the checker sees what it must not miss', () => {
  test.each(sliced(Object.keys(MUTATIONS), 3))(
    '%s',
    async (name) => {
      const { steps, message } = await stepsUntilFound(() => new LightStage(), ACTIONS, MUTATIONS[name] as Mutation)
      expect(message).toMatch(SAYS)
      expect(steps).toBeLessThanOrEqual(400)
    },
    120_000,
  )

  test.each(sliced(Object.keys(DOMAIN_MUTATIONS), 3))(
    'of a domain: %s',
    async (name) => {
      const mutation = DOMAIN_MUTATIONS[name] as Mutation
      const { steps, message } = await stepsUntilFound(() => DomainStage.make(), DOMAIN_ACTIONS, mutation)
      expect(message).toMatch(SAYS)
      expect(steps).toBeLessThanOrEqual(400)
    },
    120_000,
  )
})
