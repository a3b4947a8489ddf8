import { randomUUID } from 'node:crypto'
import { once } from 'node:events'
import { setTimeout } from 'node:timers/promises'
import { type Job as QueuedJob, type Queue, UnrecoverableError } from 'bullmq'
import { isPlainName } from '../plan/job-files.ts'
import { type Attempt, failedAttempt, type Job } from '../plan/job.ts'
import { SYSTEMS } from '../plan/plan-schema.ts'
import { openQueue, type QueueServer } from './queue-server.ts'
import type { JobListener, JobQueue, MakeAttempt } from './queue.ts'

/** The place of a queue that several hosts share. */
export interface SharedQueueOptions {
  /** Address of Redis or PostgreSQL, as for `checkedQueueUrl`. */
  readonly url: string
  /** Name of the queue; default `retrap-fleet`. */
  readonly name?: string
  /** Time without a sign of life after which a worker loses its job; default 30,000. */
  readonly lockMs?: number
}

/** The content of a queued job. Its attempts are the lines of its log: several workers that have the job at once can only append to it. */
interface Payload {
  readonly job: Job
}

const NAME = 'retrap-fleet'
const LOCK_MS = 30_000
/** Number of lost workers after which a job is abandoned: it may be the cause. */
const MOST_STALLS = 10
/**
 * Ends of jobs come as events, which a restart of Redis loses: jobs that have not ended are polled one by one. A pause between two
 * rounds is a multiple of the round's time within these limits, so that a plan of thousands does not keep its server busy.
 */
const ASK_MS = 2000
const LONGEST_ASK_MS = 30_000
const ASK_SHARE = 20
/** Time that an aborted run waits for its server. */
const STOP_MS = 2000
/** Pause before a request to an unreachable server is repeated. */
const AGAIN_MS = 500
/** Connections to a PostgreSQL beside the machines' own: for events, for waiting, and for commands. */
const RUN_CONNECTIONS = 6
/** Seconds after which uncollected results are dropped: a week. */
const KEPT_SECONDS = 7 * 24 * 3600

/**
 * A queue on Redis or PostgreSQL, whose jobs workers on any host make: see {@link serveQueue}. An attempt is in its job's log before the job moves
 * on, and the first one of its number counts: so it counts once, whichever worker, network or server fails.
 */
export const sharedQueue = ({ url, name = NAME }: SharedQueueOptions): JobQueue => ({
  async run(jobs, listener, signal) {
    const trouble = (error: Error): void => listener.trouble(troubleOf(error))
    const server = openQueue<Payload>(url, name, RUN_CONNECTIONS, trouble)
    const run = randomUUID()
    const open = new Map(jobs.map((job) => [`${run}_${job.id}`, job]))
    const collected = collectAll(server, open, listener, { signal, trouble })
    try {
      await Promise.race([collected, aborted(signal)])
      if (signal.aborted) await atMost(STOP_MS, withdraw(server, [...open.keys()]))
    } finally {
      await atMost(
        STOP_MS,
        collected.catch(() => undefined),
      )
      await atMost(STOP_MS, server.close())
    }
  },
})

/** Settings for waiting for an unreachable server. */
interface Waiting {
  readonly signal: AbortSignal
  readonly trouble: (error: Error) => void
}

/** Repeats an action on the queue's server while the server is away, until `signal`. */
async function again<T>(what: () => Promise<T>, { signal, trouble }: Waiting): Promise<T> {
  for (;;) {
    try {
      return await what()
    } catch (error) {
      // BullMQ's own refusals have numbers: an unknown job, or another worker's job.
      const isRefusal = error instanceof Error && typeof (error as { code?: unknown }).code === 'number'
      if (isRefusal || signal.aborted || !(error instanceof Error)) throw error
      trouble(error)
      await setTimeout(AGAIN_MS)
    }
  }
}

/**
 * Makes a client that can be used. A client of BullMQ that has met a server which was away at first does not recover: another one
 * is made then.
 */
