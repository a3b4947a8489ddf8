import { describe, expect, test, vi } from 'vitest'
import type { Attempt, Job } from '../src/plan/job.ts'
import { Progress } from '../src/progress.ts'

const job = (name: string, retries = 0): Job => ({
  ...{ id: name, name, system: 'run', folder: '/', args: [], expect: [], timeoutSeconds: 1, retries },
})
const end = (of: Job, attempt: number, outcome: Attempt['outcome'], detail = ''): Attempt => ({
  ...{ job: of.id, attempt, outcome, detail, seconds: 1.25, exitCode: 0, tail: '' },
})

/** What a terminal of ECMA-48 shows after all that was written. */
function screenOf(written: readonly string[]): string[] {
  const lines: string[] = []
  for (const part of written.join('').split('\u001b[')) {
    const [, up, rest = part] = /^(?:(\d+)A|J)(.*)$/s.exec(part) ?? []
    if (up !== undefined) lines.splice(lines.length - Number(up))
    lines.push(...rest.split('\n').slice(0, -1))
  }
  return lines
}

describe('progress', () => {
  test('on a terminal is a table of the machines that run, below the ends of attempts', () => {
    vi.useFakeTimers()
    const written: string[] = []
    const stream = { isTTY: true, columns: 40, rows: 6, write: (text: string) => written.push(text) }
    const progress = new Progress(stream, 5)
    const jobs = ['one', 'two', 'three', 'four with a long name, which no row takes'].map((name) => job(name, 1))
    const [one, two] = jobs as [Job, Job]
    for (const each of jobs) {
      progress.started(each)
      vi.advanceTimersByTime(1000)
    }
    expect(screenOf(written)).toEqual(
      ['0 of 5 ended, 0 failed, 4 running; 00:04', '     00:04  one', '     00:03  two', '            and 2 more'].map(
        (line) => (line.length > 39 ? `${line.slice(0, 38)}…` : line),
      ),
    )
    progress.ended(one, end(one, 1, 'passed'))
    progress.ended(two, end(two, 1, 'ended', 'it said \u001b]0;x\u0007\u009b2J'))
    progress.ended(two, end(two, 2, 'timeout', 'late'))
    vi.advanceTimersByTime(500)
    expect(screenOf(written)).toEqual([
      'ok     one (1.3 s)',
      'again  two (1.3 s): it said \\x1b]0;x\\x07\\u009b2J',
      'FAILED two (1.3 s): late',
      '2 of 5 ended, 1 failed, 2 running; 00:…',
      '     00:02  three',
      '     00:01  four with a long name, whi…',
    ])
    progress.finish()
    expect(screenOf(written).at(-1)).toBe('5 jobs: 1 passed, 4 failed')
    vi.useRealTimers()
  })

  test('on a pipe has a line of counts each 30 s, and the same trouble once', () => {
    vi.useFakeTimers()
    const written: string[] = []
    const progress = new Progress({ write: (text: string) => written.push(text) }, 2)
    progress.trouble('connect ECONNREFUSED')
    progress.trouble('connect ECONNREFUSED')
    vi.advanceTimersByTime(30_000)
    const one = job('one')
    progress.started(one)
    progress.trouble('connect ECONNREFUSED')
    vi.advanceTimersByTime(30_000)
    progress.finish()
    vi.useRealTimers()
    expect(written.join('').split('\n')).toEqual([
      'the queue cannot be used, and is asked again: connect ECONNREFUSED',
      '0 of 2 ended, 0 failed, 0 running; 00:30',
      'the queue cannot be used, and is asked again: connect ECONNREFUSED',
      '0 of 2 ended, 0 failed, 1 running; 01:00',
      '2 jobs: 0 passed, 2 failed',
      '',
    ])
  })
})
