import type { Soak } from '@retrap/tooling/soak'
import { armDeterministicRun, type Gic } from '../support/arm-deterministic-run.ts'
import { deterministicRun, type Placement } from '../support/deterministic-run.ts'

const references = new Map<string, string>()

/** Compares a run that was saved with one that nobody has. @returns the difference, if there is one */
async function differenceOf(key: string, run: (moves: number) => Promise<string>, moves: number) {
  const reference = references.get(key) ?? (await run(0))
  references.set(key, reference)
  const digest = await run(moves)
  return digest === reference ? undefined : `the state is ${digest}, that of a run without is ${reference}`
}

/**
 * A guest is saved at random instants of the host's, in every kind of wait: it goes on in a domain of its own or in the one
 * that was saved, and ends as one that nobody has saved.
 */
export const soak: Soak = {
  name: 'snapshot',
  count: 1000,
  async step(rng) {
    const vcpus = rng.pick([1, 2, 4])
    const moves = 1 + rng.below(12)
    if (rng.chance(1, 3)) {
      const gic = rng.pick<Gic>([2, 3])
      rng.note('run', `${vcpus} Arm vCPUs, GICv${gic}, saved ${moves} times`)
      return differenceOf(`arm ${vcpus} ${gic}`, (count) => armDeterministicRun(vcpus, gic, count), moves)
    }
    const placement = rng.pick<Placement>(['here', 'here', 'here', 'here', 'here', 'worker'])
    rng.note('run', `${vcpus} vCPUs, models ${placement}, saved ${moves} times`)
    return differenceOf(`${vcpus} ${placement}`, (count) => deterministicRun(vcpus, placement, 0n, count), moves)
  },
}
