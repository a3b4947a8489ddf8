import { type Branch, Cluster } from '../cluster.ts'
import { Disk, type DiskLog, type DiskPages } from '../disk.ts'
import type { ClusterDescription } from '../description.ts'
import type { Stretch } from '../draw-faults.ts'
import type { Seed } from '../draws.ts'
import { ClusterError } from '../errors.ts'
import type { ClusterHost } from '../host.ts'
import { shapesOf } from '../novelty.ts'
import { type Property, propertiesSince } from '../reports.ts'
import type { ClusterResult } from '../result.ts'

/** A branch that has ended. */
export interface BranchRun {
  /** Its end. */
  readonly result: ClusterResult
  /** Shapes of lines that it has reached, and edges between them, each with the instant at which it came first. */
  readonly reached: readonly (readonly [what: string, ns: number])[]
}

/** A stretch that has ended. */
export interface StretchRun {
  /** The end of the path that the stretch is the last of. */
  readonly result: ClusterResult
  /** Properties that were reported in the stretch. */
  readonly properties: readonly Property[]
  /** Shapes of lines, edges between them, numbers and pages of code that were reached in it. */
  readonly reached: readonly string[]
  /** Identifies the state at its end: equal states have equal marks. */
  readonly mark: string
}

/** The work of a crash test, on one machine with a disk. */
export interface WorkRun {
  /** The end, with the check behind the work. */
  readonly result: ClusterResult
  /** The requests to the disk. Instants are the cluster's. */
  readonly log: DiskLog
  /** The instant at which the work began. */
  readonly begin: number
  /** Lines of the port for reports, by instants. */
  readonly reports: readonly { readonly ns: number; readonly text: string }[]
}

/** A check of a disk after a crash. */
export interface CheckRun {
  /** Exit code; undefined: the check did not end, or the machine went off. */
  readonly code: number | undefined
  /** Lines of the port for reports. */
  readonly reports: readonly string[]
  /** The last lines of its outputs. */
  readonly output: readonly string[]
}

/** A program that checks a disk, the machine that runs it, and the nanoseconds that it has. */
export interface DiskCheck {
  /** Name of the machine. */
  readonly machine: string
  /** The program and its arguments. */
  readonly words: readonly string[]
  /** Nanoseconds. */
  readonly limit: number
}

/** A place where disks of a machine are checked, one after another: this thread, or another one. */
export interface CrashLane {
  /** Runs the drivers and the check of a machine with a disk, without faults. @throws errors of a host */
  work(): Promise<WorkRun>
  /** Has the machine mount a disk with these pages and check it, as if it had just started. @throws errors of a host */
  check(pages: DiskPages, check: DiskCheck): Promise<CheckRun>
  /** Ends the check that runs, and its machine. */
  close(): void
}

/** A place where branches of a cluster run, one after another: this thread, or another one. */
export interface Lane {
  /** The instant at which all is ready, from which each branch goes on. */
  readonly begin: number
  /** Runs a branch, after those before it. @throws errors of a host */
  run(branch: Branch): Promise<BranchRun>
  /** Runs the last stretch of a path from the state at the end of the others, and keeps its end. @throws errors of a host */
  stretch(path: readonly Stretch[]): Promise<StretchRun>
  /** Forks the state at the end of a path; in the fork all is mended, and the check decides. @throws errors of a host */
  mend(path: readonly Stretch[]): Promise<StretchRun>
  /** The state at the end of a path is not needed any more. */
  release(path: readonly Stretch[]): void
  /** Ends the branch that runs, and its machines: those of another thread end with the thread. */
  close(): void
}

/** A state at which a cluster rests. */
interface State {
  readonly cluster: Cluster
  /** The last shape of each machine's lines. */
  readonly last: ReadonlyMap<string, string>
}

/** The options of a lane. */
export interface LaneOptions {
  /** Ends the run of a branch or a stretch. */
  readonly stop?: AbortController
  /** Bytes of memory for states. The least recently used states are dropped, and made again where a path needs them. */
  readonly stateBytes?: number
}