async function client<C extends { waitUntilReady(): Promise<unknown>; close(): Promise<void> }>(
  make: () => C,
  waiting: Waiting,
): Promise<C> {
  return again(async () => {
    const made = make()
    const end = (): void => void made.close().catch(() => undefined)
    waiting.signal.addEventListener('abort', end)
    try {
      await made.waitUntilReady()
      return made
    } catch (error) {
      end()
      throw error
    } finally {
      waiting.signal.removeEventListener('abort', end)
    }
  }, waiting)
}

/** Adds jobs, and collects their attempts. @returns a promise that settles when all jobs have ended */
async function collectAll(
  server: QueueServer<Payload>,
  open: Map<string, Job>,
  listener: JobListener,
  waiting: Waiting,
): Promise<void> {
  const { signal } = waiting
  await again(() => server.prepare(), waiting)
  const queue = await client(() => server.queue(), waiting)
  const events = await client(() => server.events(), waiting)
  events.on('active', ({ jobId }) => {
    const job = open.get(jobId)
    if (job !== undefined) listener.started(job)
  })
  const keep = { age: KEPT_SECONDS }
  const added = [...open].map(([jobId, job]) => ({
    name: job.name,
    data: { job },
    opts: { jobId, attempts: 1 + job.retries, removeOnComplete: keep, removeOnFail: keep },
  }))
  // A job with an existing name is not added again.
  await again(() => queue.addBulk(added), waiting)
  await new Promise<void>((resolve) => {
    const collect = async (id: string): Promise<void> => {
      const state = await queue.getJobState(id)
      if (state !== 'completed' && state !== 'failed') return
      const queued = await queue.getJob(id)
      const job = open.get(id)
      if (queued === undefined || job === undefined) return
      const attempts = withEnd(queued, await attemptsOf(queue, id))
      if (signal.aborted || !open.delete(id)) return
      for (const attempt of attempts) listener.ended(job, attempt)
      await queued.remove().catch(() => undefined)
      if (open.size === 0) finish()
    }
    const hear = ({ jobId }: { readonly jobId: string }): void => {
      if (open.has(jobId)) collect(jobId).catch(() => undefined)
    }
    const asked = new AbortController()
    const ask = async (): Promise<void> => {
      for (let pause = ASK_MS; ;) {
        await setTimeout(pause, undefined, { signal: asked.signal })
        const began = performance.now()
        for (const id of open.keys()) {
          await collect(id).catch(() => undefined)
          if (asked.signal.aborted) return
        }
        pause = Math.min(LONGEST_ASK_MS, Math.max(ASK_MS, ASK_SHARE * (performance.now() - began)))
      }
    }
    const finish = (): void => {
      asked.abort()
      resolve()
    }
    // The pause between two rounds rejects when all jobs have ended.
    ask().catch(() => undefined)
    events.on('completed', hear)
    events.on('failed', hear)
    if (open.size === 0) finish()
    if (signal.aborted) finish()
    else signal.addEventListener('abort', finish, { once: true })
  })
  await Promise.all([atMost(STOP_MS, events.close()), atMost(STOP_MS, queue.close())])
}

/** Takes back jobs that no worker has begun. */
async function withdraw(server: QueueServer<Payload>, ids: readonly string[]): Promise<void> {
  const queue = server.queue()
  for (const id of ids) await queue.remove(id).catch(() => undefined)
  await queue.close()
}

const aborted = async (signal: AbortSignal): Promise<unknown> => signal.aborted || once(signal, 'abort')

/** Waits a limited time for a response that may never come. */
async function atMost(milliseconds: number, what: Promise<unknown>): Promise<void> {
  const waiting = new AbortController()
  await Promise.race([what, setTimeout(milliseconds, undefined, { signal: waiting.signal }).catch(() => undefined)])
  waiting.abort()
}

/** The attempts of a job so far, by number. */
async function attemptsOf(queue: Queue<Payload>, id: string): Promise<readonly Attempt[]> {
  const { logs } = await queue.getJobLogs(id)
  const byNumber = new Map<number, Attempt>()
  for (const line of logs) {
    const attempt = JSON.parse(line) as Attempt
    if (!byNumber.has(attempt.attempt)) byNumber.set(attempt.attempt, attempt)
  }
  return [...byNumber.values()].sort((a, b) => a.attempt - b.attempt)
}

