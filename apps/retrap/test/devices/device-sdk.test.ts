import { spawnSync } from 'node:child_process'
import { existsSync, mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, expect, test } from 'vitest'
import { checkDevice, PARTS } from '../../src/device-check/check.ts'
import { BROKEN_FRAMES } from '../../src/device-check/parts/broken.ts'
import { copyDeviceSdk } from '../../src/device-check/sdk.ts'
import { lackingPrograms } from '../support/programs.ts'

const folder = mkdtempSync(join(tmpdir(), 'retrap-device-sdk-'))
afterAll(() => rmSync(folder, { recursive: true }))
const SDK = new URL('../../../../packages/ioreq/sdk/', import.meta.url)

test.each(readdirSync(SDK))(
  'the library for %s is copied, with the document, and nothing that differs is lost',
  (name) => {
    const to = join(folder, 'copies', name)
    const lines = copyDeviceSdk(name, to, false)
    expect(lines).toHaveLength(3)
    expect(readFileSync(join(to, 'PROTOCOL.md'), 'utf8')).toContain('# The device protocol, version 5')
    expect(readFileSync(join(to, 'README.md'), 'utf8').length).toBeGreaterThan(1000)
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
    "no library for 'pyton'; there are c and python; did you mean 'python'?",
  )
  writeFileSync(join(folder, 'file'), '')
  expect(() => copyDeviceSdk('c', join(folder, 'file'), false)).toThrow('file, not a folder')
})

const missing = lackingPrograms('cc', 'python3')

test.skipIf(missing.length > 0)(
  `examples of both keep to the document${missing.map((name) => `: no ${name}`).join('')}`,
  async () => {
    const [c, python] = ['c', 'python'].map((name) => join(folder, 'tried', name)) as [string, string]
    copyDeviceSdk('c', c, false)
    copyDeviceSdk('python', python, false)
    const program = join(folder, 'counter')
    const made = spawnSync('cc', [join(c, 'examples/counter.c'), '-o', program], { encoding: 'utf8' })
    expect(made.stderr).toBe('')
    for (const command of [program, `PYTHONPATH="${python}" python3 "${join(python, 'examples/counter.py')}"`]) {
      const lines: string[] = []
      const parts = PARTS.filter((part) => part !== BROKEN_FRAMES)
      await checkDevice({ address: { command }, parts, print: (line) => lines.push(line) })
      expect(lines.filter((line) => line.startsWith('FAIL'))).toEqual([])
      expect(lines.join('\n')).toContain('ok    another program, or session, goes on with a saved state')
    }
  },
)
