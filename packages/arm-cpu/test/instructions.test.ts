import { AARCH64, hasMachine } from '@retrap/tooling/arm-native'
import { skipNote } from '@retrap/tooling/skip'
import { expect, test } from 'vitest'
import { compareInstructions, comparedRows } from './support/compare-instructions.ts'
import { words } from '@retrap/tooling/random'

const SEED = 20_261_122
/** Of each form. */
const CASES = 12
const there = hasMachine(AARCH64)

test.skipIf(!there)(
  `does what QEMU's processor does${skipNote(there, 'no cross compiler or no qemu-user')}`,
  { timeout: 120_000 },
  () => {
    const { cases, differences } = compareInstructions(comparedRows(), CASES, words(SEED))
    expect(differences).toEqual([])
    expect(cases).toBeGreaterThan(CASES * 600)
  },
)

test.skipIf(!there)(
  `compiled code does it too${skipNote(there, 'no cross compiler or no qemu-user')}`,
  { timeout: 120_000 },
  () => {
    const { cases, differences, compiled } = compareInstructions(comparedRows(), 1, words(SEED), true)
    expect(differences).toEqual([])
    expect(compiled).toBeGreaterThan(2 * cases)
  },
)
