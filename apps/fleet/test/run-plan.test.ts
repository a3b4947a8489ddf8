import { readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { buildGuestImage } from '@retrap/embedded-guest'
import { temporaryFolder } from '@retrap/tooling/temporary-folder'
import { describe, expect, test } from 'vitest'
import type { Attempt, Job } from '../src/plan/job.ts'
import { embeddedQueue } from '../src/queue/queue.ts'
import { junitOf, pageOf, Results } from '../src/results/results.ts'
import { runPlan } from '../src/run-plan.ts'

const folder = temporaryFolder('fleet')

const job = (id: string, retries = 0): Job => ({
  ...{ id, name: id, system: 'run', folder, args: [], expect: [], timeoutSeconds: 1, retries },
})
const attempt = (of: Job, number: number, outcome: Attempt['outcome']): Attempt => ({
  ...{ job: of.id, attempt: number, outcome, detail: 'why', seconds: 1, exitCode: 0, tail: '' },
})
const silent = { started: () => {}, ended: () => {}, trouble: () => {} }
const going = new AbortController().signal

describe('the queue within a process', () => {
  test('makes each job once, so many at a time, and failed ones again', async () => {
    const jobs = [job('a'), job('b', 2), job('c', 1), job('d')]
    let running = 0
    let most = 0
    const told: string[] = []
    const queue = embeddedQueue(2, async (one, number) => {
      most = Math.max(most, ++running)
      await new Promise((resolve) => setImmediate(resolve))
      running--
      return attempt(one, number, one.id === 'b' && number < 3 ? 'ended' : one.id === 'c' ? 'timeout' : 'passed')
    })
    const listener = {
      started: ({ id }: Job) => told.push(`${id} started`),
      ended: ({ id }: Job, { attempt: number, outcome }: Attempt) => told.push(`${id}${number} ${outcome}`),
      trouble: () => {},
    }
    await queue.run(jobs, listener, going)
    expect(most).toBe(2)
    expect(told.filter((line) => line.endsWith('started')).length).toBe(7)
    expect(told.filter((line) => !line.endsWith('started')).sort()).toEqual([
      'a1 passed',
      'b1 ended',
      'b2 ended',
      'b3 passed',
      'c1 timeout',
      'c2 timeout',
      'd1 passed',
    ])
  })

  test('begins nothing after its end', async () => {
    const ended = new AbortController()
    const made: string[] = []
    const queue = embeddedQueue(1, async (one, number) => {
      made.push(one.id)
      ended.abort()
      return attempt(one, number, 'error')
    })
    await queue.run([job('a', 3), job('b')], silent, ended.signal)
    expect(made).toEqual(['a'])
  })
})

describe('results', () => {
  test('count an attempt once, and the last one decides', () => {
    const [a, b, c] = [job('a', 1), job('b', 1), job('c')]
    const results = new Results([a, b, c])
    results.add(attempt(a, 2, 'passed'))
    results.add(attempt(a, 1, 'ended'))
    results.add(attempt(a, 2, 'timeout'))
    results.add(attempt(b, 1, 'passed'))
    expect(results.all.map(({ passed, attempts }) => [passed, attempts.length])).toEqual([
      [true, 2],
      [true, 1],
      [false, 0],
    ])
    expect(results.passed).toBe(false)
    results.add(attempt(c, 1, 'passed'))
    expect(results.passed).toBe(true)
  })

  test('are JUnit, whatever guests have printed', () => {
    const [a, b, c] = [job('a'), job('<b> & "c"'), job('c')]
    const failed = { ...attempt(b, 1, 'ended'), detail: 'it\nended', tail: '\u0000]]> \ud800 <x> 😀' }
    const xml = junitOf(
      [
        { job: a, attempts: [attempt(a, 1, 'passed')], passed: true },
        { job: b, attempts: [failed], passed: false },
        { job: c, attempts: [], passed: false },
      ],
      2,
    )
    expect(xml).toContain('<testsuites tests="3" failures="1" errors="1" time="2.000">')
    expect(xml).toContain('name="&lt;b&gt; &amp; &quot;c&quot;"')
    expect(xml).toContain('<failure type="ended" message="it&#10;ended"/>')
    expect(xml).toContain('<system-out>\ufffd]]&gt; \ufffd &lt;x&gt; 😀</system-out>')
    expect(xml).toContain('<error type="not-run" message="it was not run"/>')
  })

  test('are a page without scripts, the failed jobs first, whatever guests have printed', () => {
    const [a, b] = [job('a'), job('<b> & "c"')]
    const failed = { ...attempt(b, 1, 'ended'), detail: '<img src=x>', tail: '</pre><script>alert(1)</script>' }
    const file = { name: 'x"><script>', sha256: '"><script>', bytes: 1 }
    const html = pageOf(
      [
        { job: a, attempts: [{ ...attempt(a, 1, 'passed'), artefacts: [file] }], passed: true },
        { job: b, attempts: [failed], passed: false },
      ],
      2,
      (log) => log.startsWith('<b>'),
    )
    expect(html).not.toMatch(/<script|<img/)
    expect(html).toContain("content=\"default-src 'none'; style-src 'unsafe-inline'\"")
    expect(html.indexOf('&lt;b&gt;')).toBeLessThan(html.indexOf('<td>a</td>'))
    expect(html).toContain('<h1>2 jobs: 1 passed, 1 failed</h1>')
    // A log that a worker of another host has kept has no link here.
    expect(html.match(/href="logs\/[^"]*"/g)).toEqual(['href="logs/%3Cb%3E%20%26%20%22c%22.1.log"'])
    expect(html).toContain('log 1 is on its worker’s host')
  })
})

test('a plan of real machines', { timeout: 120_000 }, async () => {
  writeFileSync(join(folder, 'guest.bin'), buildGuestImage())
  writeFileSync(
    join(folder, 'plan.yaml'),
    'machines: [{ name: boots, firmware: guest.bin, expect: "retrap> ", timeout: 100 }, { name: absent, firmware: none.bin }]',
  )
  const printed: string[] = []
  const retrap = fileURLToPath(new URL('../../retrap/src/main.ts', import.meta.url))
  const passed = await runPlan(join(folder, 'plan.yaml'), {
    retrap: [process.execPath, '--conditions=retrap-source', retrap],
    queueOf: (make) => embeddedQueue(2, make),
    ...{ out: join(folder, 'out'), signal: going },
    progress: { write: (text) => printed.push(text) },
  })
  expect(passed).toBe(false)
  const { results, ...counts } = JSON.parse(readFileSync(join(folder, 'out/results.json'), 'utf8')) as {
    results: { job: Job; attempts: Attempt[]; passed: boolean }[]
  }
  expect(counts).toMatchObject({ jobs: 2, passed: 1, failed: 1 })
  expect(results.map(({ job: { name }, passed: good, attempts }) => [name, good, attempts.at(-1)?.outcome])).toEqual([
    ['boots', true, 'passed'],
    ['absent', false, 'error'],
  ])
  expect(readFileSync(join(folder, 'out/results.xml'), 'utf8')).toContain('name="boots"')
  expect(printed.at(-1)).toBe('2 jobs: 1 passed, 1 failed\n')
})
