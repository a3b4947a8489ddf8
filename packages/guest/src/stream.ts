/** The interface that a device model gives a stream; `ByteStreamClient` of `@retrap/device` is one. */
interface GuestStreamClient {
  /** Takes bytes. @returns how many */
  receive(bytes: Uint8Array): number
}

/** This many bytes may wait for the guest before the sender holds back. */
const WAITING_BYTES = 16_384

/**
 * A port to the agent that is also the stream of a port of a virtio console: give it to the machine as `stream`
 * (`ByteStreamBackend` of `@retrap/device`), and to `connectGuest`.
 */
export class GuestStream implements GuestPort {
  #client: GuestStreamClient | undefined
  #waiting: Uint8Array = new Uint8Array(0)
  #isFull = false
  #hear: (bytes: Uint8Array) => void = () => {}
  #drained: () => void = () => {}

  /** {@inheritDoc GuestPort.onTransmit} */
  onTransmit(listener: (bytes: Uint8Array) => void): void {
    this.#hear = listener
  }

  /** {@inheritDoc GuestPort.onDrain} */
  onDrain(listener: () => void): void {
    this.#drained = listener
  }

  /** {@inheritDoc GuestPort.receive} */
  receive(bytes: Uint8Array): boolean {
    const waiting = new Uint8Array(this.#waiting.length + bytes.length)
    waiting.set(this.#waiting)
    waiting.set(bytes, this.#waiting.length)
    this.#waiting = waiting
    this.ready()
    this.#isFull = this.#waiting.length >= WAITING_BYTES
    return !this.#isFull
  }

  /** Takes the guest's bytes; never full. */
  send(bytes: Uint8Array): void {
    this.#hear(bytes)
  }

  /** Names the device model. */
  connect(client: GuestStreamClient): void {
    this.#client = client
    this.ready()
  }

  /** Offers waiting bytes to the device model, which has room. */
  ready(): void {
    while (this.#waiting.length > 0) {
      const taken = this.#client?.receive(this.#waiting) ?? 0
      if (taken === 0) return
      this.#waiting = this.#waiting.subarray(taken)
    }
    if (!this.#isFull) return
    this.#isFull = false
    this.#drained()
  }
}

/**
 * The byte stream to the agent and back, such as a `SerialPort` of `@retrap/machine` other than the console. It has one
 * listener of each kind, which a connection uses until it is closed.
 */
export interface GuestPort {
  /** Names the listener that gets all that the guest sends. */
  onTransmit(listener: (bytes: Uint8Array) => void): void
  /**
   * Queues bytes for the guest.
   *
   * @returns false where the sender should hold back until `onDrain`; these bytes are queued too
   */
  receive(bytes: Uint8Array): boolean
  /** Names the listener that is called when the guest has taken most bytes after `receive` returned false. */
  onDrain(listener: () => void): void
}
