import { existsSync } from 'node:fs'
import { hasProc, hasProgram, skipNote } from '@retrap/tooling/skip'
import { SLICE, SLICE_REPEAT, sliced } from '@retrap/tooling/slice'
import { expect, test } from 'vitest'
import { EXEC_DEADLINE_MS } from '../support/exec.ts'
import { compareCalls, PROBE_PLACES, PYTHON } from '../support/exec-share.ts'

const isX86 = hasProc && process.arch === 'x64' && process.getuid?.() === 0
const isHere = isX86 && hasProgram('apt-get') && existsSync(PYTHON)
const note = skipNote(isHere, 'it runs python3 of an x86-64 Linux host with apt, as root, who gives files away')

// A part of the calls, which `npm run -s soak -- exec-share` makes all, with drawn ones.
test.skipIf(!isHere).each([...PROBE_PLACES.slice(0, 1), ...sliced(PROBE_PLACES.slice(1), 2)])(
  `file system calls in a share answer as in a folder of the host: %s${note}`,
  { timeout: EXEC_DEADLINE_MS },
  async (place) => {
    const parts = place === 'folder' ? 36 : 72
    expect(await compareCalls(place, [parts, SLICE % parts]), SLICE_REPEAT).toEqual([])
  },
)
