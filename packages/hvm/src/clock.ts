import type { Clock } from '@retrap/device'

/** The host's time, in nanoseconds from any origin; never goes back. */
export type HostClock = () => number

/** A domain's virtual time. Nanoseconds from power-on. */
export interface DomainClock extends Clock {
  /** True if time is derived from what the guest executes, so that two runs of one input agree. */
  readonly deterministic: boolean
  /** Instructions have retired. */
  advance(instructions: number): void
  /** All vCPUs wait: time goes on to `deadlineNs`, as far as the clock lets it. */
  skipTo(deadlineNs: number): void
}

/** Follows the host's clock. */
export class RealClock implements DomainClock {
  readonly deterministic = false
  readonly #host: HostClock
  readonly #origin: number

  constructor(host: HostClock) {
    this.#host = host
    this.#origin = host()
  }

  now(): number {
    return this.#host() - this.#origin
  }

  advance(): void {
    // Time passes by itself.
  }

  skipTo(): void {
    // It cannot be hurried.
  }
}

/** Each retired instruction takes a fixed time; waiting takes none. */
export class DeterministicClock implements DomainClock {
  readonly deterministic = true
  readonly #nsPerInstruction: number
  #ns = 0

  /** @param nsPerInstruction - default 1: a processor of 1,000 MIPS */
  constructor(nsPerInstruction = 1) {
    this.#nsPerInstruction = nsPerInstruction
  }

  now(): number {
    return this.#ns
  }

  advance(instructions: number): void {
    this.#ns += instructions * this.#nsPerInstruction
  }

  skipTo(deadlineNs: number): void {
    if (deadlineNs > this.#ns) this.#ns = deadlineNs
  }
}
