import type { Soak } from '@retrap/tooling/soak'
import { hostileFloppy, sameFloppy } from '../support/random-floppy.ts'

/** Guests that write anything to a floppy controller and to its DMA channel, over disks that answer late or fail. */
export const soak: Soak = {
  name: 'floppy',
  count: 300,
  async step(rng) {
    const choose = (bound: number): number => rng.below(bound)
    return (await hostileFloppy(choose, rng.below(200))) ?? (await sameFloppy(choose, rng.below(60)))
  },
}
