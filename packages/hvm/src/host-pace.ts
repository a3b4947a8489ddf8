import { TURN } from './virtual-rounds.ts'

/** The longest turn of a vCPU that shares the thread with no other: not much longer than two looks at the timers. */
const LONGEST_TURN = 4 * TURN
/** The shortest turn, of instructions that take very long. */
const SHORTEST_TURN = 256
/** Host time between two visits to the event loop. */
const EVENT_LOOP_NS = 4_000_000
/** A turn that takes longer than this is too long, and one that takes less than a quarter may be longer. */
const LONG_TURN_NS = 8_000_000
/** Instructions between two looks at the host's clock, which takes as long as a round may. */
export const LOOK = 4096

/** Decides, by the host's clock, when the event loop has its turn and how long the vCPUs' turns are. */
export class HostPace {
  readonly #longestTurn: number
  /** Time has passed while nothing ran. */
  slept = true
  /** Instructions, and what rounds count for, since the host's clock was looked at. */
  unseen = 0
  /** Instructions of a turn, as long as they do not take too long. */
  turn: number = TURN
  /** When the event loop is to have its turn, on the host's clock. */
  #nextVisit = 0
  /** When the host's clock was looked at last. */
  #looked = 0

  /** @param vcpus - vCPUs that share the thread */
  constructor(vcpus: number) {
    this.#longestTurn = vcpus === 1 ? LONGEST_TURN : TURN
  }

  /** Whether the host's clock is to be looked at. */
  get lookDue(): boolean {
    return this.slept || this.unseen >= LOOK
  }

  /**
   * Takes a look at the host's clock.
   *
   * @param now - nanoseconds
   * @returns whether the event loop is to have its turn
   */
  look(now: number): boolean {
    if (this.slept) this.#nextVisit = now + EVENT_LOOP_NS
    else {
      const took = now - this.#looked
      if (took > LONG_TURN_NS) this.turn = Math.max(SHORTEST_TURN, this.turn >> 2)
      else if (took < LONG_TURN_NS / 4) this.turn = Math.min(this.#longestTurn, this.turn << 1)
    }
    this.#looked = now
    this.slept = false
    this.unseen = 0
    return now >= this.#nextVisit
  }
}
