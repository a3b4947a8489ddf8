import { existsSync, mkdirSync, renameSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import type { Attempt, Job, JobResult } from '../plan/job.ts'
import { junitOf } from './junit.ts'
import { pageOf } from './page.ts'

/** The results of a plan. An attempt counts once, even if it is reported again. */
export class Results {
  readonly #jobs: ReadonlyMap<string, Job>
  readonly #attempts = new Map<string, Map<number, Attempt>>()

  constructor(jobs: readonly Job[]) {
    this.#jobs = new Map(jobs.map((job) => [job.id, job]))
  }

  /** Adds an attempt; the first one of each number counts. */
  add(attempt: Attempt): void {
    const all = this.#attempts.get(attempt.job) ?? new Map<number, Attempt>()
    if (!all.has(attempt.attempt)) all.set(attempt.attempt, attempt)
    this.#attempts.set(attempt.job, all)
  }

  /** The jobs in the plan's order. A job without an attempt has not passed. */
  get all(): readonly JobResult[] {
    return [...this.#jobs.values()].map((job) => {
      const attempts = [...(this.#attempts.get(job.id)?.values() ?? [])].sort((a, b) => a.attempt - b.attempt)
      return { job, attempts, passed: attempts.at(-1)?.outcome === 'passed' }
    })
  }

  /** Whether every job has met its expectation. */
  get passed(): boolean {
    return this.all.every(({ passed }) => passed)
  }

  /** Writes `results.json`, `results.xml` (JUnit) and `results.html` into a folder, each whole or not at all. */
  write(folder: string, seconds: number): void {
    mkdirSync(folder, { recursive: true })
    const { all } = this
    const passed = all.filter((result) => result.passed).length
    const summary = { jobs: all.length, passed, failed: all.length - passed, seconds }
    const json = { ...summary, results: all.map((result) => ({ ...result, job: { ...result.job } })) }
    replace(join(folder, 'results.json'), `${JSON.stringify(json, null, 2)}\n`)
    replace(join(folder, 'results.xml'), junitOf(all, seconds))
    const hasLog = (name: string): boolean => existsSync(join(folder, 'logs', name))
    replace(join(folder, 'results.html'), pageOf(all, seconds, hasLog))
  }
}

function replace(path: string, text: string): void {
  writeFileSync(`${path}.new`, text)
  renameSync(`${path}.new`, path)
}
