/** Domains that are saved at any instant, and go on as another domain. */
import { expect, test } from 'vitest'
import { armDeterministicRun, type Gic } from './support/arm-deterministic-run.ts'
import { deterministicRun, type Placement } from './support/deterministic-run.ts'

test.each<[vcpus: number, placement: Placement, moves: number]>([
  [1, 'here', 4],
  [3, 'here', 6],
  [2, 'worker', 3],
])('%i vCPUs with a model %s end as if they had not been saved, %i times', async (vcpus, placement, moves) => {
  expect(await deterministicRun(vcpus, placement, 0n, moves)).toBe(await deterministicRun(vcpus, placement))
})

test.each<[vcpus: number, gic: Gic, moves: number]>([
  [1, 3, 4],
  [3, 3, 8],
  [2, 2, 6],
])('%i Arm vCPUs with a GICv%i end as if they had not been saved, %i times', async (vcpus, gic, moves) => {
  expect(await armDeterministicRun(vcpus, gic, moves)).toBe(await armDeterministicRun(vcpus, gic))
})
