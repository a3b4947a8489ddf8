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
