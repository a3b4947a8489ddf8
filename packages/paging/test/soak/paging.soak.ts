import type { Soak } from '@retrap/tooling/soak'
import { randomCase } from '../support/random-case.ts'

/** Random processors, tables and accesses, walked by the package's walker and by the naive one of its tests. */
export const soak: Soak = {
  name: 'paging',
  count: 100_000,
  step(rng) {
    const difference = randomCase(() => rng.u32() / 0x1_0000_0000)
    if (difference !== undefined) return difference
  },
}
