import { randomUUID } from 'node:crypto'
import { setTimeout } from 'node:timers/promises'
import { type Job as QueuedJob, Queue, QueueEvents, UnrecoverableError, Worker } from 'bullmq'
import type { Attempt, Job } from '../plan/job.ts'
import { connectionOf } from './queue-server.ts'
import type { JobListener, JobQueue, MakeAttempt } from './queue.ts'

/** The place of a queue that several hosts share. */
export interface SharedQueueOptions {
  /** On Redis, as `checkedQueueUrl` takes it. */
  readonly url: string
  /** Name of the queue; default `retrap-fleet`. */
  readonly name?: string
  /** A worker that does not show itself for this long has lost its job; default 30,000. */
  readonly lockMs?: number
}

/** The content of a queued job. Its attempts are the lines of its log: several workers that have the job at once can only append to it. */
interface Payload {
  readonly job: Job
}

const NAME = 'retrap-fleet'
const LOCK_MS = 30_000
/** A job whose workers vanish this often is given up: it may be what ends them. */
const MOST_STALLS = 10
/** Ends of jobs come as events, which a restart of Redis loses: so often each job that has not ended is asked for. */
const ASK_MS = 2000
/** A run that is ended waits so long for its server. */
const STOP_MS = 2000
/** Results that nobody has collected are dropped after a week. */
const KEPT_SECONDS = 7 * 24 * 3600

/**
 * A queue on Redis, whose jobs workers on any host make: see {@link serveQueue}. An attempt is in its job's log before the job moves
 * on, and the first one of its number counts: so it counts once, whichever worker, network or server fails.
 */
export class SharedQueue implements JobQueue {
  readonly #options: SharedQueueOptions

  constructor(options: SharedQueueOptions) {
    this.#options = options
  }

  async run(jobs: readonly Job[], listener: JobListener, signal: AbortSignal): Promise<void> {
    const { url, name = NAME } = this.#options
    const connection = connectionOf(url)
    const queue = new Queue<Payload>(name, { connection })
    const events = new QueueEvents(name, { connection })
    // A server that is away comes back; each command waits for it.
    const trouble = (error: Error): void => listener.trouble(troubleOf(error))
    queue.on('error', trouble)
    events.on('error', trouble)
    const run = randomUUID()
    const open = new Map(jobs.map((job) => [`${run}_${job.id}`, job]))
    const stopped = new Promise<void>((resolve) => {
      if (signal.aborted) resolve()
      else signal.addEventListener('abort', () => resolve(), { once: true })
    })
    const collected = collectAll({ queue, events }, open, listener, signal)
    try {
      await Promise.race([collected, stopped])
      if (signal.aborted) await atMost(STOP_MS, withdraw(queue, [...open.keys()]))
    } finally {
      collected.catch(() => undefined)
      await atMost(STOP_MS, Promise.allSettled([events.close(), queue.close()]))
    }
  }
}

interface Client {
  readonly queue: Queue<Payload>
  readonly events: QueueEvents
}

/** Adds jobs, and collects their attempts. @returns when all have ended */
async function collectAll(
  { queue, events }: Client,
  open: Map<string, Job>,
  listener: JobListener,
  signal: AbortSignal,
): Promise<void> {
  events.on('active', ({ jobId }) => {
    const job = open.get(jobId)
    if (job !== undefined) listener.started(job)
  })
  await events.waitUntilReady()
  const keep = { age: KEPT_SECONDS }
  await queue.addBulk(
    [...open].map(([jobId, job]) => ({
      name: job.name,
      data: { job },
      opts: { jobId, attempts: 1 + job.retries, removeOnComplete: keep, removeOnFail: keep },
    })),
  )
  await new Promise<void>((resolve) => {
    const collect = async (id: string): Promise<void> => {
      const queued = await queue.getJob(id)
      const job = open.get(id)
      if (queued === undefined || job === undefined) return
      const state = await queued.getState()
      if (state !== 'completed' && state !== 'failed') return
      const attempts = withEnd(queued, await attemptsOf(queue, id))
      if (signal.aborted || !open.delete(id)) return
      for (const attempt of attempts) listener.ended(job, attempt)
      await queued.remove().catch(() => undefined)
      if (open.size === 0) finish()
    }
    const hear = ({ jobId }: { readonly jobId: string }): void => {
      if (open.has(jobId)) collect(jobId).catch(() => undefined)
    }
    const ask = setInterval(() => {
      for (const id of open.keys()) collect(id).catch(() => undefined)
    }, ASK_MS)
    const finish = (): void => {
      clearInterval(ask)
      resolve()
    }
    events.on('completed', hear)
    events.on('failed', hear)
    if (open.size === 0) finish()
    if (signal.aborted) clearInterval(ask)
    else signal.addEventListener('abort', () => clearInterval(ask), { once: true })
  })
}

