import { spawnSync } from 'node:child_process'
import { existsSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { sliceTests } from '@retrap/tooling/slice'
import { temporaryFolder } from '@retrap/tooling/temporary-folder'
import { expect } from 'vitest'
import { checkDevice, PARTS } from '../../src/commands/device-check/check.ts'
import { BROKEN_FRAMES } from '../../src/commands/device-check/parts/broken.ts'
import { copyDeviceSdk } from '../../src/commands/device-check/sdk.ts'
import { lackingPrograms } from '../support/programs.ts'

/** Compilers and machines are started: a run has a part of it. */
const test = sliceTests(3)

const folder = temporaryFolder('device-sdk')
const SDK = new URL('../../../../packages/device-hosting/sdk/', import.meta.url)

test.each(readdirSync(SDK))(
  'the library for %s is copied, with the document, and nothing that differs is lost',
  (name) => {
    const to = join(folder, 'copies', name)
    const lines = copyDeviceSdk(name, to, false)
    expect(lines).toHaveLength(3)
    expect(readFileSync(join(to, 'PROTOCOL.md'), 'utf8')).toContain('# The device protocol, version 5')
    expect(readFileSync(join(to, 'README.md'), 'utf8').length).toBeGreaterThan(1000)
    expect(readdirSync(to).filter((file) => file.startsWith('retrap'))).not.toEqual([])
    const examples = readdirSync(join(to, 'examples'))
    expect(examples.length).toBeGreaterThan(0)
    expect(examples).not.toContain('__pycache__')
    expect(existsSync(join(to, '.gitignore'))).toBe(false)
    // The same files again are no harm.
    copyDeviceSdk(name, to, false)
    writeFileSync(join(to, 'README.md'), 'mine')
    rmSync(join(to, 'PROTOCOL.md'))
    expect(() => copyDeviceSdk(name, to, false)).toThrow('that differ: README.md; --force')
    expect(existsSync(join(to, 'PROTOCOL.md'))).toBe(false)
    copyDeviceSdk(name, to, true)
    expect(readFileSync(join(to, 'README.md'), 'utf8')).not.toBe('mine')
  },
)

test('a language without a library, and a folder that cannot be, are told of', () => {
  expect(() => copyDeviceSdk('pyton', folder, false)).toThrow(
    "no library for 'pyton'; there are c and python and rust and verilator; did you mean 'python'?",
  )
  writeFileSync(join(folder, 'file'), '')
  expect(() => copyDeviceSdk('c', join(folder, 'file'), false)).toThrow('file, not a folder')
})

/** Languages, with a program that each needs. */
const NEEDED = { c: 'cc', python: 'python3', rust: 'rustc' }

for (const [language, needed] of Object.entries(NEEDED)) {
  const missing = lackingPrograms(needed)
  test.skipIf(missing.length > 0)(
    `the example in ${language} that the command names keeps to the document${missing.map((name) => `: there is no ${name}`).join('')}`,
    async () => {
      const from = join(folder, 'tried', language)
      const [, next = ''] = copyDeviceSdk(language, from, false)
      const [, make = '', command = ''] = /^Try one: +(?:(.*) && )?retrap device-check 'exec:(.*)'$/.exec(next) ?? []
      expect(command).not.toBe('')
      const made = spawnSync(make === '' ? 'true' : make, { shell: true, cwd: folder, encoding: 'utf8' })
      expect([made.status, made.stderr]).toEqual([0, ''])
      const lines: string[] = []
      const parts = PARTS.filter((part) => part !== BROKEN_FRAMES)
      const address = { command: `cd "${folder}" && ${command}` }
      await checkDevice({ address, parts, print: (line) => lines.push(line) })
      expect(lines.filter((line) => line.startsWith('FAIL'))).toEqual([])
      expect(lines.join('\n')).toContain('ok    another program, or session, goes on with a saved state')
    },
  )
}

test.skipIf(lackingPrograms('python3').length > 0)('the device of README.md keeps to the document', async () => {
  const readme = readFileSync(new URL('../../../../README.md', import.meta.url), 'utf8')
  const to = join(folder, 'dice')
  copyDeviceSdk('python', to, false)
  writeFileSync(join(to, 'dice.py'), /^```python\n(.*?)^```$/ms.exec(readme)![1]!)
  const told: string[] = []
  const [command, parts] = [`cd "${to}" && exec python3 dice.py`, PARTS.filter((part) => part !== BROKEN_FRAMES)]
  await checkDevice({ address: { command }, parts, print: (line) => told.push(line) })
  expect(told.filter((line) => line.startsWith('FAIL'))).toEqual([])
})
