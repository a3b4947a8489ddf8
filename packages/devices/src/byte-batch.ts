import { type DeviceContext, restoreDeadline, savedDeadline, type Timer, type Word64 } from '@retrap/device'

/** Longest that a byte waits for others, in virtual time. */
const BATCH_DELAY_NS = 1_000_000
const BATCH_BYTES = 1024

/** A batch of bytes that a guest has sent just now, and the host has. */
export interface ByteBatchState {
  /** When the batch under way ends; null: no batch is under way. */
  readonly endsAt: Readonly<Word64> | null
  /** Bytes of the batch so far. */
  readonly bytes: number
  /** Bytes that the guest has sent since power-on; absent: an earlier release has not counted them. */
  readonly sent?: number
}

/**
 * Collects a guest's output bytes, so that the host is called once for many: a millisecond after the first one, or when a batch
 * is full. Where the host takes what is there before, the batch ends when it would have ended: on deterministic time, that is
 * an instant at which something happens, even if the guest has read the registers meanwhile.
 */
export class ByteBatch {
  readonly #sink: (bytes: Uint8Array) => void
  readonly #bytes = new Uint8Array(BATCH_BYTES)
  /** Bytes that the host does not have yet. */
  #count = 0
  /** Bytes of the batch, with those that the host has. */
  #pushed = 0
  /** Bytes that the guest has sent since power-on. */
  sent: number = 0
  #timer: Timer | null = null

  constructor(sink: (bytes: Uint8Array) => void) {
    this.#sink = sink
  }

  attach(context: Pick<DeviceContext, 'timer'>): void {
    this.#timer = context.timer(() => this.end())
  }

  push(byte: number): void {
    if (this.#pushed === 0) this.#timer?.armAfter(BATCH_DELAY_NS)
    this.#bytes[this.#count++] = byte
    this.sent++
    if (++this.#pushed === BATCH_BYTES) this.end()
  }

  /** Whether no batch has begun. */
  get isEmpty(): boolean {
    return this.#pushed === 0
  }

  /** Hands over what is there. The sink gets a copy of its own. */
  flush(): void {
    if (this.#count === 0) return
    const bytes = this.#bytes.slice(0, this.#count)
    this.#count = 0
    this.#sink(bytes)
  }

  /** Ends the batch, for a reason that is the guest's. */
  end(): void {
    this.#pushed = 0
    this.#timer?.cancel()
    this.flush()
  }

  /** Returns the state as plain data. The caller flushes the batch first. */
  save(): ByteBatchState {
    return { endsAt: savedDeadline(this.#timer), bytes: this.#pushed, sent: this.sent }
  }

  /** Takes what `save` returned; undefined: no batch has begun. */
  restore({ endsAt, bytes, sent = 0 }: ByteBatchState = { endsAt: null, bytes: 0 }): void {
    this.#count = 0
    this.sent = sent
    this.#pushed = bytes
    restoreDeadline(this.#timer, endsAt)
  }
}
