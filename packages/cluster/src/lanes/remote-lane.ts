import type { Branch } from '../cluster.ts'
import type { ClusterDescription } from '../description.ts'
import type { Seed } from '../draws.ts'
import type { ClusterHost } from '../host.ts'
import type { ErrorTold, ThreadPort } from '../remote/messages.ts'
import { tellError } from '../remote/serve.ts'
import { type GuestThread, ThreadClient } from '../remote/thread-client.ts'
import type { Stretch } from '../draw-faults.ts'
import type { DiskPages } from '../disk.ts'
import {
  type BranchRun,
  type CheckRun,
  ClusterLane,
  type CrashLane,
  type DiskCheck,
  type Lane,
  type StretchRun,
  type WorkRun,
} from './lane.ts'

/** A call to the thread of a lane. All but `close` are answered, in their order. */
type LaneCall =
  | {
      readonly do: 'start'
      readonly description: ClusterDescription
      readonly seed: Seed
      readonly stateBytes: number | undefined
    }
  | { readonly do: 'run'; readonly branch: Branch }
  | { readonly do: 'stretch' | 'mend' | 'release'; readonly path: readonly Stretch[] }
  | {
      readonly do: 'check'
      /** Numbers of pages by their places, and pages that are told for the first time. */
      readonly pages: ReadonlyMap<number, number>
      readonly told: DiskPages
      readonly check: DiskCheck
    }
  | { readonly do: 'work' }
  | { readonly do: 'close' }

/** A lane in another thread, which starts the cluster there. Its branches are those of a lane in this thread. */
export class RemoteLane implements Lane, CrashLane {
  readonly #client: ThreadClient
  readonly #stop: () => void
  /** Numbers of the pages that the other thread knows: most disks have most of them. */
  readonly #told = new WeakMap<Uint8Array, number>()
  #count = 0
  /** See {@link Lane.begin}. */
  readonly begin: number

  private constructor(client: ThreadClient, stop: () => void, begin: number) {
    this.#client = client
    this.#stop = stop
    this.begin = begin
  }

  /**
   * Starts a cluster in a thread, and gets its workload ready.
   *
   * @param thread - whose other end calls `serveLane`
   * @param errorOf - see `RemoteHost`
   * @throws ClusterError as `ClusterLane.start`; errors of the thread's host
   */
  static async start(
    description: ClusterDescription,
    seed: Seed,
    thread: GuestThread,
    {
      signal,
      errorOf,
      stateBytes,
    }: {
      readonly signal?: AbortSignal
      readonly errorOf?: (told: ErrorTold) => Error | undefined
      readonly stateBytes?: number | undefined
    },
  ): Promise<RemoteLane> {
    const client = new ThreadClient(thread, errorOf)
    // This call has no answer.
    const stop = (): void => thread.post([{ do: 'close' } satisfies LaneCall])
    signal?.addEventListener('abort', stop)
    const { begin } = await client.ask<{ readonly begin: number }>({
      do: 'start',
      description,
      seed,
      stateBytes,
    } satisfies LaneCall)
    return new RemoteLane(client, stop, begin)
  }

  /** See {@link Lane.run}. */
  run(branch: Branch): Promise<BranchRun> {
    return this.#client.ask<BranchRun>({ do: 'run', branch } satisfies LaneCall)
  }

  /** See {@link Lane.stretch}. */
  stretch(path: readonly Stretch[]): Promise<StretchRun> {
    return this.#client.ask<StretchRun>({ do: 'stretch', path } satisfies LaneCall)
  }

  /** See {@link Lane.mend}. */
  mend(path: readonly Stretch[]): Promise<StretchRun> {
    return this.#client.ask<StretchRun>({ do: 'mend', path } satisfies LaneCall)
  }

  /** See {@link CrashLane.work}. */
  work(): Promise<WorkRun> {
    return this.#client.ask<WorkRun>({ do: 'work' } satisfies LaneCall)
  }

  /** See {@link CrashLane.check}. */
  check(pages: DiskPages, check: DiskCheck): Promise<CheckRun> {
    const told = new Map<number, Uint8Array>()
    const numberOf = (page: Uint8Array): number => {
      const number = this.#told.get(page) ?? this.#count++
      if (!this.#told.has(page)) told.set(number, page)
      this.#told.set(page, number)
      return number
    }
    const numbers = new Map([...pages].map(([at, page]) => [at, numberOf(page)]))
    return this.#client.ask<CheckRun>({ do: 'check', pages: numbers, told, check } satisfies LaneCall)
  }

  /** See {@link Lane.release}. */
  release(path: readonly Stretch[]): void {
    this.#client.tell({ do: 'release', path } satisfies LaneCall)
  }

  /** See {@link Lane.close}. */
  close(): void {
    this.#stop()
  }
}

/** Serves a lane to an `explore` that is in another thread: the program of a Worker. @param host - makes the machines */
export function serveLane(port: ThreadPort, host: ClusterHost): void {
  const stop = new AbortController()
  let lane: ClusterLane | undefined
  const known = new Map<number, Uint8Array>()
  const answer = async (call: Exclude<LaneCall, { readonly do: 'close' }>): Promise<object> => {
    if (call.do === 'start') {
      const { description, seed, stateBytes } = call
      lane = await ClusterLane.start(description, seed, host, { stop, ...(stateBytes !== undefined && { stateBytes }) })
      return { begin: lane.begin }
    }
    if (call.do === 'run') return lane!.run(call.branch)
    if (call.do === 'work') return lane!.work()
    if (call.do === 'check') {
      for (const [number, page] of call.told) known.set(number, page)
      const pages = new Map([...call.pages].map(([at, number]) => [at, known.get(number)!]))
      return lane!.check(pages, call.check)
    }
    if (call.do === 'stretch') return lane!.stretch(call.path)
    if (call.do === 'mend') return lane!.mend(call.path)
    lane!.release(call.path)
    return {}
  }
  let queue = Promise.resolve()
  const hear = (call: LaneCall): void => {
    // A branch that runs ends by itself, with an answer. Machines end with the thread: to free their memory one by one takes seconds.
    if (call.do === 'close') stop.abort()
    else
      queue = queue.then(async () =>
        port.post([await answer(call).catch((error: unknown) => ({ error: tellError(error) }))]),
      )
  }
  port.onMessage((message) => {
    for (const call of message as readonly LaneCall[]) hear(call)
  })
}
