import { skipNote } from '@retrap/tooling/skip'
import { describe, expect, test } from 'vitest'
import { compareWithQemu, machineOf } from './support/compare-emulation.ts'
import { hasMachine } from '@retrap/tooling/arm-native'

const SEED = 20_261_120
const PER_FORM = 25

const SETS = ['a64', 'a32', 't32', 't16'] as const

describe.each(SETS)('%s', (set) => {
  test.skipIf(!hasMachine(machineOf(set)))(
    `does what QEMU's processor does, whenever the device answers${skipNote(hasMachine(machineOf(set)), 'no cross compiler or no qemu-user')}`,
    { timeout: 120_000 },
    () => {
      const { cases, wrong } = compareWithQemu(set, PER_FORM, SEED)
      expect(wrong).toEqual([])
      expect(cases).toBeGreaterThan(PER_FORM * 10)
    },
  )
})
