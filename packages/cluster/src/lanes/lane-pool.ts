import type { Branch } from '../cluster.ts'
import type { BranchRun, Lane } from './lane.ts'

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
