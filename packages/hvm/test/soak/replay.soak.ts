/**
 * The chaos oracle: `npm run -s soak -- replay --count N`. A step is a random program of 32 instructions, in any mode,
 * which two machines execute: one whose devices answer at once, and one whose devices take their time while another party
 * changes page tables, data, code and the map of guest frames within each instruction's passes. Both must end the same:
 * registers, memory, A and D bits, and the devices' own logs.
 */
import type { Soak } from '@retrap/tooling/soak'
import { Oracle } from '../chaos/oracle.ts'

/** Instructions of a step. */
export const INSTRUCTIONS = 32

/** Of so many programs, how many have their devices behind a promise; the others are shared by Worker and socket. */
const PROMISES = 64

const oracles: Oracle[] = []

/** See the file's comment. */
export const soak: Soak = {
  name: 'replay',
  count: 1000,
  async setup() {
    for (const transport of ['promise', 'Worker', 'socket'] as const) oracles.push(await Oracle.make(transport))
  },
  step(rng, index) {
    const last = index % PROMISES
    const which = last === PROMISES - 1 ? 2 : last === PROMISES - 2 ? 1 : 0
    return (oracles[which] as Oracle).program(rng, INSTRUCTIONS)
  },
  async teardown() {
    for (const oracle of oracles.splice(0)) {
      console.error(oracle.describe())
      await oracle.close()
    }
  },
}