/** Memory that a stretch is to have before it begins: a machine whose memory is used up ends. */
const LEAST_LEFT_BYTES = 256 << 20
const USUAL_STATE_BYTES = 4 * 2 ** 30
/** The number of a crash test's machine. */
const MACHINE = 0
/** Lines of a check's output that are kept, and time for a machine to unmount its disk. */
const MOST_OUTPUT = 20
const MOST_TEXT = 4096
const CATCH_NS = 60e9

/** A lane in this thread. */
export class ClusterLane implements Lane, CrashLane {
  readonly #root: State
  readonly #stop: AbortController
  readonly #stateBytes: number
  /** The machine of a crash test, before its disk is mounted. */
  #caught: Promise<Cluster> | undefined
  /** By their paths, the one that was not used for the longest time first. */
  readonly #states = new Map<string, State>()

  private constructor(cluster: Cluster, stop: AbortController, stateBytes: number) {
    this.#root = { cluster, last: new Map() }
    this.#stop = stop
    this.#stateBytes = stateBytes
  }

  /**
   * Starts a cluster, and gets its workload ready.
   *
   * @throws ClusterError for a cluster that cannot be made, or that fails before there are faults; errors of `host`
   */
  static async start(
    description: ClusterDescription,
    seed: Seed,
    host: ClusterHost,
    { stop = new AbortController(), stateBytes = USUAL_STATE_BYTES }: LaneOptions = {},
  ): Promise<ClusterLane> {
    const cluster = await Cluster.start(description, seed, host, { signal: stop.signal })
    if (cluster.failure === undefined) return new ClusterLane(cluster, stop, stateBytes)
    cluster.close()
    throw new ClusterError('ERR_MACHINE', `it fails before there are faults: ${cluster.failure}`)
  }

  /** See {@link Lane.begin}. */
  get begin(): number {
    return this.#root.cluster.now
  }

  /** See {@link Lane.run}. */
  async run(branch: Branch): Promise<BranchRun> {
    const { hear, reached } = shapesOf()
    const fork = await this.#root.cluster.fork({ onEvent: hear, signal: this.#stop.signal })
    try {
      const result = await fork.finish(branch)
      return { result, reached: reached() }
    } finally {
      fork.close()
    }
  }

