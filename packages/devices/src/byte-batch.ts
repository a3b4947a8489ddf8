import { type DeviceContext, Stateful, type Timer } from '@retrap/device'

/** Longest that a byte waits for others, in virtual time. */
const BATCH_DELAY_NS = 1_000_000
const BATCH_BYTES = 1024

/**
 * Collects a guest's output bytes, so that the host is called once for many: a millisecond after the first byte, or when a
 * batch is full. If the host flushes earlier, the batch still ends at its original time: on deterministic time this instant is
 * an event that must not depend on the flush.
 */
export class ByteBatch extends Stateful {
  readonly #sink: (bytes: Uint8Array) => void
  readonly #bytes = new Uint8Array(BATCH_BYTES)
  /** Bytes that the host does not have yet. */
  #count = 0
  #timer: Timer | null = null
  readonly #r = this.keeps(
    {
      endsAt: () => this.#timer,
      /** Bytes of the batch, including bytes that the host has already. */
      bytes: 0,
      /** Bytes that the guest has sent since power-on; an earlier release has not counted them. */
      sent: 0,
    },
    {
      recent: ['sent'],
      settled: (): void => {
        this.#count = 0
      },
    },
  )

  constructor(sink: (bytes: Uint8Array) => void) {
    super()
    this.#sink = sink
  }

  attach(context: Pick<DeviceContext, 'timer'>): void {
    this.#timer = context.timer(() => this.end())
  }

  push(byte: number): void {
    if (this.#r.bytes === 0) this.#timer?.armAfter(BATCH_DELAY_NS)
    this.#bytes[this.#count++] = byte
    this.#r.sent++
    if (++this.#r.bytes === BATCH_BYTES) this.end()
  }

  get sent(): number {
    return this.#r.sent
  }

  /** Whether no batch has begun. */
  get isEmpty(): boolean {
    return this.#r.bytes === 0
  }

  /** Passes the collected bytes to the sink, as a copy. */
  flush(): void {
    if (this.#count === 0) return
    const bytes = this.#bytes.slice(0, this.#count)
    this.#count = 0
    this.#sink(bytes)
  }

  /** Ends the batch, for a reason on the guest's side. */
  end(): void {
    this.#r.bytes = 0
    this.#timer?.cancel()
    this.flush()
  }
}
