import { ARM_BOARD_LACKS, hasArmBoard } from '@retrap/tooling/arm-payload'
import { skipNote } from '@retrap/tooling/skip'
import { words } from '@retrap/tooling/random'
import { SLICE_REPEAT, slicedCount, slicedSeed } from '@retrap/tooling/slice'
import { expect, test } from 'vitest'
import { compareCases, drawCases } from './support/el1-cases.ts'

const SEED = slicedSeed(20_261_122)
const CASES = slicedCount(4000, 4)

test.skipIf(!hasArmBoard).each([
  ['interpreted', false],
  ['compiled', true],
])(
  `system instructions and exceptions do what QEMU's processor does, %s${skipNote(hasArmBoard, ARM_BOARD_LACKS)}`,
  { timeout: 60_000 },
  (_name, compiles) => {
    expect(compareCases(drawCases(CASES, words(SEED)), compiles), SLICE_REPEAT).toEqual([])
  },
)
