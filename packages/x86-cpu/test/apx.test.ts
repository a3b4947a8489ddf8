import { loadInstructions } from '@retrap/x86-cpu'
import { runSoak } from '@retrap/tooling/soak'
import { SLICE_REPEAT, slicedCount, slicedSeed } from '@retrap/tooling/slice'
import { beforeAll, expect, test } from 'vitest'
import { soak } from './soak/apx.soak.ts'
import { APX_CPU } from './support/apx-programs.ts'

beforeAll(() => loadInstructions(APX_CPU))

test('random programs of APX end as programs of older instructions do', async () => {
  const { violations, smallest } = await runSoak(soak, { count: slicedCount(30, 5), seed: slicedSeed(1) })
  expect(smallest, SLICE_REPEAT).toBeUndefined()
  expect(violations).toBe(0)
}, 240_000)
