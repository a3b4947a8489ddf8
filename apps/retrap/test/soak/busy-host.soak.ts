// Boots Debian's kernels, of both bitnesses, on a host that has a twentieth of its time for them.
import type { Soak } from '@retrap/tooling/soak'
import { bootOnBusyHost, kernelOf } from '../support/busy-host.ts'

const SHARE_PERCENT = 5
const DEADLINE_MS = 600_000

export const soak: Soak = {
  name: 'busy-host',
  count: 20,
  async setup() {
    await kernelOf(64)
    await kernelOf(32)
  },
  async step(rng, index) {
    const bits = index % 2 === 0 ? 64 : 32
    rng.note('kernel', `${bits} bits`)
    return bootOnBusyHost(await kernelOf(bits), SHARE_PERCENT, DEADLINE_MS)
  },
}
