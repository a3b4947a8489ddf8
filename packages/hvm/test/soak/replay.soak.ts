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

let oracle: Oracle | undefined

/** See the file's comment. */
export const soak: Soak = {
  name: 'replay',
  count: 1000,
  setup() {
    oracle = new Oracle()
  },
  step: (rng) => oracle?.program(rng, INSTRUCTIONS),
  teardown() {
    if (oracle !== undefined) console.error(oracle.coverage.describe('promises'))
  },
}
