import { describe, expect, test } from 'vitest'
import { runHere } from '../support/in-process.ts'
import { runRetrap } from '../support/processes.ts'

const DEADLINE_MS = 60_000

describe('the embedded guest', () => {
  test('says what it found, answers commands, and powers off', { timeout: DEADLINE_MS }, async () => {
    const input = 'help\ncpuid\nmemory\ndevices\ntimer\necho hello  world\nbogus\noff\n'
    const { code, stdout, stderr } = await runHere(['--memory', '256M', '--cpus', '2'], {
      input,
      deadlineMs: DEADLINE_MS,
    })
    expect(stderr).toBe('')
    expect(stdout).toContain('retrap> ')
    expect(stdout).toMatch(/^ +off +powers the machine off/m)
    expect(stdout).toMatch(/^hello {2}world\r?$/m)
    expect(stdout).toContain('There is no command bogus')
    expect(stdout).toMatch(/256 MiB/)
    expect(code).toBe(0)
  })

  test('powers off when its input ends', { timeout: DEADLINE_MS }, async () => {
    const { code, stdout } = await runRetrap([], { input: '', deadlineMs: DEADLINE_MS })
    expect(stdout).toContain('retrap> ')
    expect(code).toBe(0)
  })

  test('is left with Ctrl-A x', { timeout: DEADLINE_MS }, async () => {
    const answers = [{ to: 'retrap> ', type: 'echo before\u0001xecho after\n' }]
    const { code, stdout } = await runRetrap([], { answers, deadlineMs: DEADLINE_MS })
    expect(stdout).not.toContain('after')
    expect(code).toBe(0)
  })

  test('does the same twice where time follows its instructions', { timeout: 2 * DEADLINE_MS }, async () => {
    const once = (): Promise<{ stdout: string; stderr: string }> =>
      runRetrap(['--deterministic', '--stats', 'json'], { input: '', deadlineMs: DEADLINE_MS })
    const [first, second] = [await once(), await once()]
    expect(second.stdout).toBe(first.stdout)
    // What it has measured is what the machine has.
    for (const rate of ['TSC 1000.0', 'local APIC timer 1000.0', 'HPET 100.00', 'ACPI PM timer 3.580'])
      expect(first.stdout.replaceAll(/ +/g, ' ')).toContain(rate)
    const instructions = (stderr: string): number => (JSON.parse(stderr) as { instructions: number }).instructions
    expect(instructions(second.stderr)).toBe(instructions(first.stderr))
    expect(instructions(first.stderr)).toBeGreaterThan(1000)
  })
})

test.each(['2M', '3584M'])(
  'the embedded guest runs in the least and the most memory: %s',
  async (memory) => {
    const { code, stdout, stderr } = await runHere(['--memory', memory], { input: '', deadlineMs: DEADLINE_MS })
    expect(stderr).toBe('')
    expect(stdout).toContain(`${memory.slice(0, -1)} MiB of RAM`)
    expect(code).toBe(0)
  },
  DEADLINE_MS,
)
