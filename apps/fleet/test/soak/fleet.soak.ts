// Machines over three workers, of which one is killed again and again, as is the queue's server: no attempt is lost, none
// counts twice. Each step is a plan of 25 boots, three of them of Debian's kernel, whose files come from a store; even steps
// are on Redis, odd ones on PostgreSQL. FLEET_SOAK_BOOTS=1000 makes a step one plan of so many boots, and --count 2 is one on
// each then.
// @programs: redis-server initdb postgres
import { type ChildProcess, spawn } from 'node:child_process'
import { chmodSync, existsSync, mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { setTimeout } from 'node:timers/promises'
import { fileURLToPath } from 'node:url'
import { buildGuestImage } from '@retrap/embedded-guest'
import { hasProgram } from '@retrap/tooling/skip'
import type { Rng, Soak } from '@retrap/tooling/soak'
import type { Job } from '../../src/plan/job.ts'
import { sharedQueue } from '../../src/queue/shared-queue.ts'
import { FolderStore } from '../../src/store/store.ts'
import { freePort, kill, type QueueServerProcess, restarted, startPostgres, startRedis } from '../support/servers.ts'

const BOOTS = Number(process.env['FLEET_SOAK_BOOTS'] ?? 25)
const DEBIAN = Math.ceil(BOOTS * 0.1)
/** Of the boots: the guest never prints the text that is expected of it, in two attempts. */
const FAILING = Math.ceil(BOOTS * 0.04)
const WORKERS = 3
/** A job whose workers vanish ten times is given up, so there are fewer for the jobs that run at once. */
const MOST_KILLS = 8 * Math.ceil(BOOTS / 200)
const LONGEST_PAUSE_MS = BOOTS > 200 ? 120_000 : 12_000

const WORKER = fileURLToPath(new URL('../support/worker-process.ts', import.meta.url))
const RETRAP = fileURLToPath(new URL('../../../retrap/', import.meta.url))
const built = join(RETRAP, 'dist/main.js')
const program = existsSync(built) ? built : join(RETRAP, 'src/main.ts')

const servers = [
  { name: 'Redis', start: startRedis, programs: ['redis-server'] },
  { name: 'PostgreSQL', start: startPostgres, programs: ['initdb', 'postgres'] },
] as const
let folder = ''
const boots = new Map<string, { jobs: number; attempts: number; seconds: number }>()
/** Processes of the step that runs; a soak that is stopped does not come to a step's end. */
const running = new Set<ChildProcess>()
const kills = { workers: 0, servers: 0 }

function kept(child: ChildProcess): ChildProcess {
  running.add(child)
  child.once('exit', () => running.delete(child))
  return child
}

async function plan(store: FolderStore): Promise<Job[]> {
  const guest = await store.put(join(folder, 'guest.bin'))
  const jobs = Array.from({ length: BOOTS }, (_, i): Job => {
    const common = { id: `job-${i}`, name: `job ${i}`, folder: '/', timeoutSeconds: 1200, retries: 0 }
    if (i < DEBIAN)
      return { ...common, system: 'linux', args: ['--command=uname -a'], inputs: [], expect: ['Linux retrap'] }
    const inputs = [{ arg: 0, at: 11, name: 'guest.bin', use: 'read', ...guest }] as const
    const boot = { ...common, system: 'run', args: ['--firmware=guest.bin'], inputs } as const
    if (i < DEBIAN + FAILING) return { ...boot, expect: ['never printed'], timeoutSeconds: 5, retries: 1 }
    return { ...boot, expect: ['retrap> '] }
  })
  // Of all kinds at any time.
  const place = ({ id }: Job): number => (Number(id.slice('job-'.length)) * 7919) % 10_007
  return jobs.toSorted((a, b) => place(a) - place(b))
}

const expected = ({ id, retries }: Job): string[] =>
  retries === 1 ? [`${id} 1 timeout`, `${id} 2 timeout`] : [`${id} 1 passed`]

async function run(rng: Rng, index: number): Promise<string | void> {
  const { name, start, programs } = servers[index % servers.length]!
  rng.note('server', name)
  if (!programs.every(hasProgram)) {
    console.error(`SKIPPED: a step on ${name}, as there is no ${programs.join(', ')}`)
    return
  }
  const scratch = mkdtempSync(join(folder, 'step-'))
  // PostgreSQL's user is another one.
  chmodSync(scratch, 0o755)
  const port = await freePort()
  let server: QueueServerProcess = await start(scratch, port)
  kept(server.process)
  const { url } = server
  const spawnWorker = (i: number): ChildProcess => {
    const host = join(scratch, `host-${i}`)
    mkdirSync(join(host, 'logs'), { recursive: true })
    const args = [WORKER, url, 'soak', join(host, 'logs'), program, join(scratch, 'store'), host]
    return kept(
      spawn(process.execPath, ['--conditions=retrap-source', ...args], { stdio: ['ignore', 'ignore', 'inherit'] }),
    )
  }
  const workers = Array.from({ length: WORKERS }, (_, i) => spawnWorker(i))
  const ended = new AbortController()
  const told: string[] = []
  /** The same with what people need to find the reason. */
  const ends = new Map<string, string>()
  const jobs = await plan(new FolderStore(join(scratch, 'store')))
  const started = performance.now()
  try {
    const queue = sharedQueue({ url, name: 'soak' })
    let left = false
    const done = queue
      .run(
        jobs,
        {
          started: () => {},
          ended({ id }, { attempt, outcome, detail, tail }) {
            const line = `${id} ${attempt} ${outcome}`
            told.push(line)
            ends.set(line, `${line} (${detail}; ${JSON.stringify(tail.slice(-300))})`)
          },
          trouble: () => {},
        },
        ended.signal,
      )
      .then(() => (left = true))
    for (let killed = 0; killed < MOST_KILLS; killed++) {
      const pause = rng.between(500, LONGEST_PAUSE_MS)
      const victim = rng.below(WORKERS + 1)
      await Promise.race([done, setTimeout(pause)])
      if (left) break
      if (victim === WORKERS) {
        kills.servers++
        await kill(server.process)
        server = await restarted(() => start(scratch, port))
        kept(server.process)
      } else {
        kills.workers++
        const worker = workers[victim]!
        if (rng.chance()) worker.kill('SIGTERM')
        else await kill(worker)
        workers[victim] = spawnWorker(victim)
      }
    }
    await done
    const before = boots.get(name) ?? { jobs: 0, attempts: 0, seconds: 0 }
    boots.set(name, {
      jobs: before.jobs + jobs.length,
      attempts: before.attempts + told.length,
      seconds: before.seconds + (performance.now() - started) / 1000,
    })
    const wanted = jobs.flatMap(expected).toSorted()
    const lost = wanted.filter((one) => !told.includes(one))
    const other = told.filter((one, i) => !wanted.includes(one) || told.indexOf(one) !== i)
    if (lost.length > 0 || other.length > 0)
      return `lost: ${lost.join(', ') || 'none'}; doubled or wrong: ${other.map((one) => ends.get(one)).join(', ') || 'none'}`
  } finally {
    ended.abort()
    await Promise.all([...running].map(kill))
    await setTimeout(500)
    rmSync(scratch, { recursive: true, force: true, maxRetries: 5 })
  }
}

export const soak: Soak = {
  name: 'fleet',
  count: 80,
  setup() {
    folder = mkdtempSync(join(tmpdir(), 'fleet-soak-'))
    chmodSync(folder, 0o755)
    writeFileSync(join(folder, 'guest.bin'), buildGuestImage())
  },
  step: run,
  async teardown() {
    await Promise.all([...running].map(kill))
    rmSync(folder, { recursive: true, force: true, maxRetries: 5 })
  },
  summary() {
    const counts = [...boots].map(
      ([name, { jobs, attempts, seconds }]) =>
        `${jobs} boots on ${name} in ${attempts} attempts and ${Math.round(seconds)} s`,
    )
    return `${counts.join(', ')}; ${kills.workers} workers and ${kills.servers} servers were killed`
  },
}