/** Adds the end of a job whose workers have disappeared repeatedly, which has no attempt of its own. */
function withEnd(
  { data: { job }, failedReason }: QueuedJob<Payload>,
  attempts: readonly Attempt[],
): readonly Attempt[] {
  if (attempts.at(-1)?.outcome === 'passed' || attempts.length === 1 + job.retries) return attempts
  const detail = failedReason || 'no worker has brought it to its end'
  return [...attempts, failedAttempt(job, attempts.length + 1, detail)]
}

/** Options for serving a queue. */
export interface ServeOptions extends SharedQueueOptions {
  /** Number of machines at the same time. */
  readonly concurrency: number
  /** Called for the attempts of this worker. */
  readonly listener: JobListener
}

/**
 * Runs jobs of a queue until `signal`: then running machines are ended, and other workers get their jobs after `lockMs`.
 *
 * @returns a promise that settles when no job is under way any more
 */
export async function serveQueue(options: ServeOptions, make: MakeAttempt, signal: AbortSignal): Promise<void> {
  const { url, name = NAME, lockMs = LOCK_MS, concurrency, listener } = options
  const trouble = (error: Error): void => listener.trouble(troubleOf(error))
  const waiting = { signal, trouble }
  const server = openQueue<Payload>(url, name, RUN_CONNECTIONS + concurrency, trouble)
  const under = new Set<Promise<unknown>>()
  const makeHere = async (job: Job, number: number): Promise<Attempt> => {
    listener.started(job)
    const made = make(job, number, signal)
    under.add(made)
    try {
      return await made
    } finally {
      under.delete(made)
    }
  }
  const serve = async (used: Queue<Payload>, queued: QueuedJob<Payload>): Promise<string> => {
    const { job } = checkedPayload(queued.data)
    const number = queued.attemptsMade + 1
    const made = await again(() => attemptsOf(used, queued.id ?? ''), waiting)
    let attempt = made.find((one) => one.attempt === number)
    if (attempt === undefined) {
      attempt = await makeHere(job, number)
      // Another worker now has the job and this attempt: the end here is never reported.
      if (signal.aborted) return new Promise(() => {})
      const line = JSON.stringify(attempt)
      await again(() => queued.log(line), waiting)
      listener.ended(job, attempt)
    }
    if (attempt.outcome === 'passed') return attempt.outcome
    throw new Error(attempt.detail)
  }
  const work = async (): Promise<void> => {
    await again(() => server.prepare(), waiting)
    const used = await client(() => server.queue(), waiting)
    const options = { concurrency, lockDuration: lockMs, stalledInterval: lockMs, maxStalledCount: MOST_STALLS }
    const worker = await client(() => server.worker((queued) => serve(used, queued), options), waiting)
    await stopped
    // Without waiting: a job that is ended now is not to be counted.
    await atMost(STOP_MS, worker.close(true))
    await atMost(STOP_MS, used.close())
  }
  const stopped = aborted(signal)
  const worked = work().catch((error: unknown) => {
    if (!signal.aborted) throw error
  })
  await Promise.race([worked, stopped])
  await atMost(3 * STOP_MS, worked)
  await Promise.allSettled(under)
  await atMost(STOP_MS, server.close())
}

/** Returns the message of an error of the queue's server; errors of several addresses together have an empty message. */
function troubleOf(error: Error): string {
  const [first] = error instanceof AggregateError ? (error.errors as Error[]) : []
  return error.message || first?.message || error.name
}

/** A writer of the queue may write anything. */
function checkedPayload({ job }: Payload): Payload {
  const areTexts = (value: unknown): boolean => Array.isArray(value) && value.every((one) => typeof one === 'string')
  const isJob =
    ['id', 'name', 'folder'].every((key) => typeof job[key as 'id'] === 'string') &&
    isPlainName(job.id) &&
    SYSTEMS.includes(job.system) &&
    (job.inputs === undefined || Array.isArray(job.inputs)) &&
    areTexts(job.args) &&
    areTexts(job.expect) &&
    job.timeoutSeconds > 0
  if (!isJob) throw new UnrecoverableError('it is no job of this version of retrap-fleet')
  return { job }
}
