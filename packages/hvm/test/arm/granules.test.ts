import { ARM_BOARD_LACKS, hasArmBoard } from '@retrap/tooling/arm-payload'
import { skipNote } from '@retrap/tooling/skip'
import { runSoak } from '@retrap/tooling/soak'
import { expect, test } from 'vitest'
import { shown, soak } from '../soak/arm-granules.soak.ts'

test.skipIf(!hasArmBoard)(
  `tables of 4, 16 and 64 KiB granules mean what they mean to QEMU${skipNote(hasArmBoard, ARM_BOARD_LACKS)}`,
  { timeout: 120_000 },
  async () => {
    const { violations, smallest } = await runSoak(soak, { count: 3, seed: 5, shrinkMs: 0 })
    expect(smallest?.message).toBeUndefined()
    expect(violations).toBe(0)
    const all = shown()
    // Translation and permission faults of stage 1.
    for (const kind of ['done', 'status 4', 'status c', 'executed']) {
      for (const ends of all) expect(ends.get(kind), kind).toBeGreaterThan(0)
    }
    // Access-flag faults are rare.
    for (const kind of ['status 8', 'stage 2']) expect(all.some((ends) => ends.has(kind))).toBe(true)
  },
)
