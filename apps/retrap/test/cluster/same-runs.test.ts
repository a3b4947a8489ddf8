// Clusters that were drawn at random, each run in two ways: the soak draws others.
import { hasProc, skipNote } from '@retrap/tooling/skip'
import { sliceTests } from '@retrap/tooling/slice'
import { runSoak } from '@retrap/tooling/soak'
import { expect } from 'vitest'
import { soak } from '../soak/cluster.soak.ts'
import { linuxWith } from '../support/disk-linux.ts'

const isHere = hasProc && (await linuxWith([], '')) !== undefined
const test = sliceTests(6).skipIf(!isHere)

test.each([
  ['an Arm board and a disk, forked amid faults', 38],
  ['a disk, four Workers and no compiled code', 27],
  ['trees of states in two lanes, with memory for few', 62],
])(`%s: the same run${skipNote(isHere, 'no /proc, or no kernel')}`, { timeout: 600_000 }, async (_what, from) => {
  expect(await runSoak(soak, { seed: 80, from, count: 1 })).toMatchObject({ steps: 1, violations: 0 })
})
