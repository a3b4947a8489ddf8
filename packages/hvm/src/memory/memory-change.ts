import type { P2m } from '@retrap/p2m'
import { OUTSIDE, type EpochTicket, type Invalidations } from './invalidation.ts'
import type { VirtualCpu } from '../virtual-cpu.ts'

/** A change that has been made to a guest's map from outside. */
export interface MemoryChange<T> {
  /** The change's own result. */
  readonly result: T
  /** Resolves when every device model has released the removed memory. */
  readonly ticket: EpochTicket
}

/** The run of a domain, as {@link MemoryChanges} needs it: which of its vCPUs executes. */
export interface VcpuRun {
  /** The vCPU that is in the middle of executing: between two instructions none is, nor while all wait for devices. */
  readonly current: Pick<VirtualCpu, 'cpu'> | null
  /** Whether vCPUs execute in threads of their own. */
  readonly areThreadsRunning?: boolean
  /** Makes the run loop look. */
  wake?(): void
}

/**
 * Changes of a guest's map by a toolstack or a device model: made while every vCPU is between two instructions or waits
 * for a device, so that none goes on with what it has translated before. Every vCPU sends a notice of the frames that they release.
 */
export class MemoryChanges {
  readonly #p2m: P2m
  readonly #invalidations: Invalidations
  readonly #run: VcpuRun
  #waiting: (() => void)[] = []
  /** A change waits for the vCPUs to stop. */
  isWaiting = false

  constructor(p2m: P2m, invalidations: Invalidations, run: VcpuRun) {
    this.#p2m = p2m
    this.#invalidations = invalidations
    this.#run = run
  }

  /** Makes a change as soon as no vCPU executes, perhaps at once. An error of the change rejects the promise. */
  request<T>(change: (p2m: P2m) => T): Promise<MemoryChange<T>> {
    if (this.#run.current === null && this.#run.areThreadsRunning !== true) return promised(() => this.#make(change))
    return new Promise((resolve) => {
      this.isWaiting = true
      this.#waiting.push(() => resolve(promised(() => this.#make(change))))
      if (this.#run.areThreadsRunning === true) this.#run.wake?.()
      this.#run.current?.cpu.stop()
    })
  }

  /** Makes the waiting changes: all vCPUs have stopped executing. */
  stopped(): void {
    const waiting = this.#waiting
    this.isWaiting = false
    this.#waiting = []
    for (const make of waiting) make()
  }

  #make<T>(change: (p2m: P2m) => T): MemoryChange<T> {
    const before = this.#invalidations.enter(OUTSIDE)
    try {
      return { result: change(this.#p2m), ticket: this.#invalidations.ticket() }
    } finally {
      this.#invalidations.leave(before)
    }
  }
}

function promised<T>(action: () => T): Promise<T> {
  try {
    return Promise.resolve(action())
  } catch (error) {
    return Promise.reject(error as Error)
  }
}
