/** Machines of a cluster in Workers: both ends. */
import { availableParallelism } from 'node:os'
import { parentPort, Worker } from 'node:worker_threads'
import {
  type ClusterGuest,
  type ErrorTold,
  type GuestListener,
  type GuestThread,
  type MachineStart,
  type PlacedMachine,
  RemoteHost,
  serveGuests,
} from '@retrap/cluster'
import { CliError, type CliErrorCode } from '../../errors.ts'
import { type HostParts, LinuxHost } from './host.ts'

/** A Worker's message that is none of a guest's: a line for the user. */
interface Told {
  readonly tell: string
}
/** The message that ends a Worker. */
const END = 'end'
/** Time for a Worker to give its files back. */
const END_MS = 5000

/** A machine that may be in a Worker: the cluster has the disks of the others. */
const mayMove = ({ disk }: PlacedMachine): boolean => disk === undefined

/** The Workers that are used where nobody says how many: one for each processor of the host, and no more than machines. */
export const usualWorkers = (machines: readonly PlacedMachine[]): number =>
  Math.max(1, Math.min(availableParallelism(), machines.filter(mayMove).length))

/** Returns a host whose machines run in Workers; with one of them, in this thread. */
export function hostOf(parts: HostParts, workers: number, tell: (text: string) => void): LinuxHost {
  return workers === 1 ? new LinuxHost(parts, tell) : new WorkersHost(parts, workers, tell)
}

/** A host of machines in Workers, but for those that are recorded or have disks. */
class WorkersHost extends LinuxHost {
  readonly #threads: readonly WorkerThread[]
  readonly #remote: RemoteHost

  constructor(parts: HostParts, workers: number, tell: (text: string) => void) {
    super(parts, tell)
    this.#threads = Array.from({ length: workers }, (_, i) => new WorkerThread(`Worker ${i + 1}`, parts, tell))
    this.#remote = new RemoteHost(this.#threads, cliErrorOf)
  }

  override make(machine: PlacedMachine, start: MachineStart, listener: GuestListener): Promise<ClusterGuest> {
    const isHere = start.recording !== undefined || !mayMove(machine)
    return isHere ? super.make(machine, start, listener) : this.#remote.make(machine, start, listener)
  }

  override async close(): Promise<void> {
    await Promise.all([super.close(), ...this.#threads.map((thread) => thread.end())])
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

  constructor(name: string, parts: HostParts, tell: (text: string) => void) {
    this.name = name
    const program = import.meta.url.endsWith('.ts') ? '../../cluster-worker.ts' : './cluster-worker.js'
    this.#worker = new Worker(new URL(program, import.meta.url), { name, workerData: parts })
    this.#over = new Promise((resolve) => this.#worker.once('exit', resolve))
    this.#worker.on('message', (message: Partial<Told>) => message.tell !== undefined && tell(message.tell))
  }

  post(message: unknown): void {
    this.#worker.postMessage(message)
  }

  onMessage(listener: (message: unknown) => void): void {
    this.#worker.on('message', (message: Partial<Told>) => message.tell ?? listener(message))
  }

  onEnd(listener: (why: string) => void): void {
    this.#worker.once('error', (error) => listener(error.message))
    this.#worker.once('exit', (code) => this.#isEnding || listener(`exit code ${code}`))
  }

  /** Ends the Worker. */
  async end(): Promise<void> {
    this.#isEnding = true
    this.#worker.postMessage(END)
    const late = setTimeout(() => void this.#worker.terminate(), END_MS)
    await this.#over
    clearTimeout(late)
  }
}

/** Serves the machines of a Worker, in the Worker. */
export function serveCluster(parts: HostParts): void {
  const port = parentPort!
  const host = new LinuxHost(parts, (tell) => port.postMessage({ tell } satisfies Told))
  port.on('message', (message: unknown) => {
    if (message === END) void host.close().finally(() => port.close())
  })
  serveGuests(
    {
      post: (message) => port.postMessage(message),
      onMessage: (listener) => port.on('message', (message: unknown) => message === END || listener(message)),
    },
    host,
  )
}
