import { spawn } from 'node:child_process'
import { createWriteStream } from 'node:fs'
import { join } from 'node:path'
import { finished } from 'node:stream/promises'
import { setTimeout } from 'node:timers/promises'
import { stripVTControlCharacters } from 'node:util'
import { type Attempt, failedAttempt, findingsText, type Job, type Outcome, readExplored } from '../plan/job.ts'
import type { MakeAttempt } from '../queue/queue.ts'

/** Bytes of an attempt's output that are kept; a guest may print without end. */
const MOST_LOG_BYTES = 16 << 20
const TAIL_BYTES = 4 << 10
/** The most bytes of a line about a finding in a cluster. */
const MOST_LINE_BYTES = 1 << 20
/** `retrap` ends at its own `--timeout`; after this much longer its process is killed. */
const GRACE_MS = 10_000
const KILL_MS = 5000
/** Exit codes of `retrap` that say nothing of the guest: a wrong option, trouble within `retrap`, a file that cannot be used. */
const NOT_THE_GUESTS: ReadonlySet<number | null> = new Set([2, 70, 74])
const TIMEOUT_EXIT = 124
/** Signals by which a host ends processes: its administrator, its service manager, or its kernel when memory is short. */
const HOSTS_SIGNALS: ReadonlySet<string | null> = new Set(['SIGHUP', 'SIGINT', 'SIGKILL', 'SIGTERM'])
/** So often a machine is made anew that the host has ended, after a pause in which this process may be ended, too. */
const MOST_LOST = 3
const LOST_PAUSE_MS = 250

/** Options for running machines. */
export interface MachineRunner {
  /** The program and arguments that start `retrap`. */
  readonly retrap: readonly [program: string, ...args: string[]]
  /** Folder for `JOB.ATTEMPT.log`, the first 16 MiB of each attempt's output. */
  readonly logs: string
}

/** The host has ended a machine: its attempt does not count. */
export class MachineLostError extends Error {
  override readonly name = 'MachineLostError'
}

/**
 * Runs a machine in a process of its own, until it has printed the expected texts or a failing one, has ended, or has timed out.
 *
 * @param signal - ends the machine; the attempt is an `error` then, and also if the log cannot be written
 * @throws MachineLostError if the machine got a signal that this process has not sent
 */
export async function runMachine(
  runner: MachineRunner,
  job: Job,
  attempt: number,
  signal: AbortSignal,
): Promise<Attempt> {
  const started = performance.now()
  const [program, ...before] = runner.retrap
  const output = createWriteStream(logPath(runner, job, attempt))
  const tail = new Tail()
  const expected = new ExpectedTexts(job.expect)
  const failing = (job.fail ?? []).map((text) => new ExpectedTexts([text]))
  let seen: string | undefined
  const lastLine = job.system === 'cluster' ? new LastLine() : undefined
  const child = spawn(program, [...before, ...wordsOf(job)], {
    cwd: job.folder,
    // Guests are not trusted, and the queue may listen at the loopback without a password.
    env: { ...process.env, RETRAP_HOST_LOOPBACK: 'off' },
    // The channel tells the machine when this process is gone, and this process of signals: end-with-parent.mjs.
    stdio: ['ignore', 'pipe', 'pipe', 'ipc'],
  })
  let written = 0
  let isLate = false
  let isEnded = false
  /** A signal that another process has sent. */
  let foreign: string | null = null
  const end = (): void => {
    if (child.exitCode !== null || child.signalCode !== null) return
    isEnded = true
    // SIGTERM would press the guest's power button first.
    child.kill('SIGINT')
    killing ??= globalThis.setTimeout(() => child.kill('SIGKILL'), KILL_MS)
  }
  let killing: NodeJS.Timeout | undefined
  const late = globalThis.setTimeout(
    () => {
      isLate = true
      end()
    },
    job.timeoutSeconds * 1000 + GRACE_MS,
  )
  signal.addEventListener('abort', end)
  if (signal.aborted) end()
  let unwritten: Error | undefined
  output.on('error', (error) => {
    unwritten ??= error
    end()
  })

  const take = (bytes: Buffer): void => {
    tail.add(bytes)
    if (written < MOST_LOG_BYTES) output.write(bytes.subarray(0, MOST_LOG_BYTES - written))
    written += bytes.length
  }
  child.stdout?.on('data', (bytes: Buffer) => {
    take(bytes)
    lastLine?.add(bytes)
    if (seen !== undefined || (job.expect.length > 0 && expected.isComplete)) return
    const passes = expected.add(bytes) && job.expect.length > 0
    const before = passes ? bytes.subarray(0, bytes.length - expected.behind) : bytes
    seen = job.fail?.find((_text, i) => failing[i]?.add(before))
    if (passes || seen !== undefined) end()
  })
  child.stderr?.on('data', take)
  child.on('message', (message) => {
    if (!isEnded) foreign ??= (message as { readonly signal: string }).signal
  })
  // Resolves when all output of the machine was read.
  const failure = await new Promise<Error | undefined>((resolve) => {
    child.once('error', resolve)
    child.once('close', () => resolve(undefined))
  })
  clearTimeout(late)
  clearTimeout(killing)
  signal.removeEventListener('abort', end)
  output.end()
  await finished(output).catch(() => undefined)

  const { exitCode, signalCode } = child
  if (!isEnded && HOSTS_SIGNALS.has(signalCode)) foreign ??= signalCode
  const explored = lastLine && readExplored(lastLine.text)
  const [outcome, detail] = endOf()
  return {
    ...{ job: job.id, attempt, outcome, detail, exitCode, tail: tail.text },
    ...(explored && { explored }),
    seconds: (performance.now() - started) / 1000,
  }

  function endOf(): readonly [Outcome, string] {
    if (failure !== undefined) return ['error', failure.message]
    if (unwritten !== undefined) return ['error', `its log cannot be written: ${unwritten.message}`]
    if (seen !== undefined) return ['ended', `it has printed ${JSON.stringify(seen)}`]
    if (expected.isComplete && job.expect.length > 0) return ['passed', '']
    if (signal.aborted) return ['error', 'the run was ended']
    if (foreign !== null) throw new MachineLostError(`the host has ended the machine by ${foreign}`)
    if (isLate || exitCode === TIMEOUT_EXIT) return ['timeout', `${job.timeoutSeconds} s are over${missing()}`]
    if (NOT_THE_GUESTS.has(exitCode)) return ['error', tail.lastLine]
    if (lastLine !== undefined && explored === undefined && exitCode === 0)
      return ['error', 'it ended before it said what it has explored']
    if (job.expect.length === 0 && exitCode === 0) return ['passed', '']
    if (explored !== undefined && explored.findings.length > 0) return ['ended', findingsText(explored)]
    const how =
      exitCode === null ? `the machine was ended by ${signalCode}` : `the machine ended with exit code ${exitCode}`
    return ['ended', `${how}${missing()}`]
  }

  function missing(): string {
    return expected.isComplete ? '' : `; it has not printed ${JSON.stringify(job.expect[expected.found])}`
  }
}

