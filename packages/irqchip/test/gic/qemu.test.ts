import { SLICE_REPEAT, slicedCount, slicedSeed } from '@retrap/tooling/slice'
import { expect, test } from 'vitest'
import { skipNote } from '@retrap/tooling/skip'
import { runSoak } from '@retrap/tooling/soak'
import { soak } from '../soak/gic.soak.ts'
import { hasQemu } from './qemu.ts'

test.runIf(hasQemu)(
  `random operations on a GIC give what QEMU's gives${skipNote(hasQemu, 'no qemu-system-aarch64 or no cross compiler')}`,
  { timeout: 120_000 },
  async () => {
    const { violations, smallest } = await runSoak(soak, {
      count: slicedCount(40, 3),
      seed: slicedSeed(1),
      shrinkMs: 0,
    })
    expect([violations, smallest], SLICE_REPEAT).toEqual([0, undefined])
  },
)
