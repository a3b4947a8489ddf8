/** Recorded runs: their files, and the command that runs them again. */
import { mkdtempSync, rmSync, statSync, truncateSync, copyFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { afterAll, expect, test } from 'vitest'
import { runRetrap } from './support/processes.ts'

const folder = mkdtempSync(join(tmpdir(), 'retrap-recordings-'))
afterAll(() => rmSync(folder, { recursive: true, force: true }))
const path = (name: string): string => join(folder, name)
const DEADLINE_MS = 60_000

test(
  'what the embedded guest was typed is run again, in another process, with the JIT and without',
  async () => {
    const file = path('guest.recording')
    const first = await runRetrap(['--record', file, '--timeout', '50'], {
      answers: [
        { to: 'retrap> ', type: 'echo one two\n\u0001cmark here\r' },
        { to: 'one two', type: '\noff\n' },
      ],
      deadlineMs: DEADLINE_MS,
    })
    expect(first.stderr).toMatch(/here: instruction \d+/)
    expect(first.stderr).toMatch(/retrap: recorded \d+ instructions to /)
    expect(first.code).toBe(0)
    for (const jit of ['on', 'off']) {
      // oxlint-disable-next-line no-await-in-loop -- one process after the other
      const again = await runRetrap(['replay', file, '--jit', jit], { deadlineMs: DEADLINE_MS })
      expect(again.stdout).toBe(first.stdout)
      expect(again.code).toBe(0)
    }
    const part = await runRetrap(['replay', file, '--goto', '100000'], { deadlineMs: DEADLINE_MS })
    expect(part.stderr).toContain('retrap: at instruction 100000\n')
    expect(first.stdout.startsWith(part.stdout)).toBe(true)
    expect(part.stdout.length).toBeLessThan(first.stdout.length)
    const wrong = await runRetrap(['replay', file, '--memory', '32M'], { deadlineMs: DEADLINE_MS })
    expect(wrong.stderr).toContain('the recording is of another machine: memoryBytes 67108864, expected 33554432')
    expect(wrong.code).toBe(2)
    const cut = path('cut.recording')
    copyFileSync(file, cut)
    truncateSync(cut, statSync(cut).size - 10)
    const whole = await runRetrap(['replay', cut], { deadlineMs: DEADLINE_MS })
    expect(first.stdout.startsWith(whole.stdout)).toBe(true)
    expect(whole.code).toBe(0)
  },
  6 * DEADLINE_MS,
)

test.each<[string, () => string, string]>([
  ['none at all', () => path('missing'), 'no such file'],
  ['something else', () => fileURLToPath(import.meta.url), 'this is no recording'],
])(
  'replay of %s says so',
  async (_what, file, message) => {
    const { code, stderr } = await runRetrap(['replay', file()], { deadlineMs: DEADLINE_MS })
    expect(stderr).toContain(message)
    expect(code).toBe(74)
  },
  DEADLINE_MS,
)
