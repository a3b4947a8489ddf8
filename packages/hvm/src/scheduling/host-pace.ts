import type { Sleeper } from '../domain-options.ts'
import { MOST_CALLS, TURN } from './turn-runner.ts'

/** The longest turn of a vCPU that shares the thread with no other: not much longer than two looks at the timers. */
const LONGEST_TURN = MOST_CALLS
/** The longest turn while turns take next to no time: compiled loops, and string instructions that copy a page at a time. */
const LONGEST_QUICK_TURN = 32 * TURN
/** A turn shorter than this may be doubled; a turn longer than four times this is halved. */
const QUICK_TURN_NS = 50_000
/** The shortest turn, of instructions that take very long. */
const SHORTEST_TURN = 256
/** Host time between two visits to the event loop. */
const EVENT_LOOP_NS = 4_000_000
/** Executions of PAUSE between two looks at the host's clock. */
const SPINS = 16
/** Host time between two visits to the event loop while a guest does nothing but spin. */
const SPINNING_NS = 100_000
/** A turn that takes longer than this is too long, and one that takes less than a quarter may be longer. */
const LONG_TURN_NS = 8_000_000
/** Instructions between two looks at the host's clock, which takes as long as a round may. */
export const LOOK = 4096

/** Decides, by the host's clock, when the event loop has its turn and how long the vCPUs' turns are. */
export class HostPace {
  readonly #vcpus: { readonly length: number }
  readonly #sleeper: Sleeper
  /** Time has passed while nothing ran. */
  slept = true
  /** Instructions, including the rounds' cost, since the last look at the host's clock. */
  unseen = 0
  /** A turn has been used up since the host's clock was looked at. */
  usedUp = false
  /** Instructions of a turn, as long as they do not take too long. */
  turn: number = TURN
  /** Whether a guest spins, so that the event loop gets a turn before the guest's next one. */
  spins = false
  /** Executions of PAUSE since the host's clock was looked at for their sake. */
  #spins = 0
  /** When the event loop is to have its turn, on the host's clock. */
  #nextVisit = 0
  /** When the host's clock was looked at last. */
  #looked = 0

  /** @param vcpus - vCPUs that share the thread; may still be empty */
  constructor(vcpus: { readonly length: number }, sleeper: Sleeper) {
    this.#vcpus = vcpus
    this.#sleeper = sleeper
  }

  /** Lets host time pass: see `Sleeper.sleep`. */
  async sleep(ms: number): Promise<void> {
    await this.#sleeper.sleep(ms)
    this.slept = true
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
    else this.#adjust(now - this.#looked)
    this.#looked = now
    this.slept = false
    this.spins = false
    this.usedUp = false
    this.unseen = 0
    return now >= this.#nextVisit
  }

  /** Timers have done their work, which may have moved the guest's time on: no turn took that long. @param now - nanoseconds */
  expired(now: number): void {
    this.#looked = now
  }

  /**
   * PAUSE has been executed. A guest that waits for a disk in a loop has it the sooner, the sooner the event loop does.
   *
   * @param clock - the host's, in nanoseconds
   * @returns whether the vCPU's turn is to end for the event loop's
   */
  noteSpin(clock: { now(): number }): boolean {
    if (++this.#spins < SPINS) return false
    this.#spins = 0
    this.spins ||= clock.now() >= this.#nextVisit - EVENT_LOOP_NS + SPINNING_NS
    return this.spins
  }

  /** @param took - nanoseconds since the last look */
  #adjust(took: number): void {
    const { turn } = this
    const isAlone = this.#vcpus.length === 1
    const longest = isAlone ? LONGEST_TURN : TURN
    if (took > LONG_TURN_NS) this.turn = Math.max(SHORTEST_TURN, turn >> 2)
    else if (turn < longest) {
      if (took < LONG_TURN_NS / 4) this.turn = Math.min(longest, turn << 1)
    } else if (took > 4 * QUICK_TURN_NS) this.turn = Math.max(longest, turn >> 1)
    else if (isAlone && took < QUICK_TURN_NS && this.usedUp) this.turn = Math.min(LONGEST_QUICK_TURN, turn << 1)
  }
}
