import type { Attempt, Job } from '../plan/job.ts'

/** Makes one attempt of a job. */
export type MakeAttempt = (job: Job, attempt: number, signal: AbortSignal) => Promise<Attempt>

/** Receives the events of jobs, in any order. */
export interface JobListener {
  /** Called when a machine starts; the same job starts again after a failure, or if its worker disappears. */
  started(job: Job): void
  ended(job: Job, attempt: Attempt): void
  /** Called when the queue's server is unreachable; the request is repeated until the server responds. */
  trouble(message: string): void
}

/** A queue of jobs. A job is made again until it has passed or its retries are used up. */
export interface JobQueue {
  /** Runs jobs to their ends. @returns when all have ended, or when `signal` was aborted and no attempt is in progress here */
  run(jobs: readonly Job[], listener: JobListener, signal: AbortSignal): Promise<void>
}

/** The queue within one process. @param concurrency - number of machines at the same time */
export const embeddedQueue = (concurrency: number, make: MakeAttempt): JobQueue => ({
  async run(jobs, listener, signal) {
    const waiting = jobs.values()
    const work = async (): Promise<void> => {
      for (const job of waiting) {
        if (signal.aborted) return
        for (let attempt = 1; attempt <= 1 + job.retries; attempt++) {
          listener.started(job)
          const end = await make(job, attempt, signal)
          listener.ended(job, end)
          if (end.outcome === 'passed' || signal.aborted) break
        }
      }
    }
    await Promise.all(Array.from({ length: Math.min(concurrency, jobs.length) }, work))
  },
})

/** Error for an invalid queue address. */
export class QueueUrlError extends Error {
  override readonly name = 'QueueUrlError'
}

const LOOPBACK: ReadonlySet<string> = new Set(['localhost', '127.0.0.1', '[::1]'])

/** Whether an address names this host. */
export function isLoopback(hostname: string): boolean {
  return LOOPBACK.has(hostname)
}

/**
 * Checks the address of a queue's server, Redis or PostgreSQL. A writer of the queue can run code on its workers: off the loopback
 * it has to be reached by TLS, with a password.
 *
 * @throws QueueUrlError that shows no password
 */
export function checkedQueueUrl(text: string): string {
  if (!URL.canParse(text))
    throw new QueueUrlError('--queue: give redis://127.0.0.1:6379, rediss://:PASSWORD@HOST:6379 or postgres://…')
  const { protocol, hostname, password, searchParams } = new URL(text)
  const name = `${protocol}//${hostname}`
  if (!['redis:', 'rediss:', 'postgres:', 'postgresql:'].includes(protocol))
    throw new QueueUrlError(`--queue ${name}: a queue is on Redis, redis:// or rediss://, or PostgreSQL, postgres://`)
  if (isLoopback(hostname)) return text
  const why = 'as whoever can write the queue can run code on workers'
  if (protocol === 'redis:') throw new QueueUrlError(`--queue ${name}: use rediss:// (TLS), ${why}`)
  if (protocol.startsWith('postgres') && searchParams.get('sslmode') !== 'verify-full')
    throw new QueueUrlError(`--queue ${name}: add ?sslmode=verify-full (TLS), ${why}`)
  if (password === '') throw new QueueUrlError(`--queue ${name}: give a password, ${why}`)
  return text
}
