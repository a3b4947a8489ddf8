import type { RecordingRing, RecordingWriter } from '@retrap/recording'
import type { Checkpoints } from './checkpoints.ts'

/** Eighths of all bytes that checkpoints may have; one that is being taken may have as much again. */
const STORE_EIGHTHS = 3
/** Eighths that the log may have. */
const LOG_EIGHTHS = 2

/** Bytes that the checkpoints of a recording in a ring may have. */
export const ringStoreBytes = ({ mostBytes }: Pick<RecordingRing, 'mostBytes'>): number =>
  Math.floor((mostBytes * STORE_EIGHTHS) / 8)

/** Keeps a recording in memory within its bytes: its oldest past is dropped, up to a checkpoint. */
export class RingRoom {
  readonly #ring: RecordingRing
  readonly #writer: RecordingWriter
  readonly #store: Checkpoints
  readonly #logBytes: number
  /** Bytes in front of the log, which stay. */
  readonly #inFront: number
  #isDropping = false

  /** @param ring - in which there is nothing of the log yet */
  constructor(ring: RecordingRing, writer: RecordingWriter, store: Checkpoints) {
    this.#ring = ring
    this.#writer = writer
    this.#store = store
    this.#logBytes = (ring.mostBytes * LOG_EIGHTHS) / 8
    this.#inFront = ring.bytes
  }

  get #log(): number {
    return this.#ring.bytes - this.#inFront + this.#writer.waitingBytes
  }

  /** A checkpoint is due: the log is to have several, so that little is dropped at once. */
  get isFilling(): boolean {
    const { last } = this.#store
    return this.#log > this.#logBytes / 2 && (last === undefined || this.#store.instants.length < 2)
  }

  /** Makes room. To be called while the machine runs, when no checkpoint is being taken. */
  look(): void {
    if (this.#isDropping || this.#log <= this.#logBytes) return
    const second = this.#store.instants[1]
    const position = second && this.#store.dropBefore(second)
    // Without another checkpoint all of the past is dropped.
    if (position === undefined) this.#store.clear()
    this.#isDropping = true
    this.#writer.dropBefore(position?.piece ?? this.#writer.segment(), (from, to) => {
      this.#ring.drop(from, to)
      this.#isDropping = false
    })
  }
}
