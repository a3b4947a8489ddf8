import type { Soak } from '@retrap/tooling/soak'
import { cachedCase } from '../support/cached-case.ts'
import { randomCase } from '../support/random-case.ts'

/**
 * Random processors, tables and accesses, walked by the package's walker and by the naive one of its tests; every
 * hundredth step a guest that edits its tables, walked with a paging-structure cache.
 */
export const soak: Soak = {
  name: 'paging',
  count: 1_000_000,
  step(rng) {
    const random = (): number => rng.u32() / 0x1_0000_0000
    return rng.u32() % 100 === 0 ? cachedCase(random) : randomCase(random)
  },
}
