// The short form of `npm run -s soak -- jit-memory`, which looks at the memory of the process too.
import { runSoak } from '@retrap/tooling/soak'
import { SLICE_REPEAT, slicedCount, slicedSeed } from '@retrap/tooling/slice'
import { expect, test } from 'vitest'
import { soak } from '../soak/jit-memory.soak.ts'

test('code that is loaded, compiled and overwritten keeps within its budget', async () => {
  const { violations } = await runSoak(soak, { count: slicedCount(60, 6), seed: slicedSeed(1) })
  expect(violations, SLICE_REPEAT).toBe(0)
  const [, units, live] = /^(\d+) units, \d+ evicted, (\d+) live/.exec(soak.summary!())!.map(Number)
  expect(units).toBeGreaterThan(15)
  expect(live).toBeLessThanOrEqual(units!)
}, 240_000)
