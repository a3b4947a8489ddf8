/** Machines of a cluster in Workers: both ends. */
import { availableParallelism, totalmem } from 'node:os'
import { setFlagsFromString } from 'node:v8'
import { parentPort, Worker } from 'node:worker_threads'
import {
  type ClusterDescription,
  ClusterLane,
  type CrashLane,
  type ErrorTold,
  type GuestThread,
  type Lane,
  MOST_LANES,
  type PlacedMachine,
  RemoteHost,
  RemoteLane,
  serveGuests,
  serveLane,
} from '@retrap/cluster'
import { CliError, type CliErrorCode } from '@retrap/linux-guest/errors'
import { type GuestsHost, type HostParts, LinuxHost } from './host.ts'
import type { RecordedHow } from '../../jobs/recordings.ts'

/** A Worker's work: machines of a cluster, or all of one, in branch after branch. */
interface Work {
  readonly parts: HostParts
  readonly serves: 'guests' | 'lane'
}
/** A Worker's message of its own: a line for the user, or why a recording could not be written. */
type Told = { readonly tell: string } | { readonly recorded: string | undefined }
/** A message for a Worker itself. */
type Order = { readonly record: RecordedHow } | { readonly order: 'recorded' | 'end' }
/** Time for a Worker to give its files back. */
const END_MS = 5000

/** The Workers that are used where nobody says how many: one for each processor of the host, and no more than machines. */
export const usualWorkers = (machines: readonly PlacedMachine[]): number =>
  Math.max(1, Math.min(availableParallelism(), machines.length))

/** Returns a host whose machines run in Workers; with one of them, in this thread. */
export function hostOf(parts: HostParts, workers: number, tell: (text: string) => void): GuestsHost {
  return workers === 1 ? new LinuxHost(parts, tell) : new WorkersHost(parts, workers, tell)
}

/** The lanes that are used where nobody says how many: one for each processor of the host. */
export const usualLanes = (): number => Math.min(availableParallelism(), MOST_LANES)

/** A cluster of which lanes are wanted. */
export interface LanesOf {
  readonly description: ClusterDescription
  readonly seed: number
  readonly parts: HostParts
  /** Ends what runs. */
  readonly signal: AbortSignal
  readonly tell: (text: string) => void
}

/**
 * Starts a cluster in lanes, each of which starts it by itself: with one of them in this thread, else in Workers.
 *
 * @param stateMemory - bytes for states, in all lanes
 * @throws ClusterError as `ClusterLane.start`
 */
export async function withLanes<T>(
  { description, seed, parts, signal, tell }: LanesOf,
  count: number,
  act: (lanes: readonly (Lane & CrashLane)[]) => Promise<T>,
  stateMemory: number = totalmem() / 2,
): Promise<T> {
  const lanes = Math.min(count, MOST_LANES)
  const stateBytes = stateMemory / lanes
  if (count === 1) {
    const host = new LinuxHost(parts, tell)
    const stop = new AbortController()
    signal.addEventListener('abort', () => stop.abort())
    try {
      return await act([await ClusterLane.start(description, seed, host, { stop, stateBytes })])
    } finally {
      await host.close()
    }
  }
  // All have the same files: the first Worker tells of them.
  const threads = Array.from(
    { length: lanes },
    (_, i) => new WorkerThread(`Worker ${i + 1}`, { parts, serves: 'lane' }, i === 0 ? tell : () => undefined),
  )
  const options = { signal, errorOf: cliErrorOf, stateBytes }
  try {
    return await act(await Promise.all(threads.map((thread) => RemoteLane.start(description, seed, thread, options))))
  } finally {
    await Promise.all(threads.map((thread) => thread.end()))
  }
}

class WorkersHost extends RemoteHost implements GuestsHost {
  readonly #threads: readonly WorkerThread[]

  constructor(parts: HostParts, workers: number, tell: (text: string) => void) {
    const threads = Array.from(
      { length: workers },
      (_, i) => new WorkerThread(`Worker ${i + 1}`, { parts, serves: 'guests' }, tell),
    )
    super(threads, cliErrorOf)
    this.#threads = threads
  }

  record(how: RecordedHow): void {
    for (const thread of this.#threads) thread.order({ record: how })
  }

  async recorded(): Promise<string | undefined> {
    await this.settled()
    const all = await Promise.all(this.#threads.map((thread) => thread.recorded()))
    return all.find((trouble) => trouble !== undefined)
  }

  async close(): Promise<void> {
    await Promise.all(this.#threads.map((thread) => thread.end()))
  }
}

/** Makes an error of the command once more. */
const cliErrorOf = ({ name, code, message }: ErrorTold): CliError | undefined =>
  name === 'CliError' ? new CliError(code as CliErrorCode, message) : undefined

class WorkerThread implements GuestThread {
  readonly name: string
  readonly #worker: Worker
  readonly #over: Promise<unknown>
  #isEnding = false

  constructor(name: string, work: Work, tell: (text: string) => void) {
    this.name = name
    // A branch makes some 900 MB of garbage: with 1 MiB for young objects, collections took a tenth of its processor time.
    setFlagsFromString('--max-semi-space-size=8')
    const program = import.meta.url.endsWith('.ts') ? '../../cluster-worker.ts' : './cluster-worker.js'
    this.#worker = new Worker(new URL(program, import.meta.url), { name, workerData: work })
    this.#over = new Promise((resolve) => this.#worker.once('exit', resolve))
    this.#worker.on('message', (message: object) => {
      if ('tell' in message) tell(message.tell as string)
    })
  }

  post(message: unknown): void {
    this.#worker.postMessage(message)
  }

  onMessage(listener: (message: unknown) => void): void {
    this.#worker.on('message', (message: object) => 'tell' in message || 'recorded' in message || listener(message))
  }

  onEnd(listener: (why: string) => void): void {
    this.#worker.once('error', (error) => listener(error.message))
    this.#worker.once('exit', (code) => this.#isEnding || listener(`exit code ${code}`))
  }

  order(order: Order): void {
    this.#worker.postMessage(order)
  }

  /** @returns why a recording could not be written; undefined: all were */
  async recorded(): Promise<string | undefined> {
    const answer = new Promise<string | undefined>((resolve) => {
      this.#worker.on('message', (message: Told) => 'recorded' in message && resolve(message.recorded))
    })
    this.order({ order: 'recorded' })
    return Promise.race([answer, this.#over.then(() => `${this.name} has ended`)])
  }

  async end(): Promise<void> {
    this.#isEnding = true
    this.order({ order: 'end' })
    const late = setTimeout(() => void this.#worker.terminate(), END_MS)
    await this.#over
    clearTimeout(late)
  }
}

export function serveCluster({ parts, serves }: Work): void {
  const port = parentPort!
  const say = (told: Told): void => port.postMessage(told)
  const host = new LinuxHost(parts, (tell) => say({ tell }))
  const obey = async (order: Order): Promise<void> => {
    if ('record' in order) host.record(order.record)
    else if (order.order === 'recorded') say({ recorded: await host.recorded() })
    else await host.close().finally(() => port.close())
  }
  const isOrder = (message: object): message is Order => 'record' in message || 'order' in message
  port.on('message', (message: object) => isOrder(message) && void obey(message))
  const serve = serves === 'lane' ? serveLane : serveGuests
  serve(
    {
      post: (message) => port.postMessage(message),
      onMessage: (listener) => port.on('message', (message: object) => isOrder(message) || listener(message)),
    },
    host,
  )
}
