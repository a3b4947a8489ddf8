import { AARCH64, hasMachine } from '@retrap/tooling/arm-native'
import { words } from '@retrap/tooling/random'
import { skipNote } from '@retrap/tooling/skip'
import { expect, test, vi } from 'vitest'
import { compareInstructions, comparedRows } from './support/compare-instructions.ts'

// A host whose multiply-add rounds twice.
vi.mock('@retrap/soft-float', async (original) => ({ ...(await original<object>()), hasFusedMultiplyAdd: () => false }))

const there = hasMachine(AARCH64)

test.skipIf(!there)(
  `fused multiply-add is right on a host that has none${skipNote(there, 'no cross compiler or no qemu-user')}`,
  { timeout: 60_000 },
  () => {
    const rows = comparedRows().filter(({ mnemonic }) => /^F(?:N?M(?:ADD|SUB)|ML[AS]|CMLA)$/.test(mnemonic))
    const { cases, differences } = compareInstructions(rows, 60, words(20_261_122))
    expect(differences).toEqual([])
    expect(cases).toBe(60 * rows.length)
  },
)
