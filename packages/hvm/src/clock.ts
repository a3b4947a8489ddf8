import type { Clock } from '@retrap/device'

/** The host's time, in nanoseconds from any origin; never goes back. */
export type HostClock = () => number

/** 64-bit nanoseconds as two u32 words; the caller owns the object. */
export interface Nanoseconds {
  /** Bits 31:0. */
  lo: number
  /** Bits 63:32. */
  hi: number
}

/** A domain's virtual time. Nanoseconds from power-on. */
export interface DomainClock extends Clock {
  /** True if time is derived from what the guest executes, so that two runs of one input agree. */
  readonly deterministic: boolean
  /** The time as a 64-bit count of nanoseconds, exact for 584 years. */
  read(into: Nanoseconds): void
  /** Instructions have retired. */
  advance(instructions: number): void
  /** All vCPUs wait: time goes on to `deadlineNs`, as far as the clock lets it. */
  skipTo(deadlineNs: number): void
}

/** Follows the host's clock. */
export class RealClock implements DomainClock {
  /** Its time passes by itself. */
  readonly deterministic = false
  readonly #host: HostClock
  readonly #origin: number

  constructor(host: HostClock) {
    this.#host = host
    this.#origin = host()
  }

  /** Nanoseconds from power-on. */
  now(): number {
    return this.#host() - this.#origin
  }

  /** The same as a 64-bit count, in two words. */
  read(into: Nanoseconds): void {
    split(0, this.now(), into)
  }

  /** Does nothing: time passes by itself. */
  advance(): void {}

  /** Does nothing: the host's time cannot be hurried. */
  skipTo(): void {}
}

/**
 * Each retired instruction takes a fixed time; waiting takes none.
 *
 * Waiting can bring a guest to any time at once: a timer may be set for the year 2500. The time is therefore kept as whole
 * spans and a rest, so that instructions move it on exactly however late it is. `now` is rounded above 2^53 ns.
 */
export class DeterministicClock implements DomainClock {
  /** Its time follows from what the guest executes. */
  readonly deterministic = true
  readonly #nsPerInstruction: number
  #spans = 0
  /** Less than a span. */
  #ns = 0

  /** @param nsPerInstruction - default 1: a processor of 1,000 MIPS */
  constructor(nsPerInstruction = 1) {
    this.#nsPerInstruction = nsPerInstruction
  }

  /** Nanoseconds from power-on; rounded above 2^53. */
  now(): number {
    return this.#spans === 0 ? this.#ns : this.#spans * SPAN_NS + this.#ns
  }

  /** The same as a 64-bit count, in two words. */
  read(into: Nanoseconds): void {
    split(this.#spans, this.#ns, into)
  }

  /** Adds the time of retired instructions. */
  advance(instructions: number): void {
    this.#ns += instructions * this.#nsPerInstruction
    while (this.#ns >= SPAN_NS) {
      this.#ns -= SPAN_NS
      this.#spans++
    }
  }

  /** Goes on to a time, unless it has passed. */
  skipTo(deadlineNs: number): void {
    if (deadlineNs <= this.now()) return
    this.#spans = Math.floor(deadlineNs / SPAN_NS)
    this.#ns = deadlineNs - this.#spans * SPAN_NS
  }
}

/** 13 days: a rest below it, and a turn's time on top of that, are exact in a number. */
const SPAN_NS = 2 ** 50
const SPAN_HIGH_WORDS = SPAN_NS / 2 ** 32

function split(spans: number, ns: number, into: Nanoseconds): void {
  into.lo = Math.floor(ns) >>> 0
  into.hi = (spans * SPAN_HIGH_WORDS + Math.floor(ns / 2 ** 32)) >>> 0
}