/** Takes back jobs that no worker has begun. */
async function withdraw(queue: Queue, ids: readonly string[]): Promise<void> {
  // oxlint-disable-next-line no-await-in-loop -- one connection
  for (const id of ids) await queue.remove(id).catch(() => undefined)
}

/** Waits for what may never come: an answer of a server that is away. */
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

/** Adds the end of a job whose workers have vanished again and again: there is no attempt of its own for that. */
function withEnd(
  { data: { job }, failedReason }: QueuedJob<Payload>,
  attempts: readonly Attempt[],
): readonly Attempt[] {
  if (attempts.at(-1)?.outcome === 'passed' || attempts.length === 1 + job.retries) return attempts
  return [
    ...attempts,
    {
      ...{ job: job.id, attempt: attempts.length + 1, outcome: 'error', seconds: 0, exitCode: null, tail: '' },
      detail: failedReason || 'no worker has brought it to its end',
    },
  ]
}

/** How a worker serves a queue. */
export interface ServeOptions extends SharedQueueOptions {
  /** Machines at the same time. */
  readonly concurrency: number
  /** Is notified of the attempts that are made here. */
  readonly listener: JobListener
}

/**
 * Makes jobs of a queue until `signal`: then machines under way are ended, and other workers have their jobs after `lockMs`.
 *
 * @returns when nothing is under way any more
 */
export async function serveQueue(options: ServeOptions, make: MakeAttempt, signal: AbortSignal): Promise<void> {
  const { url, name = NAME, lockMs = LOCK_MS, concurrency, listener } = options
  const connection = connectionOf(url)
  const queue = new Queue<Payload>(name, { connection })
  const trouble = (error: Error): void => listener.trouble(troubleOf(error))
  queue.on('error', trouble)
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
  const serve = async (queued: QueuedJob<Payload>): Promise<string> => {
    const { job } = checkedPayload(queued.data)
    const number = queued.attemptsMade + 1
    let attempt = (await attemptsOf(queue, queued.id ?? '')).find((one) => one.attempt === number)
    if (attempt === undefined) {
      attempt = await makeHere(job, number)
      // The job is another worker's from now on, and so is this attempt: its end here is never told.
      if (signal.aborted) return new Promise(() => {})
      await queued.log(JSON.stringify(attempt))
      listener.ended(job, attempt)
    }
    if (attempt.outcome === 'passed') return attempt.outcome
    throw new Error(attempt.detail)
  }
  const worker = new Worker<Payload>(name, serve, {
    ...{ connection, concurrency, lockDuration: lockMs, stalledInterval: lockMs },
    maxStalledCount: MOST_STALLS,
  })
  worker.on('error', trouble)
  await new Promise<void>((resolve) => {
    if (signal.aborted) resolve()
    else signal.addEventListener('abort', () => resolve(), { once: true })
  })
  // Without waiting: a job that is ended now is not to be counted.
  await atMost(STOP_MS, Promise.allSettled([worker.close(true), queue.close()]))
  await Promise.allSettled(under)
}

/** The message of an error of the queue's server; those of several addresses together have an empty one. */
function troubleOf(error: Error): string {
  const [first] = error instanceof AggregateError ? (error.errors as Error[]) : []
  return error.message || first?.message || error.name
}

/** A writer of the queue may write anything. */
function checkedPayload({ job }: Payload): Payload {
  const areTexts = (value: unknown): boolean => Array.isArray(value) && value.every((one) => typeof one === 'string')
  const isJob =
    ['id', 'name', 'folder'].every((key) => typeof job[key as 'id'] === 'string') &&
    (job.system === 'run' || job.system === 'linux') &&
    areTexts(job.args) &&
    areTexts(job.expect) &&
    job.timeoutSeconds > 0
  if (!isJob) throw new UnrecoverableError('it is no job of this version of retrap-fleet')
  return { job }
}
