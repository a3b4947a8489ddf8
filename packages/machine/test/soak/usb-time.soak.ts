import type { Soak } from '@retrap/tooling/soak'
import { bootStick } from '../support/usb-boot.ts'

/** Runs on deterministic time agree, however long the host takes for a stick. */
export const soak: Soak = {
  name: 'usb-time',
  count: 1,
  async step(rng) {
    const fast = await bootStick(() => 0, { clock: 'deterministic' })
    const slow = await bootStick(() => rng.below(20), { clock: 'deterministic' })
    const same = JSON.stringify(fast) === JSON.stringify(slow)
    if (!same || fast.reason !== 'power-off') return `${JSON.stringify(fast)} and ${JSON.stringify(slow)}`
    return undefined
  },
}
