/** The changes to sources that `npm run -s mutate` makes while vitest reads them. */
import { spawn, spawnSync } from 'node:child_process'
import { once } from 'node:events'
import { readFileSync } from 'node:fs'
import { constants } from 'node:os'
import { fileURLToPath } from 'node:url'
import { expect, test } from 'vitest'

const folder = fileURLToPath(new URL('..', import.meta.url))
const file = fileURLToPath(new URL('../src/skip.ts', import.meta.url))

/** Runs the tests of `src/skip.ts` with other text in front of it. @returns vitest's exit code */
function run(replacement: string): number | null {
  const vitest = fileURLToPath(new URL('../node_modules/vitest/vitest.mjs', import.meta.url))
  const { status } = spawnSync(process.execPath, [vitest, 'test/skip.test.ts', '--run', '--reporter=dot'], {
    cwd: folder,
    env: { ...process.env, RETRAP_MUTATION: JSON.stringify({ file, start: 0, end: 0, replacement }) },
  })
  return status
}

test('a change is in force although vitest has read the file before, with and without another change', () => {
  const text = readFileSync(file, 'utf8')
  expect(['// nothing\n', 'throw new Error("changed");\n', '// nothing\n'].map(run)).toEqual([0, 1, 0])
  expect(readFileSync(file, 'utf8')).toBe(text)
})

test.skipIf(process.platform === 'win32')('a run that is stopped says what it has tried', async () => {
  const script = fileURLToPath(new URL('../../../.scripts/mutate.ts', import.meta.url))
  // Where nothing can be fetched, the first change begins at once. Not even root makes a folder in a device.
  const env = { ...process.env, PATH: '', XDG_CACHE_HOME: '/dev/null' }
  const mutate = spawn(process.execPath, [script, 'tooling', '--file', 'skip', '--seed', '1'], { env })
  let errors = ''
  let output = ''
  mutate.stdout.setEncoding('utf8').on('data', (text: string) => (output += text))
  mutate.stderr.setEncoding('utf8').on('data', (text: string) => {
    errors += text
    if (errors.includes('1 of 20: packages/tooling/src/skip.ts')) mutate.kill()
  })
  expect(await once(mutate, 'close')).toEqual([128 + constants.signals.SIGTERM, null])
  expect(output).toBe(
    'stopped by SIGTERM\nmutate tooling: 0 changes, 0 noticed, 0 survived, 0 drawn that change nothing; --seed 1\n',
  )
})
