import { plainLine } from '@retrap/basics'
import type { Attempt, Job } from './plan/job.ts'
import type { JobListener } from './queue/queue.ts'

/** The part of a terminal or pipe that progress is shown on. */
export interface ProgressStream {
  readonly isTTY?: boolean
  readonly columns?: number
  readonly rows?: number
  write(text: string): unknown
}

/** Intervals at which a terminal's table is drawn anew, and at which a pipe gets a line of counts. */
const TABLE_MS = 500
const LINE_MS = 30_000
/** Rows of the table, where the terminal is high enough: the machines that have run longest. */
const MOST_ROWS = 20

/**
 * Shows how far a plan is: a line for each attempt that has ended, and on a terminal a table of the running machines below. Texts
 * of guests are shown without control characters.
 */
export class Progress implements JobListener {
  readonly #stream: ProgressStream
  readonly #count: number
  readonly #began = performance.now()
  /** Start times of the running machines. */
  readonly #running = new Map<Job, number>()
  readonly #timer: NodeJS.Timeout
  #passed = 0
  #failed = 0
  #lines = 0
  #trouble = ''

  constructor(stream: ProgressStream, count: number) {
    this.#stream = stream
    this.#count = count
    const isTable = stream.isTTY === true
    this.#timer = setInterval(() => this.#show(isTable ? '' : `${this.#counts()}\n`), isTable ? TABLE_MS : LINE_MS)
    this.#timer.unref()
    this.#show('')
  }

  started(job: Job): void {
    this.#trouble = ''
    this.#running.set(job, performance.now())
  }

  ended(job: Job, { outcome, detail, seconds, attempt }: Attempt): void {
    this.#trouble = ''
    const isLast = outcome === 'passed' || attempt > job.retries
    if (isLast) this.#running.delete(job)
    if (outcome === 'passed') this.#passed++
    else if (isLast) this.#failed++
    const mark = outcome === 'passed' ? 'ok    ' : isLast ? 'FAILED' : 'again '
    this.#show(`${mark} ${endLine(job, seconds, detail)}\n`)
  }

  trouble(message: string): void {
    if (message === this.#trouble) return
    this.#trouble = message
    this.note(`the queue cannot be used, and is asked again: ${message}`)
  }

  /** Shows a line for people. */
  note(text: string): void {
    this.#show(`${plainLine(text)}\n`)
  }

  finish(): void {
    clearInterval(this.#timer)
    this.#erase()
    this.#stream.write(`${this.#count} jobs: ${this.#passed} passed, ${this.#count - this.#passed} failed\n`)
  }

  /** Writes a text above the table. */
  #show(text: string): void {
    this.#erase()
    const table = this.#stream.isTTY === true ? this.#table() : []
    this.#lines = table.length
    const all = text + table.map((line) => `${line}\n`).join('')
    if (all !== '') this.#stream.write(all)
  }

  #erase(): void {
    // ECMA-48: cursor up, erase to the end of the screen.
    if (this.#lines > 0) this.#stream.write(`\u001b[${this.#lines}A\u001b[J`)
    this.#lines = 0
  }

  #counts(): string {
    const done = this.#passed + this.#failed
    const seconds = duration(performance.now() - this.#began)
    return `${done} of ${this.#count} ended, ${this.#failed} failed, ${this.#running.size} running; ${seconds}`
  }

  #table(): string[] {
    const width = Math.max(20, (this.#stream.columns ?? 80) - 1)
    const rows = Math.min(MOST_ROWS, Math.max(1, (this.#stream.rows ?? 24) - 4))
    const now = performance.now()
    const longest = [...this.#running].sort(([, a], [, b]) => a - b)
    const lines = longest
      .slice(0, rows)
      .map(([job, since]) => `  ${duration(now - since).padStart(8)}  ${plainLine(job.name)}`)
    if (longest.length > rows) lines.push(`            and ${longest.length - rows} more`)
    return [this.#counts(), ...lines].map((line) => (line.length > width ? `${line.slice(0, width - 1)}…` : line))
  }
}

/** Returns a line with the name of a job and the result of its attempt. */
export function endLine({ name }: Job, seconds: number, detail: string): string {
  return plainLine(`${name} (${seconds.toFixed(1)} s)${detail === '' ? '' : `: ${detail}`}`)
}

function duration(milliseconds: number): string {
  const seconds = Math.floor(milliseconds / 1000)
  const clock = [Math.floor(seconds / 60) % 60, seconds % 60].map((part) => String(part).padStart(2, '0')).join(':')
  return seconds < 3600 ? clock : `${Math.floor(seconds / 3600)}:${clock}`
}
