import type { Soak } from '@retrap/tooling/soak'
import { hostileNvme, sameAfterSave } from '../support/nvme-case.ts'

/** Guests that write anything to an NVMe controller and to its queues, over a medium that answers late or fails. */
export const soak: Soak = {
  name: 'nvme',
  count: 500,
  async step(rng) {
    const choose = (bound: number): number => rng.below(bound)
    return (await hostileNvme(choose, rng.below(200))) ?? (await sameAfterSave(choose, rng.below(60)))
  },
}
