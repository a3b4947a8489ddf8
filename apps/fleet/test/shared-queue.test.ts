import { type ChildProcess, spawn } from 'node:child_process'
import { once } from 'node:events'
import { existsSync, mkdtempSync, readdirSync, readFileSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { setTimeout } from 'node:timers/promises'
import { fileURLToPath } from 'node:url'
import { hasProgram } from '@retrap/tooling/skip'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { exploreCluster } from '../src/cluster/explore-cluster.ts'
import type { Job } from '../src/plan/job.ts'
import { checkedQueueUrl, embeddedQueue, type JobListener } from '../src/queue/queue.ts'
import { sharedQueue } from '../src/queue/shared-queue.ts'
import type { PlanRun } from '../src/run-plan.ts'
import { freePort, kill, startRedis } from './support/servers.ts'

const available = hasProgram('redis-server')
if (!available) console.warn('SKIPPED: queues that hosts share need redis-server')

const folder = mkdtempSync(join(tmpdir(), 'fleet-'))
const WORKER = fileURLToPath(new URL('support/worker-process.ts', import.meta.url))
const FAKE = [process.execPath, fileURLToPath(new URL('support/fake-retrap.mjs', import.meta.url))] as const
const children = new Set<ChildProcess>()
let port = 0
let redis: ChildProcess

function worker(name: string): ChildProcess {
  const child = spawn(process.execPath, [WORKER, `redis://127.0.0.1:${port}`, name, folder], { stdio: 'inherit' })
  children.add(child)
  child.once('close', () => children.delete(child))
  return child
}

beforeAll(async () => {
  if (!available) return
  port = await freePort()
  redis = (await startRedis(folder, port)).process
})

afterAll(async () => {
  await Promise.all([...children, ...(available ? [redis] : [])].map(kill))
  rmSync(folder, { recursive: true, force: true })
})

const job = (i: number, args: readonly string[], retries = 0): Job => ({
  ...{ id: `job-${i}`, name: `job ${i}`, system: 'run', folder, args, expect: ['yes'], timeoutSeconds: 60, retries },
})

function isThere(pid: number): boolean {
  try {
    return process.kill(pid, 0)
  } catch {
    return false
  }
}

/** Takes down what is told of jobs. */
function listening(): { told: string[]; started: string[]; troubles: string[]; listener: JobListener } {
  const told: string[] = []
  const started: string[] = []
  const troubles: string[] = []
  const listener: JobListener = {
    started: ({ id }) => started.push(id),
    ended: ({ id }, { attempt, outcome }) => told.push(`${id} ${attempt} ${outcome}`),
    trouble: (message) => troubles.push(message),
  }
  return { told, started, troubles, listener }
}

describe.skipIf(!available)('a queue on Redis', () => {
  test('counts each attempt once, though workers are killed and Redis is', { timeout: 120_000 }, async () => {
    const name = 'killed'
    const { told, listener } = listening()
    const jobs = Array.from({ length: 30 }, (_, i) =>
      job(i, i % 5 === 4 ? ['--print=no'] : ['--print=a|b|c|yes'], i % 5 === 4 ? 1 : 0),
    )
    const queue = sharedQueue({ url: `redis://127.0.0.1:${port}`, name })
    const all = queue.run(jobs, listener, new AbortController().signal)
    let left = false
    const done = all.then(() => (left = true))
    // Of two workers one is killed while it works, and a new one comes; in between, Redis begins anew from its file.
    let second = worker(name)
    worker(name)
    for (let i = 0; !left; i++) {
      await Promise.race([done, setTimeout(1500)])
      if (left || i > 2) continue
      await kill(i === 1 ? redis : second)
      if (i === 1) redis = (await startRedis(folder, port)).process
      else second = worker(name)
    }
    await all
    const expected = jobs.flatMap(({ id, retries }) =>
      retries === 1 ? [`${id} 1 ended`, `${id} 2 ended`] : [`${id} 1 passed`],
    )
    expect(told.toSorted()).toEqual(expected.toSorted())
  })

  test('explores each seed once, though a worker is killed, as one process does', { timeout: 60_000 }, async () => {
    const tableOf = async (queueOf: PlanRun['queueOf']): Promise<string> => {
      const printed: string[] = []
      const flags = { seed: 4, seeds: 3, branches: [1, 10], slice: 5, fromStart: true, timeout: 60 } as const
      const run = { retrap: FAKE, out: join(folder, 'out'), signal: new AbortController().signal, queueOf }
      const [progress, stdout] = [{ write: () => true }, { write: (text: string) => printed.push(text) }]
      expect(await exploreCluster('c.json', flags, { ...run, progress }, stdout)).toBe(false)
      return printed.join('').replaceAll(folder, '')
    }
    const one = await tableOf((make) => embeddedQueue(1, make))
    const bad = (seed: number, branch: number): string =>
      `branch ${branch}: bad\\x07 (faults: 1; /out/plans/seed-${seed}-branch-${branch}.json)`
    const rows = [`   4         7  ${bad(4, 4)}; ${bad(4, 8)}`, `   5        10  ${bad(5, 5)}; ${bad(5, 10)}`]
    expect(one).toBe(`seed  branches  result\n${rows.join('\n')}\n   6         6  ${bad(6, 6)}\n`)
    const [first] = [worker('seeds'), worker('seeds')]
    const all = tableOf(() => sharedQueue({ url: `redis://127.0.0.1:${port}`, name: 'seeds' }))
    await setTimeout(1000)
    await kill(first)
    expect(await all).toBe(one)
    const plan = readFileSync(join(folder, 'out/plans/seed-5-branch-10.json'), 'utf8')
    expect(JSON.parse(plan)).toMatchObject({ seed: 5 })
  })

  test(
    'gives the job of a worker that gets SIGTERM to another, and ends its machine',
    { timeout: 60_000 },
    async () => {
      const { told, started, listener } = listening()
      const first = join(folder, 'first')
      const queue = sharedQueue({ url: `redis://127.0.0.1:${port}`, name: 'given' })
      const all = queue.run([job(1, [`--first=${first}`, '--print=yes'])], listener, new AbortController().signal)
      const one = worker('given')
      while (!existsSync(first) || readFileSync(first, 'utf8') === '') await setTimeout(20)
      const machine = Number(readFileSync(first, 'utf8'))
      one.kill('SIGTERM')
      expect(await once(one, 'close')).toEqual([0, null])
      expect(() => process.kill(machine, 0)).toThrow('ESRCH')
      expect(told).toEqual([])
      const two = worker('given')
      await all
      expect(told).toEqual(['job-1 1 passed'])
      expect(started).toEqual(['job-1', 'job-1'])
      await kill(two)
    },
  )

  test('ends the machine of a worker that is killed', { timeout: 60_000 }, async () => {
    const first = join(folder, 'orphan')
    const ended = new AbortController()
    const queue = sharedQueue({ url: `redis://127.0.0.1:${port}`, name: 'orphan' })
    const all = queue.run([job(1, [`--first=${first}`, '--print=yes'])], listening().listener, ended.signal)
    const one = worker('orphan')
    while (!existsSync(first) || readFileSync(first, 'utf8') === '') await setTimeout(20)
    const machine = Number(readFileSync(first, 'utf8'))
    await kill(one)
    while (isThere(machine)) await setTimeout(20)
    ended.abort()
    await all
  })

  test('says that its server is away, and waits for it', { timeout: 60_000 }, async () => {
    const { troubles, listener } = listening()
    const ended = new AbortController()
    const queue = sharedQueue({ url: `redis://127.0.0.1:1`, name: 'away' })
    const all = queue.run([job(1, ['--print=yes'])], listener, ended.signal)
    while (troubles.length === 0) await setTimeout(20)
    expect(troubles[0]).toContain('ECONNREFUSED')
    ended.abort()
    await all
  })

  test('gives up a run that is ended: jobs that nobody has begun are gone', { timeout: 60_000 }, async () => {
    const ended = new AbortController()
    const queue = sharedQueue({ url: `redis://127.0.0.1:${port}`, name: 'ended' })
    const all = queue.run([job(1, ['--print=yes'])], listening().listener, ended.signal)
    await setTimeout(300)
    ended.abort()
    await all
    const before = readdirSync(folder).length
    const late = worker('ended')
    await setTimeout(1500)
    expect(readdirSync(folder).length).toBe(before)
    await kill(late)
  })
})

test('addresses off the loopback need TLS and a password, and no message shows one', () => {
  expect(checkedQueueUrl('redis://127.0.0.1:6379')).toBe('redis://127.0.0.1:6379')
  expect(checkedQueueUrl('redis://[::1]:6379/1')).toBe('redis://[::1]:6379/1')
  expect(checkedQueueUrl('rediss://:secret@queue.example:6380')).toBe('rediss://:secret@queue.example:6380')
  expect(checkedQueueUrl('postgres://127.0.0.1/db')).toBe('postgres://127.0.0.1/db')
  const remote = 'postgresql://me:secret@queue.example/db?sslmode=verify-full'
  expect(checkedQueueUrl(remote)).toBe(remote)
  for (const [text, message] of [
    ['redis://:secret@queue.example', /^--queue redis:\/\/queue\.example: use rediss/],
    ['postgres://me:secret@queue.example/db', /^--queue postgres:\/\/queue\.example: add \?sslmode=verify-full/],
    ['postgres://me@queue.example/db?sslmode=verify-full', /give a password/],
    ['rediss://queue.example', /give a password/],
    ['http://queue.example', /is on Redis/],
    ['queue', /give redis:/],
  ] as const)
    expect(() => checkedQueueUrl(text)).toThrow(message)
})
