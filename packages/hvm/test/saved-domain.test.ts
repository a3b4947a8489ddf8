/** Domains that are saved at any instant, and go on as another domain. */
import { expect, test } from 'vitest'
import { deterministicRun, type Placement } from './support/deterministic-run.ts'

test.each<[vcpus: number, placement: Placement, moves: number]>([
  [1, 'here', 4],
  [3, 'here', 6],
  [2, 'worker', 3],
])('%i vCPUs with a model %s end as if they had not been saved, %i times', async (vcpus, placement, moves) => {
  expect(await deterministicRun(vcpus, placement, 0n, moves)).toBe(await deterministicRun(vcpus, placement))
})
