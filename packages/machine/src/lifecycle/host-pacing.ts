import type { Domain, OutsideInputs } from '@retrap/hvm'

/** The part of a domain that is paced. */
export type PacedDomain = Pick<Domain, 'clock' | 'timers' | 'vcpus'>

/** Timers due within this time, in nanoseconds, expire at once: the host's timers are no finer. */
const SOON_NS = 1_000_000

/** Nanoseconds as two words. */
const wordsOf = (ns: number): { lo: number; hi: number } => ({ lo: ns >>> 0, hi: Math.floor(ns / 2 ** 32) })

/**
 * Keeps a guest's deterministic time from running ahead of the host's, while that is wanted: a guest that waits for a timer waits
 * as long for the host. A run without inputs is the same as without pacing, bit for bit. An input that ends a wait enters at the
 * time that it is then. Time that the guest has lost, because it executes slowly or stood still, is not made up for.
 */
export class HostPacing implements OutsideInputs {
  /** See `OutsideInputs`: no instruction is executed alone. */
  readonly alone = false
  /** Whether the guest's time keeps to the host's. */
  isOn: boolean = true
  readonly #domain: PacedDomain
  /** Guest's time less that of the host, in nanoseconds; undefined: the machine has not waited in this run. */
  #lead: number | undefined
  /** The guest's time that the machine waits for, in nanoseconds; undefined: it does not wait. */
  #until: number | undefined

  /** @param domain - a domain on deterministic time: its `takeInputs` takes the pacing */
  constructor(domain: PacedDomain) {
    this.#domain = domain
  }

  /** The machine has run without pacing. To be called before it is paced again. */
  restart(): void {
    this.#lead = undefined
    this.#until = undefined
  }

  /** Returns how long to wait for the host before time advances to a timer. */
  early({ lo, hi }: { readonly lo: number; readonly hi: number }): number {
    const until = hi * 2 ** 32 + lo
    const wasWaiting = this.#until === until
    this.#until = undefined
    if (!this.isOn) return 0
    const now = performance.now() * 1e6
    // If the wait continues, the guest keeps the time that it has already waited.
    const lead = this.#domain.clock.now() - now
    if (this.#lead === undefined || (lead < this.#lead && !wasWaiting)) this.#lead = lead
    const left = until - now - this.#lead
    if (left < SOON_NS) return 0
    this.#until = until
    return left / 1e6
  }

  /** Returns the time of an input that arrives while the machine waits; undefined if it does not wait. Works once per wait. */
  present(): { readonly lo: number; readonly hi: number } | undefined {
    const until = this.#until
    this.#until = undefined
    return until === undefined ? undefined : wordsOf(Math.min(until, performance.now() * 1e6 + this.#lead!))
  }

  /** Begins a round: after an input ended a wait, guest time catches up with the host's. */
  begin(): null {
    if (this.#until === undefined || !this.#hasInput(this.#until)) return null
    this.#domain.clock.skipTo(this.present()!)
    return null
  }

  /** Whether an event ended the wait, other than its deadline or a pause: a vCPU has work, or there is another deadline. */
  #hasInput(until: number): boolean {
    const { vcpus, timers } = this.#domain
    return vcpus.some(({ dormant }) => !dormant) || timers.nextDeadlineNs !== until
  }

  /** See `OutsideInputs`: no promise, since events wake the domain. */
  idle(): null {
    return null
  }

  /** See `OutsideInputs`. */
  waits(): void {}

  /** See `OutsideInputs`: turns are as long as they are. */
  budget(most: number): number {
    return most
  }
}

/** Returns the pacing of a machine whose options ask for it; null for other machines. */
export const pacingOf = (
  domain: PacedDomain & { readonly clock: { readonly deterministic: boolean } },
  keepsPace: boolean | undefined,
): HostPacing | undefined => (keepsPace === true && domain.clock.deterministic ? new HostPacing(domain) : undefined)