  /** See {@link Lane.stretch}. */
  async stretch(path: readonly Stretch[]): Promise<StretchRun> {
    const before = await this.#state(path.slice(0, -1))
    const { state, run } = await this.#fork(before, (cluster) =>
      cluster.finish({ path: path.slice(-1), mended: false }),
    )
    this.#keep(path, state)
    return run
  }

  /** See {@link Lane.mend}. */
  async mend(path: readonly Stretch[]): Promise<StretchRun> {
    const before = await this.#state(path)
    const { state, run } = await this.#fork(before, (cluster) => cluster.mend())
    state.cluster.close()
    return run
  }

  /** See {@link CrashLane.work}. */
  async work(): Promise<WorkRun> {
    const { cluster } = this.#root
    const disk = cluster.disks.get(MACHINE)!.copy() as Disk
    const log = disk.startLog()
    const reports: { readonly ns: number; readonly text: string }[] = []
    const { signal } = this.#stop
    const fork = await cluster.fork({
      ...{ signal, disks: new Map([[MACHINE, disk]]) },
      onEvent: ({ kind, ns, text }) => kind === 'report' && reports.push({ ns, text }),
    })
    try {
      const offset = fork.offsetOf(MACHINE)
      const begin = fork.now
      const result = await fork.finish({ number: 0, faults: [] })
      const later = <T extends { readonly ns: number }>(one: T): T => ({ ...one, ns: one.ns + offset })
      const told = { ...log, writes: log.writes.map(later), flushes: log.flushes.map(later) }
      return { result, log: told, begin, reports }
    } finally {
      fork.close()
    }
  }

  /** See {@link CrashLane.check}. */
  async check(pages: DiskPages, { machine, words, limit }: DiskCheck): Promise<CheckRun> {
    this.#caught ??= this.#catch(machine)
    const caught = await this.#caught
    const { properties } = caught.disks.get(MACHINE) as Disk
    const disk = Disk.of(pages, properties.bytes, 0, '')
    const [reports, output]: [string[], string[]] = [[], []]
    const { signal } = this.#stop
    const fork = await caught.fork({
      ...{ signal, disks: new Map([[MACHINE, disk]]) },
      onEvent: ({ kind, text }) =>
        (kind === 'report' ? reports : kind === 'output' ? output : undefined)?.push(text.slice(0, MOST_TEXT)),
    })
    try {
      fork.guests.get(MACHINE)!.mount!(true)
      return { code: await fork.exec(machine, words, limit), reports, output: output.slice(-MOST_OUTPUT) }
    } finally {
      fork.close()
    }
  }

  async #catch(machine: string): Promise<Cluster> {
    const caught = await this.#root.cluster.fork({ signal: this.#stop.signal })
    caught.guests.get(MACHINE)!.mount!(false)
    await caught.exec(machine, ['/bin/sh', '-c', ':'], CATCH_NS)
    return caught
  }

  /** See {@link Lane.release}. */
  release(path: readonly Stretch[]): void {
    this.#drop(keyOf(path))
  }

  /** See {@link Lane.close}. */
  close(): void {
    this.#stop.abort()
    for (const key of this.#states.keys()) this.#drop(key)
    void this.#caught?.then((caught) => caught.close())
    this.#root.cluster.close()
  }

  /** The state at the end of a path, made once more if it was dropped. */
  async #state(path: readonly Stretch[]): Promise<State> {
    if (path.length === 0) return this.#root
    const known = this.#states.get(keyOf(path))
    if (known === undefined) await this.stretch(path)
    const state = known ?? this.#states.get(keyOf(path))!
    this.#keep(path, state)
    return state
  }

  #keep(path: readonly Stretch[], state: State): void {
    const key = keyOf(path)
    if (this.#states.get(key) !== state) this.#drop(key)
    this.#states.delete(key)
    this.#states.set(key, state)
  }

  #drop(key: string): void {
    this.#states.get(key)?.cluster.close()
    this.#states.delete(key)
  }

  async #fork(
    before: State,
    act: (cluster: Cluster) => Promise<ClusterResult>,
  ): Promise<{ readonly state: State; readonly run: StretchRun }> {
    this.#makeRoom(before)
    const { hear, reached, last } = shapesOf(before.last)
    const code = new Set<string>()
    const { signal } = this.#stop
    const onCode = (page: string): void => void code.add(`code ${page}`)
    const cluster = await before.cluster.fork({ onEvent: hear, onCode, signal })
    try {
      const result = await act(cluster)
      return {
        state: { cluster, last },
        run: {
          result,
          properties: propertiesSince(before.cluster.properties, result.properties),
          reached: [...reached().map(([what]) => what), ...code],
          mark: await cluster.mark(),
        },
      }
    } catch (error) {
      cluster.close()
      throw error
    }
  }

  /** Drops states until there is room for another one. */
  #makeRoom(needed: State): void {
    for (const [key, state] of this.#states) {
      const rooms = [...needed.cluster.guests.values()].map((guest) => guest.room?.() ?? { used: 0, left: Infinity })
      const used = rooms.reduce((sum, room) => sum + room.used, 0)
      if (used <= this.#stateBytes && rooms.every(({ left }) => left >= LEAST_LEFT_BYTES)) return
      if (state !== needed) this.#drop(key)
    }
  }
}

const keyOf = (path: readonly Stretch[]): string => JSON.stringify(path)

/** Lanes of one cluster: work is done in one that is free, or waits for it. */
export class LanePool<L> {
  readonly #free: L[]
  readonly #waiting: ((lane: L) => void)[] = []

  constructor(lanes: readonly L[]) {
    this.#free = [...lanes]
  }

  /** Lanes with nothing to do. */
  get idle(): number {
    return this.#free.length
  }

  /** Does something in a lane. A failure that nobody waits for is none of the process. @throws errors of the lane */
  use<T>(act: (lane: L) => Promise<T>): Promise<T> {
    const run = this.#use(act)
    run.catch(() => undefined)
    return run
  }

  async #use<T>(act: (lane: L) => Promise<T>): Promise<T> {
    const lane = this.#free.shift() ?? (await new Promise<L>((resolve) => this.#waiting.push(resolve)))
    try {
      return await act(lane)
    } finally {
      const next = this.#waiting.shift()
      if (next === undefined) this.#free.push(lane)
      else next(lane)
    }
  }
}
