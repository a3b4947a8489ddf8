import { sliced, slicedCount } from '@retrap/tooling/slice'
import { expect, test } from 'vitest'
import { deterministicRun } from './support/deterministic-run.ts'

const RUNS = sliced(
  [
    { vcpus: 1, placement: 'here', start: 0n },
    { vcpus: 4, placement: 'here', start: 0n },
    { vcpus: 1, placement: 'worker', start: 0n },
    { vcpus: 4, placement: 'worker', start: 0n },
    { vcpus: 4, placement: 'process', start: 0n },
    // Times that a number of nanoseconds does not hold, and the way there.
    { vcpus: 2, placement: 'here', start: 2n ** 53n - 100_000n },
    { vcpus: 2, placement: 'worker', start: 2n ** 53n - 100_000n },
    { vcpus: 2, placement: 'process', start: 2n ** 62n + 1n },
  ] as const,
  2,
)

test.each(RUNS)(
  'runs of $vcpus vCPUs from $start ns on end alike, whenever a model in $placement answers, moves memory and interrupts',
  { timeout: 60_000 },
  async ({ vcpus, placement, start }) => {
    const first = await deterministicRun(vcpus, placement, start)
    for (let again = 0; again < (placement === 'here' ? slicedCount(10, 3) : slicedCount(3, 2)); again++) {
      expect(await deterministicRun(vcpus, placement, start)).toBe(first)
    }
  },
)
