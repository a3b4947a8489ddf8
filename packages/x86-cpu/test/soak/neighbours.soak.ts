/**
 * vCPUs in several threads that change each other's code, tables and map: `npm run -s soak -- neighbours`. A step is a scenario of
 * `bench/neighbours`, in which the reader looks 20,000 times at as many versions, or for four seconds.
 */
import type { Soak } from '@retrap/tooling/soak'
import { runScenario, SCENARIOS } from '../support/neighbours/scenarios.ts'
import { endNeighbours } from '../support/neighbours/threads.ts'

let [versions, rounds] = [0, 0]

/** See the file's comment. */
export const soak: Soak = {
  name: 'neighbours',
  count: 100,
  async step(rng) {
    const name = rng.pick(Object.keys(SCENARIOS))
    const readers = name.startsWith('code') ? rng.between(1, 3) : 1
    const options = { jit: rng.chance(), forgets: rng.pick([0, 0, 500, 20_000]), readers }
    rng.note('scenario', () => `${name} ${JSON.stringify(options)}`)
    const outcome = await runScenario(SCENARIOS[name]!, { rounds: 20_000, ms: 4000 }, options)
    ;[versions, rounds] = [versions + outcome.versions, rounds + outcome.rounds]
    if (outcome.wrong !== 0) return `${outcome.wrong} of ${outcome.rounds} looks saw an older version`
  },
  teardown: async () => void (await endNeighbours()),
  summary: () => `${versions} changes, ${rounds} looks`,
}
