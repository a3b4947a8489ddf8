/**
 * The chaos oracle: `npm run -s soak -- replay --count N`. A step is a random program of 32 instructions, in any mode,
 * which two machines execute: one whose devices answer at once, and one whose devices take their time while another party
 * changes page tables, data, code and the map of guest frames within each instruction's passes. Both must end the same:
 * registers, memory, A and D bits, and the devices' own logs. In every third program something happens to the instruction
 * that waits (chaos/events.ts): it is cancelled, and both must be as if the same had happened before it; or the machine is
 * saved, and another goes on with it. chaos/kinds.ts has what programs are made of. What has been
 * seen is printed at the end: forms by where their accesses went, what was changed at each kind of pass, and what happened
 * there.
 */
import type { Soak } from '@retrap/tooling/soak'
import type { Coverage } from '../chaos/coverage.ts'
import { Oracle } from '../chaos/oracle.ts'

export const INSTRUCTIONS = 32

/** Of every four programs, two have their devices behind a promise, one in a Worker, one behind a socket. */
const TURNS = [0, 1, 0, 2] as const

/** One of so many is disturbed. */
const DISTURBED = 3

const TRANSPORTS = ['promise', 'Worker', 'socket'] as const
const oracles: Oracle[] = []

/** What the last run has seen, by transport. */
export const coverage = new Map<(typeof TRANSPORTS)[number], Coverage>()

/** See the file's comment. */
export const soak: Soak = {
  name: 'replay',
  count: 1000,
  async setup() {
    for (const transport of TRANSPORTS) {
      const oracle = await Oracle.make(transport)
      oracles.push(oracle)
      coverage.set(transport, oracle.coverage)
    }
  },
  step(rng, index) {
    const disturbed = index % DISTURBED === DISTURBED - 1
    const third = Math.floor(index / DISTURBED)
    const number = disturbed ? third : index - third
    const which = TURNS[number % TURNS.length] as number
    return (oracles[which] as Oracle).program(rng, INSTRUCTIONS, number >>> (which === 0 ? 1 : 2), disturbed)
  },
  async teardown() {
    for (const oracle of oracles.splice(0)) {
      console.error(oracle.describe())
      await oracle.close()
    }
  },
}
