import { expect, test } from 'vitest'
import { deterministicRun } from './support/deterministic-run.ts'

test.each([
  { vcpus: 1, placement: 'here' },
  { vcpus: 4, placement: 'here' },
  { vcpus: 1, placement: 'worker' },
  { vcpus: 4, placement: 'worker' },
  { vcpus: 4, placement: 'process' },
] as const)(
  'runs of $vcpus vCPUs end alike, whenever a model in $placement answers, moves memory and interrupts',
  { timeout: 60_000 },
  async ({ vcpus, placement }) => {
    const first = await deterministicRun(vcpus, placement)
    for (let again = 0; again < (placement === 'here' ? 10 : 3); again++) {
      expect(await deterministicRun(vcpus, placement)).toBe(first)
    }
  },
)
