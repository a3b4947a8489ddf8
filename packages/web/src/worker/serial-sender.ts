/** Bytes on their way to the page's terminal at which the guest is held up, and those at which it goes on. */
const HOLD_BYTES = 1 << 19
const GO_ON_BYTES = 1 << 17

/** Sends what the guest writes to its serial port in one piece a turn of the event loop, and knows when the page lags behind. */
export class SerialSender {
  readonly #send: (bytes: Uint8Array<ArrayBuffer>) => void
  readonly #hold: () => void
  #waiting: Uint8Array[] = []
  #onTheWay = 0
  #goOn: (() => void) | null = null

  /** @param hold - is called when the page lags behind */
  constructor(send: (bytes: Uint8Array<ArrayBuffer>) => void, hold: () => void) {
    this.#send = send
    this.#hold = hold
  }

  /** Takes what the guest has written. */
  transmit(bytes: Uint8Array): void {
    if (this.#waiting.length === 0) setTimeout(() => this.flush(), 0)
    this.#waiting.push(bytes.slice())
    this.#onTheWay += bytes.length
    if (this.#onTheWay > HOLD_BYTES) this.#hold()
  }

  /** Sends all that waits. */
  flush(): void {
    if (this.#waiting.length === 0) return
    const all = new Uint8Array(this.#waiting.reduce((sum, { length }) => sum + length, 0))
    let at = 0
    for (const bytes of this.#waiting) {
      all.set(bytes, at)
      at += bytes.length
    }
    this.#waiting = []
    this.#send(all)
  }

  /** The page's terminal has printed so much. */
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
