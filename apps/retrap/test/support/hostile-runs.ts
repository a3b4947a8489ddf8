// Runs of the command line on hostile input, in this process: how each ends, and what must hold of every end.
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { setTimeout } from 'node:timers/promises'
import { setFlagsFromString } from 'node:v8'
import { runInNewContext } from 'node:vm'
import { Worker } from 'node:worker_threads'
import { ProcessorDelay } from '@retrap/tooling/processor-time'
import { decode, formatIntel } from '@retrap/x86-decoder'
import { runCli, type CliHost } from '../../src/cli.ts'
import { ExitCode } from '../../src/exit-codes.ts'
import type { Machine } from '@retrap/linux-guest/machine/machine-contract'
import { createMachine } from '../../src/machine-main.ts'

/** Exit codes that `--help` documents, and what stderr says with each. */
const DOCUMENTED: ReadonlyMap<number, RegExp> = new Map([
  [ExitCode.PowerOff, /^/],
  [ExitCode.Usage, /^retrap: ./m],
  [ExitCode.Input, /^retrap: ./m],
  [ExitCode.TripleFault, /^retrap: triple fault/m],
  [ExitCode.GuestCrash, /^retrap: guest crash/m],
  [ExitCode.Timeout, /^retrap: ended by --timeout after /m],
])
/** A place in the program, as a JavaScript error shows it. */
const STACK = /^ +at .*:\d+:\d+\)?$/m
/** Processor time by which a run may outlive its `--timeout`. */
const OVERRUN_SECONDS = 1
/** A guest that waits, or whose host is busy, has so much more time by the clock. */
const CLOCK_FACTOR = 5

/** The processor time of machines that run, all of one run of the command line together. */
class GuestTime {
  readonly #milliseconds: number
  #began: { readonly at: number; readonly used: NodeJS.CpuUsage } | undefined

  constructor(seconds: number) {
    this.#milliseconds = seconds * 1000
  }

