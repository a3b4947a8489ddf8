import { concatenate } from '@retrap/basics'

/** Bytes on their way to the page's terminal at which the guest is held up, and below which it continues. */
const HOLD_BYTES = 1 << 19
const GO_ON_BYTES = 1 << 17

/** Bytes of the tail: more than a terminal shows at once. */
const TAIL_BYTES = 1 << 14

/** Sends the guest's serial output in one piece a turn of the event loop, and tracks how far the page lags behind. */
export class SerialSender {
  readonly #send: (bytes: Uint8Array<ArrayBuffer>) => void
  readonly #hold: () => void
  #waiting: Uint8Array[] = []
  /** The last pieces of output, together at least {@link TAIL_BYTES} unless the output is shorter. */
  #tail: Uint8Array[] = []
  #tailBytes = 0
  #onTheWay = 0
  #goOn: (() => void) | null = null

  /** @param hold - is called when the page lags behind */
  constructor(send: (bytes: Uint8Array<ArrayBuffer>) => void, hold: () => void) {
    this.#send = send
    this.#hold = hold
  }

  /** Queues the guest's output. */
  transmit(bytes: Uint8Array): void {
    if (this.#waiting.length === 0) setTimeout(() => this.flush(), 0)
    const piece = bytes.slice()
    this.#waiting.push(piece)
    this.#tail.push(piece)
    this.#tailBytes += piece.length
    while (this.#tailBytes - this.#tail[0]!.length > TAIL_BYTES) this.#tailBytes -= this.#tail.shift()!.length
    this.#onTheWay += bytes.length
    if (this.#onTheWay > HOLD_BYTES) this.#hold()
  }

  /** Sends all waiting output. */
  flush(): void {
    if (this.#waiting.length === 0) return
    const all = concatenate(this.#waiting)
    this.#waiting = []
    this.#send(all)
  }

  /** The end of the guest's output, which a terminal shows. */
  get tail(): Uint8Array<ArrayBuffer> {
    return concatenate(this.#tail).slice(-TAIL_BYTES)
  }

  /** Restarts with the end of another instant's output. */
  startWith(tail: Uint8Array): void {
    this.flush()
    this.#tail = [tail]
    this.#tailBytes = tail.length
  }

  /** The page's terminal has printed this much. */
  printed(bytes: number): void {
    this.#onTheWay -= bytes
    if (this.#onTheWay > GO_ON_BYTES) return
    this.#goOn?.()
    this.#goOn = null
  }

  /** Resolves when the page does not lag behind. */
  async ready(): Promise<void> {
    if (this.#onTheWay <= HOLD_BYTES) return
    this.flush()
    await new Promise<void>((resolve) => {
      this.#goOn = resolve
    })
  }
}
