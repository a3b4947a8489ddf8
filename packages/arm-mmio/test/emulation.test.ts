import { skipNote } from '@retrap/tooling/skip'
import { SLICE_REPEAT, slicedCount, slicedSeed } from '@retrap/tooling/slice'
import { describe, expect, test } from 'vitest'
import { compareWithQemu, machineOf } from './support/compare-emulation.ts'
import { hasMachine } from '@retrap/tooling/arm-native'

const SEED = slicedSeed(20_261_120)
const PER_FORM = slicedCount(25, 5)

const SETS = ['a64', 'a32', 't32', 't16'] as const

describe.each(SETS)('%s', (set) => {
  test.skipIf(!hasMachine(machineOf(set)))(
    `does what QEMU's processor does, whenever the device answers${skipNote(hasMachine(machineOf(set)), 'no cross compiler or no qemu-user')}`,
    { timeout: 120_000 },
    () => {
      const { cases, wrong } = compareWithQemu(set, PER_FORM, SEED)
      expect(wrong, SLICE_REPEAT).toEqual([])
      expect(cases).toBeGreaterThan(PER_FORM * 10)
    },
  )
})
