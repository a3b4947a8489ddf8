import type { DeviceContext, Timer } from '@retrap/device'

/** Longest that a byte waits for others, in virtual time. */
const BATCH_DELAY_NS = 1_000_000
const BATCH_BYTES = 1024

/**
 * Collects a guest's output bytes, so that the host is called once for many:
 * when a batch is full, a millisecond after its first byte, or on `flush`.
 */
export class ByteBatch {
  readonly #sink: (bytes: Uint8Array) => void
  readonly #bytes = new Uint8Array(BATCH_BYTES)
  #count = 0
  #timer: Timer | null = null

  constructor(sink: (bytes: Uint8Array) => void) {
    this.#sink = sink
  }

  attach(context: DeviceContext): void {
    this.#timer = context.timer(() => this.flush())
  }

  push(byte: number): void {
    if (this.#count === 0) this.#timer?.armAfter(BATCH_DELAY_NS)
    this.#bytes[this.#count++] = byte
    if (this.#count === BATCH_BYTES) this.flush()
  }

  /** Hands over what is there. The sink gets a copy of its own. */
  flush(): void {
    if (this.#count === 0) return
    const bytes = this.#bytes.slice(0, this.#count)
    this.#count = 0
    this.#timer?.cancel()
    this.#sink(bytes)
  }
}
