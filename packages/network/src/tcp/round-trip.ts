/** The retransmission timeout's limits. RFC 6298 §2.4 and §2.5. */
const LEAST_MS = 1000
const MOST_MS = 60_000
/** RFC 6298 §2.3, G. */
const GRANULARITY_MS = 10

/** Measures round trips and derives the retransmission timeout. Source: RFC 6298 §2, §5. */
export class RoundTrip {
  #smoothed: number | null = null
  #variation = 0
  #timeout = LEAST_MS

  /** How long to wait for an acknowledgment, in milliseconds. */
  get timeoutMs(): number {
    return this.#timeout
  }

  /** Takes the time that an acknowledgment took, of a segment that was sent once (Karn's algorithm). */
  sample(milliseconds: number): void {
    if (this.#smoothed === null) {
      this.#smoothed = milliseconds
      this.#variation = milliseconds / 2
    } else {
      this.#variation += (Math.abs(this.#smoothed - milliseconds) - this.#variation) / 4
      this.#smoothed += (milliseconds - this.#smoothed) / 8
    }
    this.#timeout = limit(this.#smoothed + Math.max(GRANULARITY_MS, 4 * this.#variation))
  }

  /** Doubles the timeout: nothing was heard. */
  backOff(): void {
    this.#timeout = limit(2 * this.#timeout)
  }
}

const limit = (milliseconds: number): number => Math.min(MOST_MS, Math.max(LEAST_MS, milliseconds))
