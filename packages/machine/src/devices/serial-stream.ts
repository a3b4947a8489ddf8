import type { ByteStreamBackend, ByteStreamClient } from '@retrap/device'

/** The far end of a serial port on the board's side: keeps bytes for the guest until the UART has room for them. */
export class SerialStream implements ByteStreamBackend {
  readonly send: (bytes: Uint8Array) => void
  readonly #taken: (count: number) => void
  #client: ByteStreamClient | null = null
  readonly #queue: Uint8Array[] = []
  #offering = false

  /**
   * @param send - gets what the guest sends
   * @param taken - hears how many of the bytes for the guest the UART has taken
   */
  constructor(send: (bytes: Uint8Array) => void, taken: (count: number) => void) {
    this.send = send
    this.#taken = taken
  }

  connect(client: ByteStreamClient): void {
    this.#client = client
  }

  /** Queues bytes for the guest, and keeps them. */
  receive(bytes: Uint8Array): void {
    this.#queue.push(bytes)
    this.#offer()
  }

  ready(): void {
    this.#offer()
  }

  #offer(): void {
    // A UART that moves bytes on at once says within `receive` that it has room again.
    if (this.#offering || this.#client === null) return
    this.#offering = true
    let count = 0
    for (let first = this.#queue[0]; first !== undefined; first = this.#queue[0]) {
      const taken = this.#client.receive(first)
      count += taken
      if (taken < first.length) {
        this.#queue[0] = first.subarray(taken)
        break
      }
      this.#queue.shift()
    }
    this.#offering = false
    if (count > 0) this.#taken(count)
  }
}
