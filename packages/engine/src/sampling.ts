import type { Turn } from './turn.ts'

/**
 * Instructions before a sample that are executed one by one. Generated code stops at backward branches and page changes
 * alone: without these steps, straight code between two of them would never be seen. The end of longer
 * straight code is sampled less often than it is executed.
 */
const SAMPLE_APPROACH = 128

/** Takes samples: calls back when a turn has cost so much, with the processor between two instructions. */
export class Sampling {
  readonly #turn: Turn
  /** Null: no sample is asked for. */
  #sample: (() => void) | null = null
  /** The {@link Turn.cost} at which it is called. */
  #at = 0

  constructor(turn: Turn) {
    this.#turn = turn
  }

  /** Whether a sample is asked for. */
  get asked(): boolean {
    return this.#sample !== null
  }

  /** Calls `sample` once when the cost has grown; by profilers. */
  after(cost: number, sample: () => void): void {
    this.#at = this.#turn.cost + cost
    this.#sample = sample
  }

  /** Takes the sample if it is due. @returns whether instructions are executed one by one on the way to it */
  nears(): boolean {
    const left = this.#at - this.#turn.cost
    if (left > 0) return left <= SAMPLE_APPROACH
    const sample = this.#sample
    this.#sample = null
    sample?.()
    return false
  }

  /** Instructions that may be executed among others before the next one is executed alone. */
  get slice(): number {
    return Math.max(1, this.#at - this.#turn.cost - SAMPLE_APPROACH)
  }
}
