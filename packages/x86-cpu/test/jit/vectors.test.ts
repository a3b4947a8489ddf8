import { runSoak } from '@retrap/tooling/soak'
import { expect, test } from 'vitest'
import { soak } from '../soak/jit-vectors.soak.ts'

test('loops of floating point run alike interpreted and compiled', async () => {
  const { violations, smallest } = await runSoak(soak, { count: 60, seed: 1 })
  expect(smallest).toBeUndefined()
  expect(violations).toBe(0)
}, 240_000)
