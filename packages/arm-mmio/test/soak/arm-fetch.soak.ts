// npm run -s soak -- arm-fetch --count 100000 --seed S
//
// Another party unmaps, remaps and rewrites the page of the instruction between trap, fetch and completion.
import type { Soak } from '@retrap/tooling/soak'
import { fetchRace } from '../support/fetch-race.ts'

export const soak: Soak = {
  name: 'arm-fetch',
  count: 100_000,
  step(rng) {
    return fetchRace(rng).problem
  },
}
