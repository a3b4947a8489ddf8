import { type Branch, Cluster } from '../cluster.ts'
import type { ClusterDescription } from '../description.ts'
import { ClusterError } from '../errors.ts'
import type { ClusterHost } from '../host.ts'
import { shapesOf } from '../novelty.ts'
import type { ClusterResult } from '../result.ts'

/** A branch that has ended. */
export interface BranchRun {
  /** Its end. */
  readonly result: ClusterResult
  /** Shapes of lines that it has reached, and edges between them, each with the instant at which it came first. */
  readonly reached: readonly (readonly [what: string, ns: number])[]
}

/** A place where branches of a cluster run, one after another: this thread, or another one. */
export interface Lane {
  /** The instant at which all is ready, from which each branch goes on. */
  readonly begin: number
  /** Runs a branch, after those before it. @throws errors of a host */
  run(branch: Branch): Promise<BranchRun>
  /** Ends the branch that runs, and its machines: those of another thread end with the thread. */
  close(): void
}

/** A lane in this thread. */
export class ClusterLane implements Lane {
  readonly #cluster: Cluster
  readonly #stop: AbortController

  private constructor(cluster: Cluster, stop: AbortController) {
    this.#cluster = cluster
    this.#stop = stop
  }

  /**
   * Starts a cluster, and gets its workload ready.
   *
   * @throws ClusterError for a cluster that cannot be made, or that fails before there are faults; errors of `host`
   */
  static async start(
    description: ClusterDescription,
    seed: number,
    host: ClusterHost,
    stop: AbortController = new AbortController(),
  ): Promise<ClusterLane> {
    const cluster = await Cluster.start(description, seed, host, { signal: stop.signal })
    if (cluster.failure === undefined) return new ClusterLane(cluster, stop)
    cluster.close()
    throw new ClusterError('ERR_MACHINE', `it fails before there are faults: ${cluster.failure}`)
  }

  /** See {@link Lane.begin}. */
  get begin(): number {
    return this.#cluster.now
  }

  /** See {@link Lane.run}. */
  async run(branch: Branch): Promise<BranchRun> {
    const { hear, reached } = shapesOf()
    const fork = await this.#cluster.fork({ onEvent: hear, signal: this.#stop.signal })
    try {
      const result = await fork.finish(branch)
      return { result, reached: reached() }
    } finally {
      fork.close()
    }
  }

  /** See {@link Lane.close}. */
  close(): void {
    this.#stop.abort()
    this.#cluster.close()
  }
}

/** Lanes of one cluster: a branch runs in one that is free, or waits for it. */
export class LanePool {
  readonly #free: Lane[]
  readonly #waiting: ((lane: Lane) => void)[] = []

  constructor(lanes: readonly Lane[]) {
    this.#free = [...lanes]
  }

  /** Lanes with nothing to do. */
  get idle(): number {
    return this.#free.length
  }

  /** Runs a branch. A failure that nobody waits for is none of the process. @throws errors of the lane */
  run(branch: Branch): Promise<BranchRun> {
    const run = this.#run(branch)
    run.catch(() => undefined)
    return run
  }

  async #run(branch: Branch): Promise<BranchRun> {
    const lane = this.#free.shift() ?? (await new Promise<Lane>((resolve) => this.#waiting.push(resolve)))
    try {
      return await lane.run(branch)
    } finally {
      const next = this.#waiting.shift()
      if (next === undefined) this.#free.push(lane)
      else next(lane)
    }
  }
}
