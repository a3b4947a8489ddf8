import type { Soak } from '@retrap/tooling/soak'
import { deterministicRun, type Placement } from '../support/deterministic-run.ts'

const references = new Map<string, string>()

/**
 * A guest is saved at random instants of the host's, in every kind of wait: it goes on in a domain of its own or in the one
 * that was saved, and ends as one that nobody has saved.
 */
export const soak: Soak = {
  name: 'snapshot',
  count: 1000,
  async step(rng) {
    const vcpus = rng.pick([1, 2, 4])
    const placement = rng.pick<Placement>(['here', 'here', 'here', 'here', 'here', 'worker'])
    const moves = 1 + rng.below(12)
    rng.note('run', `${vcpus} vCPUs, models ${placement}, saved ${moves} times`)
    const key = `${vcpus} ${placement}`
    const reference = references.get(key) ?? (await deterministicRun(vcpus, placement))
    references.set(key, reference)
    const digest = await deterministicRun(vcpus, placement, 0n, moves)
    return digest === reference ? undefined : `the state is ${digest}, that of a run without is ${reference}`
  },
}
