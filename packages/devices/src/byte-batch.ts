import type { DeviceContext, Timer } from '@retrap/device'

/** Longest that a byte waits for others, in virtual time. */
const BATCH_DELAY_NS = 1_000_000
const BATCH_BYTES = 1024
/** The next microtask. */
const NOW = Promise.resolve()

/**
 * Collects a guest's output bytes, so that the host is called once for many: when a batch is full, a while after its first
 * byte, or on `flush`.
 *
 * On the host's clock that while is a millisecond. On deterministic time it is over when the event loop has its turn: a timer
 * would be an instant at which something happens in the guest's time, or does not where the host has flushed before it.
 */
export class ByteBatch {
  readonly #sink: (bytes: Uint8Array) => void
  readonly #bytes = new Uint8Array(BATCH_BYTES)
  #count = 0
  #timer: Timer | null = null
  #isTimeless = false

  constructor(sink: (bytes: Uint8Array) => void) {
    this.#sink = sink
  }

  attach(context: Pick<DeviceContext, 'clock' | 'timer'>): void {
    if (context.clock.realTime === true) this.#timer = context.timer(() => this.flush())
    else this.#isTimeless = true
  }

  push(byte: number): void {
    if (this.#count === 0) {
      this.#timer?.armAfter(BATCH_DELAY_NS)
      if (this.#isTimeless) void NOW.then(this.#flushLater)
    }
    this.#bytes[this.#count++] = byte
    if (this.#count === BATCH_BYTES) this.flush()
  }

  readonly #flushLater = (): void => this.flush()

  /** Hands over what is there. The sink gets a copy of its own. */
  flush(): void {
    if (this.#count === 0) return
    const bytes = this.#bytes.slice(0, this.#count)
    this.#count = 0
    this.#timer?.cancel()
    this.#sink(bytes)
  }
}
