/** The sender's duty after an acknowledgment. */
export type CongestionAction = 'none' | 'retransmit'

const MOST_WINDOW = 1 << 24
/** RFC 5681 §3.2: the third duplicate says that a segment is lost. */
const DUPLICATES = 3

/**
 * How much may be in flight: slow start, congestion avoidance, fast retransmit and NewReno's fast recovery.
 *
 * Source: RFC 5681 §3; RFC 6582 §3.2; RFC 6928 §2 (initial window); RFC 3042 §2 (limited transmit); RFC 3465 §2.2.
 */
export class Congestion {
  #mss: number
  #window: number
  #threshold: number = MOST_WINDOW
  #duplicates = 0
  #recovering = false
  /** Highest position sent when a loss was last detected; a loss below it belongs to the same event. */
  #recover = -2

  constructor(mss: number) {
    this.#mss = mss
    this.#window = initialWindow(mss)
  }

  /** Most bytes in flight. */
  get window(): number {
    // The first two duplicates each release a new segment, so that a short flight can get a third duplicate.
    return this.#recovering ? this.#window : this.#window + this.#duplicates * this.#mss
  }

  /** The segment size is known from the peer's SYN. */
  setMss(mss: number): void {
    this.#mss = mss
    this.#window = initialWindow(mss)
  }

  /**
   * New data was acknowledged.
   *
   * @param bytes - number of acknowledged bytes
   * @param una - first position that is not acknowledged now
   * @param flight - bytes still in flight
   */
  acknowledged(bytes: number, una: number, flight: number): CongestionAction {
    this.#duplicates = 0
    if (this.#recovering && una < this.#recover) {
      // A partial acknowledgment: the next segment is lost too.
      this.#window = Math.max(this.#mss, this.#window - bytes) + (bytes >= this.#mss ? this.#mss : 0)
      return 'retransmit'
    }
    if (this.#recovering) {
      this.#recovering = false
      this.#window = Math.min(this.#threshold, Math.max(flight, this.#mss) + this.#mss)
      return 'none'
    }
    const growth =
      this.#window < this.#threshold
        ? Math.min(bytes, 2 * this.#mss)
        : Math.max(1, Math.floor((this.#mss * Math.min(bytes, 2 * this.#mss)) / this.#window))
    this.#window = Math.min(MOST_WINDOW, this.#window + growth)
    return 'none'
  }

  /** Takes a duplicate acknowledgment. */
  duplicate(una: number, next: number): CongestionAction {
    if (this.#recovering) {
      this.#window = Math.min(MOST_WINDOW, this.#window + this.#mss)
      return 'none'
    }
    this.#duplicates++
    if (this.#duplicates < DUPLICATES) return 'none'
    this.#duplicates = 0
    if (una <= this.#recover) return 'none'
    this.#lost(next - una, next)
    this.#recovering = true
    this.#window = this.#threshold + DUPLICATES * this.#mss
    return 'retransmit'
  }

  /** The retransmission timer has fired. */
  timedOut(una: number, next: number): void {
    this.#lost(next - una, next)
    this.#recovering = false
    this.#duplicates = 0
    this.#window = this.#mss
  }

  #lost(flight: number, next: number): void {
    this.#threshold = Math.max(Math.floor(flight / 2), 2 * this.#mss)
    this.#recover = next
  }
}

const initialWindow = (mss: number): number => Math.min(10 * mss, Math.max(2 * mss, 14_600))