/**
 * Makes an attempt that counts: if the host ended its machine, the attempt is repeated.
 *
 * @returns the attempt; an `error` where the host ends its machine again and again
 */
export async function untilItCounts(
  make: MakeAttempt,
  ...[job, attempt, signal]: Parameters<MakeAttempt>
): Promise<Attempt> {
  const started = performance.now()
  for (let lost = 1; ; lost++) {
    try {
      return await make(job, attempt, signal)
    } catch (error) {
      if (!(error instanceof MachineLostError)) throw error
      await setTimeout(LOST_PAUSE_MS, undefined, { signal }).catch(() => undefined)
      if (!signal.aborted && lost < MOST_LOST) continue
      const detail = signal.aborted ? 'the run was ended' : `${error.message}, as ${MOST_LOST - 1} times before`
      return failedAttempt(job, attempt, detail, (performance.now() - started) / 1000)
    }
  }
}

/** The file with the output of an attempt. */
export function logPath({ logs }: MachineRunner, { id }: Job, attempt: number): string {
  return join(logs, `${id}.${attempt}.log`)
}

/** Searches for texts in bytes that arrive in pieces. */
export class ExpectedTexts {
  readonly #texts: readonly Buffer[]
  /** Number of expected texts found. */
  found = 0
  #rest: Buffer = Buffer.alloc(0)
  /** Number of bytes behind the last text, in the piece that it ended in. */
  behind = 0

  constructor(texts: readonly string[]) {
    this.#texts = texts.map((text) => Buffer.from(text))
  }

  get isComplete(): boolean {
    return this.found === this.#texts.length
  }

  /** Takes bytes. @returns whether all texts were found */
  add(bytes: Buffer): boolean {
    let all = this.#rest.length === 0 ? bytes : Buffer.concat([this.#rest, bytes])
    for (let text = this.#texts[this.found]; text !== undefined; text = this.#texts[this.found]) {
      const at = all.indexOf(text)
      if (at < 0) {
        // The beginning of the text may be at the end.
        this.#rest = Buffer.from(all.subarray(Math.max(0, all.length - text.length + 1)))
        return false
      }
      this.found++
      all = all.subarray(at + text.length)
    }
    this.behind = all.length
    return true
  }
}

/** Returns the command line of a job. A cluster has no time limit of its own. */
const wordsOf = ({ system, args, timeoutSeconds }: Job): readonly string[] =>
  system === 'cluster' ? ['cluster', 'explore', ...args, '--jsonl'] : [system, ...args, `--timeout=${timeoutSeconds}`]

/** The last line of an output, as long as its end comes. */
class LastLine {
  #bytes: Buffer = Buffer.alloc(0)

  add(bytes: Buffer): void {
    const all = Buffer.concat([this.#bytes, bytes])
    this.#bytes = Buffer.from(all.subarray(all.lastIndexOf('\n', -2) + 1).subarray(-MOST_LINE_BYTES))
  }

  get text(): string {
    return this.#bytes.toString('utf8')
  }
}

/** The last bytes of an output. */
class Tail {
  #bytes: Buffer = Buffer.alloc(0)

  add(bytes: Buffer): void {
    this.#bytes = Buffer.from(Buffer.concat([this.#bytes, bytes]).subarray(-TAIL_BYTES))
  }

  /** The text without terminal control sequences. */
  get text(): string {
    return stripVTControlCharacters(this.#bytes.toString('utf8')).replaceAll('\r', '')
  }

  get lastLine(): string {
    return this.text.trimEnd().split('\n').at(-1) ?? ''
  }
}
