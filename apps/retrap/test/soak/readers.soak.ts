// One recording, every reader: `retrap replay`, gdb, a debug adapter and the page show the same registers, memory, time and output
// at random instants of a recording of a page, the command line, `exec` or a failing test.
import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import type { Soak } from '@retrap/tooling/soak'
import { differenceAmong } from '../support/readers/compare.ts'
import { ORIGINS } from '../support/readers/origins.ts'
import { READERS } from '../support/readers/readers.ts'

const PLACES = 20

export const soak: Soak = {
  name: 'readers',
  count: 8,
  async step(rng, index) {
    const names = Object.keys(ORIGINS)
    const origin = names[index % names.length]!
    const run = { keys: rng.pick(['', 'hello', 'h']), ms: rng.between(50, 150) }
    const how = { ...run, fills: rng.chance(), checkpoints: rng.chance() }
    rng.note('recording', `${origin} ${JSON.stringify(how)}`)
    const folder = mkdtempSync(join(tmpdir(), 'retrap-readers-'))
    try {
      const file = join(folder, 'run.recording')
      const recorded = await ORIGINS[origin]!(file, how)
      const drawn = Array.from({ length: PLACES }, () => rng.u32())
      const places = (end: number): (number | 'end')[] => [...drawn.map((each) => each % (end + 1)), 'end', 0]
      return await differenceAmong(file, recorded, Object.keys(READERS), places)
    } finally {
      rmSync(folder, { recursive: true, force: true })
    }
  },
}