  /** Has a machine end by this time, however long it took to make it. */
  limit(machine: Machine): Machine {
    const inner = machine.run.bind(machine)
    const run: Machine['run'] = async (options) => {
      this.#began ??= { at: performance.now(), used: process.threadCpuUsage() }
      for (;;) {
        const left = this.#left()
        // A guest that resets at once would go on until `--timeout`.
        if (left === 0) return { reason: 'timeout' }
        const exit = await inner({ ...options, timeoutMs: Math.min(left, options.timeoutMs ?? left) })
        if (exit.reason !== 'timeout' || this.#left() === 0) return exit
      }
    }
    return Object.assign(machine, { run })
  }

  /** Milliseconds. */
  #left(): number {
    const { at, used } = this.#began!
    const { user, system } = process.threadCpuUsage(used)
    const byClock = at + CLOCK_FACTOR * this.#milliseconds - performance.now()
    return Math.max(0, Math.min(this.#milliseconds - (user + system) / 1000, byClock))
  }
}

/** Wall time after which a run counts as hung; the machine may be busy. */
const HANG_MS = 60_000
/** Memory is compared at these distances. */
const MEMORY_INTERVAL = 250
/** Runs until memory has come to what it stays at: caches are filled, and the memory of dead machines comes back late. */
const WARM_UP_RUNS = 2000
const MEMORY_GROWTH_BYTES = 64 * 1024 * 1024
/** How long the memory of machines that have just ended may still be held, and how often it is looked at. */
const LAST_MACHINES_MS = 1000
const MEMORY_LOOK_MS = 100
/** `cli; hlt; jmp` back, repeated through the image, so also at the reset vector. */
const HALTING_FIRMWARE = new Uint8Array(0x1_0000).map((_, i) => [0xfa, 0xf4, 0xeb, 0xfc][i % 4] as number)

/** A branch to itself, which is the first instruction of a flash. */
const HALTING_ARM = Uint8Array.of(0, 0, 0, 0x14)

/** What one run has come to. */
export interface HostileRun {
  readonly code: number
  readonly errors: string
  readonly output: string
  /** What is wrong with its end, or undefined. */
  readonly violation: string | undefined
}

/** What differs from a run of the machine that the command line makes by itself. */
export interface HostileRunOptions {
  readonly createMachine?: CliHost['createMachine']
  /**
   * Seconds that the guest has, from the machine's start on; `--timeout` is longer. On a busy host most of a short one
   * passes before there is a machine.
   */
  readonly guestSeconds?: number
  /** Whether an exit code that `--help` does not list is to be expected here. */
  isDocumented?(code: number, errors: string): boolean
}

/** The command line with hostile input, run again and again in one process. */
export class HostileRuns {
  readonly folder: string = mkdtempSync(join(tmpdir(), 'retrap-hostile-'))
  readonly #heartbeat = new Int32Array(new SharedArrayBuffer(4))
  readonly #watchdog: Worker
  readonly #collect: () => void
  readonly #stray: unknown[] = []
  readonly #onStray = (error: unknown): void => void this.#stray.push(error)
  #runs = 0
  #memory = 0
  /** How often each exit code came. */
  readonly codes: Map<number, number> = new Map()

  constructor(name: string) {
    process.on('uncaughtException', this.#onStray)
    process.on('unhandledRejection', this.#onStray)
    setFlagsFromString('--expose-gc')
    this.#collect = runInNewContext('gc') as () => void
    this.#watchdog = new Worker(WATCHDOG, {
      eval: true,
      workerData: { heartbeat: this.#heartbeat, hangMs: HANG_MS, name },
    })
    this.#watchdog.unref()
  }

  /** Runs a guest that halts: the first machine of a process generates and compiles its interpreter, for all others. */
  async warmUp(...options: readonly string[]): Promise<void> {
    const path = this.file('halts', options.includes('arm64') ? HALTING_ARM : HALTING_FIRMWARE)
    const errors: string[] = []
    const code = await runCli(['run', '--firmware', path, '--timeout', '0.05', ...options], hostOf([], errors))
    if (code !== ExitCode.Timeout) throw new Error(`the guest that warms up ended with ${code}: ${errors.join('')}`)
  }

  /** Writes a file for the next run. @returns its path */
  file(name: string, bytes: Uint8Array | string): string {
    const path = join(this.folder, name)
    writeFileSync(path, bytes)
    return path
  }

  /**
   * Runs the command line.
   *
   * @param timeoutSeconds - what `args` give as `--timeout`; for commands without one, the time they may take
   */
  async run(args: readonly string[], timeoutSeconds: number, options: HostileRunOptions = {}): Promise<HostileRun> {
    const output: string[] = []
    const errors: string[] = []
    let code: number = ExitCode.InternalError
    const violation = await this.watch(timeoutSeconds, async () => {
      const host = hostOf(output, errors)
      const create = options.createMachine ?? createMachine
      const time = options.guestSeconds === undefined ? undefined : new GuestTime(options.guestSeconds)
      const limited: typeof create = async (asked) => time?.limit(await create(asked)) ?? create(asked)
      code = await runCli(args, { ...host, createMachine: limited })
      return wrongEnd(args, code, errors.join(''), options)
    })
    this.codes.set(code, (this.codes.get(code) ?? 0) + 1)
    const text = errors.join('')
    return {
      code,
      errors: text,
      output: output.join(''),
      violation: violation === undefined ? undefined : `${violation}\n${text.slice(0, 2000)}`,
    }
  }

  /**
   * Does something hostile, and looks at what must hold after it.
   *
   * @param action - resolves to what was wrong, if anything was
   * @returns what was wrong: `action`'s word, a throw, a stray error, too much time, or memory that has grown
   */
  async watch(seconds: number, action: () => Promise<string | undefined>): Promise<string | undefined> {
    Atomics.add(this.#heartbeat, 0, 1)
    const [before, begun, delay] = [process.threadCpuUsage(), performance.now(), new ProcessorDelay()]
    let found: string | undefined
    try {
      const hang = new AbortController()
      const hung = setTimeout(HANG_MS / 2, `has not ended after ${HANG_MS / 2000} s`, { signal: hang.signal })
      found = await Promise.race([action(), hung])
      hang.abort()
      hung.catch(() => undefined)
    } catch (error) {
      found = `threw ${describe(error)}`
    }
    // Of this thread: V8's own compile for a second behind the first machine, and do not hold the run.
    const { user, system } = process.threadCpuUsage(before)
    const took = (user + system) / 1e6
    const waited = (performance.now() - begun) / 1000 - delay.seconds()
    if (took > seconds + OVERRUN_SECONDS) found ??= `took ${took.toFixed(1)} s of processor time`
    if (waited > seconds + OVERRUN_SECONDS)
      found ??= `took ${waited.toFixed(1)} s, without what it waited for a processor`
    const stray = this.#stray.shift()
    return stray === undefined ? (found ?? (await this.#growth())) : `left a stray error: ${describe(stray)}`
  }

  /** Compares memory in use with what was in use when caches had been filled. */
  async #growth(): Promise<string | undefined> {
    if (++this.#runs % MEMORY_INTERVAL !== 0) return undefined
    const used = await this.#memoryInUse()
    if (this.#runs <= WARM_UP_RUNS) this.#memory = Math.max(this.#memory, used)
    if (used - this.#memory <= MEMORY_GROWTH_BYTES) return undefined
    const growth = ((used - this.#memory) / 1024 / 1024).toFixed(0)
    this.#memory = used
    return `memory has grown by ${growth} MiB in ${this.#runs} runs`
  }

  /** Collects until no more is given back: sockets and timers of the last machines still hold their memory for a while. */
  async #memoryInUse(): Promise<number> {
    let least = Infinity
    for (let waits = 0; waits < LAST_MACHINES_MS / MEMORY_LOOK_MS; waits++) {
      this.#collect()
      const { heapUsed, external } = process.memoryUsage()
      least = Math.min(least, heapUsed + external)
      await setTimeout(MEMORY_LOOK_MS)
    }
    return least
  }

  /** Prints how often each exit code came, and ends. */
  async close(): Promise<void> {
    const counts = [...this.codes].toSorted(([a], [b]) => a - b).map(([code, count]) => `${code}: ${count}`)
    console.error(`exit codes ${counts.join(', ')}`)
    process.off('uncaughtException', this.#onStray)
    process.off('unhandledRejection', this.#onStray)
    rmSync(this.folder, { recursive: true, force: true })
    await this.#watchdog.terminate()
  }
}

/** Ends the process when runs stop beginning: its event loop is held, and cannot say so itself. It says where. */
const WATCHDOG = `
const { workerData: { heartbeat, hangMs, name } } = require('node:worker_threads')
const { Session } = require('node:inspector')
const { writeSync } = require('node:fs')
let seen = -1
setInterval(() => {
  const now = Atomics.load(heartbeat, 0)
  if (now !== seen || now === 0) return void (seen = now)
  writeSync(2, name + ': run ' + now + ' has held the process for ' + hangMs + ' ms\\n')
  const session = new Session()
  session.connectToMainThread()
  session.on('Debugger.paused', ({ params }) => {
    for (const { functionName, url, location } of params.callFrames)
      writeSync(2, '  at ' + functionName + ' (' + url + ':' + (location.lineNumber + 1) + ')\\n')
    process.kill(process.pid, 'SIGKILL')
  })
  session.post('Debugger.enable')
  session.post('Debugger.pause')
  setTimeout(() => process.kill(process.pid, 'SIGKILL'), 5000)
}, hangMs)
`

function hostOf(output: string[], errors: string[]): CliHost {
  const collector = (into: string[]): CliHost['stdout'] =>
    ({
      write(data: Uint8Array | string, done?: () => void) {
        into.push(typeof data === 'string' ? data : Buffer.from(data).toString('latin1'))
        done?.()
        return true
      },
      on: () => undefined,
      once: () => undefined,
      off: () => undefined,
    }) as unknown as CliHost['stdout']
  return {
    createMachine,
    disassemble: ({ bytes, mode, address }) => formatIntel(decode(bytes, { mode, address })),
    embeddedGuest: () => new Uint8Array(0x1_0000),
    stdin: {
      on: () => undefined,
      removeAllListeners: () => undefined,
      resume: () => undefined,
      pause: () => undefined,
    },
    stdout: collector(output),
    stderr: collector(errors),
    onSignal: () => () => undefined,
    onUncaught: () => () => undefined,
    onStuck: () => () => undefined,
    abandon: () => undefined,
  }
}

/** What is wrong with an exit code and the words that came with it. */
function wrongEnd(
  args: readonly string[],
  code: number,
  errors: string,
  options: HostileRunOptions,
): string | undefined {
  if (options.isDocumented?.(code, errors) === true) return undefined
  if (STACK.test(errors)) return 'printed where in the program an error was thrown'
  // isa-debug-exit has all odd ones, and says nothing.
  if (code % 2 !== 0 && args.some((word) => word.startsWith('isa-debug-exit'))) return undefined
  const words = DOCUMENTED.get(code)
  if (words === undefined) return `ended with exit code ${code}`
  return words.test(errors) ? undefined : `ended with exit code ${code}, of which it says nothing`
}

function describe(error: unknown): string {
  return error instanceof Error ? (error.stack ?? error.message) : String(error)
}
