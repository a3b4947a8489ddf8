import { spawnSync } from 'node:child_process'
import { existsSync, openSync } from 'node:fs'
import { mkdtemp, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { realModeFirmware } from '../support/firmware.ts'
import { retrapCommand, runProgram, runRetrap } from '../support/processes.ts'

const MAIN = fileURLToPath(new URL('../../src/main.ts', import.meta.url))
const DEADLINE_MS = 60_000

let folder = ''
beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), 'retrap-main-'))
})
afterAll(() => rm(folder, { recursive: true }))

test('an older Node is told which one is needed, before anything else is loaded', async () => {
  const older = 'Object.defineProperty(process.versions, "node", { value: "20.19.0" })'
  const args = ['--import', `data:text/javascript,${encodeURIComponent(older)}`, MAIN, '--version']
  const { code, stdout, stderr } = await runProgram(process.execPath, args, { deadlineMs: DEADLINE_MS })
  expect(stderr).toMatch(/^retrap: Node 22 or later is needed; this is v\S+\n$/)
  expect([code, stdout]).toEqual([2, ''])
})

describe.skipIf(!existsSync('/dev/full'))('help on a disk that is full is an error of one line', () => {
  test.each(['--help', 'image --help', '--cpu help', 'run --schema'])('%s', (words) => {
    const { status, stderr } = spawnSync(process.execPath, retrapCommand(words.split(' ')), {
      stdio: ['ignore', openSync('/dev/full', 'w'), 'pipe'],
      encoding: 'utf8',
      timeout: DEADLINE_MS,
    })
    expect(stderr).toMatch(/^retrap: cannot write the output: ENOSPC[^\n]*\n$/)
    expect(status).toBe(74)
  })
})

describe('a device module that throws where nothing catches it ends the run with 70, which no guest can', () => {
  test.each([
    ['an error in its own timer', "setTimeout(() => { throw new Error('too late') }, 100)", 'Error: too late'],
    ['a promise that nobody awaits', "void Promise.reject(new Error('unheard'))", 'Error: unheard'],
    [
      'a value that cannot be printed',
      'setTimeout(() => { throw Object.create(null) }, 100)',
      'a value that cannot be printed',
    ],
  ])('%s', async (_what, statement, said) => {
    const file = join(folder, `${Math.random()}.mjs`)
    await writeFile(file, `export const device = { name: 'mine', attach() { ${statement} } }\n`)
    const image = join(folder, 'loop.bin')
    await writeFile(image, realModeFirmware(['eb fe', 'jmp $']))
    const { code, stderr } = await runRetrap(
      ['run', '--firmware', image, '--memory', '16M', '--timeout', '20', '--device', file],
      { deadlineMs: DEADLINE_MS },
    )
    expect(stderr).toContain('retrap: nothing caught what was thrown, by a device module or by retrap: ')
    expect(stderr).toContain(said)
    expect(code).toBe(70)
  })
})
