import { Stateful } from '@retrap/device'

/** Fraction of the period between two late edges. */
const CATCH_UP = 32
/** A host that was away for longer than a second gives the edges of the last second only. */
const LIMIT_SECONDS = 1
const LIMIT_EDGES = 1000

/**
 * The pending edges of a periodic timer's interrupt line.
 *
 * An interrupt controller has one bit for an edge: two that come before the guest takes the first are one to it. When the
 * host was busy and several periods have passed at one look, their edges are therefore given one by one, a 32nd of the
 * period apart in virtual time, until none is pending. A kernel that counts ticks to see whether its timer works, or to keep
 * the time of day, so gets all of them.
 */
export class LateEdges extends Stateful {
  readonly #ticksPerSecond: number
  /** Number of pending edges, and the earliest tick at which an edge may be given. */
  readonly #r = this.keeps({ owed: 0, notBefore: 0 })

  /** @param ticksPerSecond - rate of the ticks that `take` counts in */
  constructor(ticksPerSecond: number) {
    super()
    this.#ticksPerSecond = ticksPerSecond
  }

  /**
   * Adds edges that have become due, and emits one if its time has come. An edge that is not late is emitted at once.
   *
   * @param count - edges since the last call
   * @param period - ticks between two edges; 0: not periodic, so no edge is late
   * @returns whether the line is to have an edge now
   */
  take(count: number, tick: number, period: number): boolean {
    if (period === 0) {
      this.forget()
      return count > 0
    }
    const onTime = this.#r.owed === 0 && count === 1
    if (count > 0) {
      const limit = Math.min(LIMIT_EDGES, Math.ceil((LIMIT_SECONDS * this.#ticksPerSecond) / period))
      this.#r.owed = Math.min(this.#r.owed + count, limit)
    }
    if (this.#r.owed === 0 || (!onTime && tick < this.#r.notBefore)) return false
    this.#r.owed--
    this.#r.notBefore = tick + Math.ceil(period / CATCH_UP)
    return true
  }

  /** The tick at which the next pending edge may be given; Infinity: none is pending. */
  get next(): number {
    return this.#r.owed === 0 ? Infinity : this.#r.notBefore
  }

  /** Drops the pending edges: the timer has been set anew. */
  forget(): void {
    this.#r.owed = 0
    this.#r.notBefore = 0
  }

  /** The ticks are counted from an origin that is this many ticks later. */
  shift(ticks: number): void {
    this.#r.notBefore = Math.max(0, this.#r.notBefore - ticks)
  }
}
