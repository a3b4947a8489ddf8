import type { Attempt, Job } from './plan/job.ts'

/** The part of a terminal or pipe that progress is shown on. */
export interface ProgressStream {
  readonly isTTY?: boolean
  readonly columns?: number
  write(text: string): unknown
}

/** Shows how far a plan is: a line for each end, and on a terminal a last line with counts and the machines under way. */
export class Progress {
  readonly #stream: ProgressStream
  readonly #count: number
  readonly #running = new Set<string>()
  #passed = 0
  #failed = 0

  constructor(stream: ProgressStream, count: number) {
    this.#stream = stream
    this.#count = count
  }

  started(job: Job): void {
    this.#running.add(job.name)
    this.#draw()
  }

  ended(job: Job, { outcome, detail, seconds, attempt }: Attempt): void {
    this.#running.delete(job.name)
    const isLast = outcome === 'passed' || attempt > job.retries
    if (outcome === 'passed') this.#passed++
    else if (isLast) this.#failed++
    this.#clear()
    const mark = outcome === 'passed' ? 'ok    ' : isLast ? 'FAILED' : 'again '
    const why = detail === '' ? '' : `: ${detail}`
    this.#stream.write(`${mark} ${job.name} (${seconds.toFixed(1)} s)${why}\n`)
    this.#draw()
  }

  finish(): void {
    this.#clear()
    this.#stream.write(`${this.#count} jobs: ${this.#passed} passed, ${this.#count - this.#passed} failed\n`)
  }

  #clear(): void {
    if (this.#stream.isTTY === true) this.#stream.write('\r\u001b[K')
  }

  #draw(): void {
    if (this.#stream.isTTY !== true) return
    const done = this.#passed + this.#failed
    const line = `${done} of ${this.#count}, ${this.#failed} failed; running: ${[...this.#running].join(', ')}`
    const columns = (this.#stream.columns ?? 80) - 1
    this.#stream.write(`\r\u001b[K${line.length > columns ? `${line.slice(0, columns - 1)}…` : line}`)
  }
}
