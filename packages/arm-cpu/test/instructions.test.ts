import { AARCH64, hasMachine } from '@retrap/tooling/arm-native'
import { skipNote } from '@retrap/tooling/skip'
import { SLICE_REPEAT, sliced, slicedCount, slicedSeed } from '@retrap/tooling/slice'
import { expect, test } from 'vitest'
import { compareInstructions, comparedRows } from './support/compare-instructions.ts'
import { compareSequences } from './support/compare-sequences.ts'
import { words } from '@retrap/tooling/random'

const SEED = slicedSeed(20_261_122)
/** Of each form. */
const CASES = slicedCount(12, 3)
const there = hasMachine(AARCH64)

test.skipIf(!there)(
  `does what QEMU's processor does${skipNote(there, 'no cross compiler or no qemu-user')}`,
  { timeout: 120_000 },
  () => {
    const { cases, differences } = compareInstructions(comparedRows(), CASES, words(SEED))
    expect(differences, SLICE_REPEAT).toEqual([])
    expect(cases).toBeGreaterThan(CASES * 600)
  },
)

test.skipIf(!there).each([false, true])(
  `sequences of instructions do what QEMU's processor does, compiled: %s${skipNote(there, 'no cross compiler or no qemu-user')}`,
  { timeout: 120_000 },
  (compiles) => {
    const found = compareSequences(slicedCount(compiles ? 60 : 400, 4), words(slicedSeed(0x5e9)), compiles)
    expect(found.differences, SLICE_REPEAT).toEqual([])
    expect(found.compiled > 0).toBe(compiles)
  },
)

test.skipIf(!there)(
  `compiled code does it too${skipNote(there, 'no cross compiler or no qemu-user')}`,
  { timeout: 120_000 },
  () => {
    const { cases, differences, compiled } = compareInstructions(sliced(comparedRows(), 4), 1, words(SEED), true)
    expect(differences, SLICE_REPEAT).toEqual([])
    expect(compiled).toBeGreaterThan(2 * cases)
  },
)
