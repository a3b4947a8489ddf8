import type { DomainClock, OutsideInputs } from '@retrap/hvm'

type Deadline = Parameters<NonNullable<OutsideInputs['early']>>[0]

/** Time goes on to a timer that is due sooner than this, in nanoseconds: the host's own timers are no finer. */
const SOON_NS = 1_000_000

/**
 * Keeps a guest's deterministic time from running ahead of the host's, while that is wanted: a guest that waits for a timer waits
 * as long for the host. Time that the guest has lost, because it executes slowly or stood still, is not made up for.
 */
export class HostPacing implements OutsideInputs {
  readonly alone = false
  /** Whether the guest's time keeps to the host's. */
  isOn = false
  readonly #clock: DomainClock
  /** Guest's time less that of the host, in nanoseconds; undefined: the machine has not waited in this run. */
  #lead: number | undefined
  #waits = false

  constructor(clock: DomainClock) {
    this.#clock = clock
  }

  /** The machine has stood still. To be called before each run. */
  restart(): void {
    this.#lead = undefined
    this.#waits = false
  }

  /** The guest's time that the host's allows now. */
  get #allowed(): number {
    const now = performance.now() * 1e6
    const lead = this.#clock.now() - now
    this.#lead = Math.min(this.#lead ?? lead, lead)
    return now + this.#lead
  }

  early({ lo, hi }: Deadline): number {
    this.#waits = false
    if (!this.isOn) return 0
    const left = hi * 2 ** 32 + lo - this.#allowed
    if (left < SOON_NS) return 0
    this.#waits = true
    return left / 1e6
  }

  /** The vCPUs have waited, and an input may have come: it comes at the time that it is now. */
  begin(): null {
    if (!this.#waits) return null
    this.#waits = false
    const now = performance.now() * 1e6 + (this.#lead ?? 0)
    this.#clock.skipTo({ lo: now >>> 0, hi: Math.floor(now / 2 ** 32) })
    return null
  }

  idle(): null {
    return null
  }

  waits(): void {}

  budget(most: number): number {
    return most
  }
}
