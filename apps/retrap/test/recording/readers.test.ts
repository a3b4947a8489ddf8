/** A recording is opened by each reader without other files, and each shows the same of it: a small part of `soak -- readers`. */
import { join } from 'node:path'
import { temporaryFolder } from '@retrap/tooling/temporary-folder'
import { expect, test } from 'vitest'
import { runHere, useInterpreters } from '../support/in-process.ts'
import { differenceAmong } from '../support/readers/compare.ts'
import { ORIGINS } from '../support/readers/origins.ts'

const DEADLINE_MS = 200_000
const folder = temporaryFolder('readers')

test(
  'a page’s, which begins with a saved machine and ends within a string instruction',
  { timeout: 3 * DEADLINE_MS },
  async () => {
    await useInterpreters('x86')
    const file = join(folder, 'page.recording')
    const how = { keys: 'hi', ms: 50, fills: true, checkpoints: true }
    const recorded = await ORIGINS['page']!(file, how)
    const places = (end: number): (number | 'end')[] => ['end', Math.floor(end / 2)]
    expect(await differenceAmong(file, recorded, ['replay', 'page'], places)).toBeUndefined()
    const behind = await runHere(['replay', file, '--goto', '999s'], { deadlineMs: DEADLINE_MS })
    expect([behind.code, behind.stderr]).toEqual([
      2,
      expect.stringMatching(/--goto 999s: the recording ends before, at instruction \d+, at \d+ ns\n/),
    ])
    const marked = await runHere(['replay', file, '--goto', 'typed'], { deadlineMs: DEADLINE_MS })
    expect([marked.code, marked.stderr]).toEqual([0, expect.stringMatching(/at instruction \d+\n/)])
  },
)
