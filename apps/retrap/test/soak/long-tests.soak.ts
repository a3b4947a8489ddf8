// The files of tests that `npm test` runs a part of (@retrap/tooling/long), of all packages, with all that they have. Each
// step is a file; the summary says how long each has taken.
import { spawn } from 'node:child_process'
import { globSync, readFileSync } from 'node:fs'
import { join, relative, sep } from 'node:path'
import { fileURLToPath } from 'node:url'
import type { Soak } from '@retrap/tooling/soak'

const ROOT = fileURLToPath(new URL('../../../../', import.meta.url))
const FILES = globSync(['packages/*/test/**/*.test.ts', 'apps/*/test/**/*.test.ts'], { cwd: ROOT })
  .filter((file) => readFileSync(join(ROOT, file), 'utf8').includes("from '@retrap/tooling/long'"))
  .toSorted()
/** Lines of a failing run that are shown. */
const SHOWN = 60

const times: string[] = []

export const soak: Soak = {
  name: 'long-tests',
  count: FILES.length,
  async step(rng, index) {
    const file = FILES[index % FILES.length]!
    rng.note('file', file)
    const folder = join(ROOT, ...file.split(sep).slice(0, 2))
    const vitest = join(folder, 'node_modules/vitest/vitest.mjs')
    const start = performance.now()
    const child = spawn(
      process.execPath,
      [vitest, 'run', relative(folder, join(ROOT, file)), '--maxWorkers=1', '--reporter=default'],
      { cwd: folder, env: { ...process.env, RETRAP_TEST_LONG: '1' }, stdio: ['ignore', 'pipe', 'pipe'] },
    )
    let said = ''
    for (const output of [child.stdout, child.stderr]) output.on('data', (bytes: Buffer) => (said += String(bytes)))
    const code = await new Promise<number | null>((resolve, reject) => {
      child.once('error', reject)
      child.once('close', resolve)
    })
    times.push(`${file}: ${((performance.now() - start) / 1000).toFixed(0)} s`)
    if (code !== 0) return `vitest ended with ${code}:\n${said.split('\n').slice(-SHOWN).join('\n')}`
  },
  summary: () => times.join('\n'),
}
