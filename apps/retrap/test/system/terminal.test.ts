import { execFileSync } from 'node:child_process'
import { expect, test } from 'vitest'
import { retrapCommand, runProgram } from '../support/processes.ts'

function has(program: string): boolean {
  try {
    execFileSync(program, ['--version'], { stdio: 'ignore' })
    return true
  } catch {
    return false
  }
}

const hasScript = has('script')
if (!hasScript) console.warn('SKIPPED: a terminal needs script(1) of util-linux, which is not on this machine')

test.skipIf(!hasScript)(
  'on a terminal every key goes to the guest, Ctrl-C too, and the terminal is as before at the end',
  async () => {
    // script(1) gives the program a terminal; stty shows what became of it.
    const start = [process.execPath, ...retrapCommand([])].map((word) => `"${word}"`).join(' ')
    const command = `${start}; echo "ended with $?"; stty -a`
    const answers = [
      { to: 'retrap> ', type: 'garbage\u0003' },
      { to: 'retrap> ', type: 'echo still here\r' },
      { to: '\nstill here', type: 'off\r' },
    ]
    const { stdout } = await runProgram('script', ['-qec', command, '/dev/null'], { answers, deadlineMs: 100_000 })
    expect(stdout).toContain('^C')
    expect(stdout).toContain('ended with 0')
    expect(stdout).toMatch(/[^-]icanon\b/)
    expect(stdout).toMatch(/[^-]isig\b/)
  },
  35_000,
)
