/**
 * The chaos oracle on the model `everything`: `npm run -s soak -- extended-replay --count N`. A step is a program of eight
 * instructions that are newer than the model `max`, as in `replay.soak.ts`: masked loads and stores whose other elements must
 * not fault, broadcasts, compressed vectors, gathers and scatters, tiles, XSAVE and its kin with all components. Masks,
 * tiles, and the upper parts and upper half of the vector registers are drawn for each program. Interrupts come up in the middle of
 * what is accessed part by part; in every third program something else happens there, such as INIT.
 */
import type { Soak } from '@retrap/tooling/soak'
import type { Coverage } from '../chaos/coverage.ts'
import { Oracle } from '../chaos/oracle.ts'

const INSTRUCTIONS = 8

let oracle: Oracle | undefined
/** What each run has seen. */
export const coverages: Coverage[] = []

/** See the file's comment. */
export const soak: Soak = {
  name: 'extended-replay',
  count: 1000,
  async setup() {
    oracle = await Oracle.make('promise', undefined, 'extended')
    coverages.push(oracle.coverage)
  },
  step(rng, index) {
    return oracle!.program(rng, INSTRUCTIONS, index, index % 3 === 2)
  },
  async teardown() {
    console.error(oracle!.describe())
    await oracle!.close()
  },
}
