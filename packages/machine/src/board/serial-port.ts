import { concatenate } from '@retrap/basics'

/** Ports and interrupts of a PC's serial ports: COM1 to COM4. */
export const SERIAL_PORTS: readonly { readonly iobase: number; readonly irq: number }[] = [
  { iobase: 0x3f8, irq: 4 },
  { iobase: 0x2f8, irq: 3 },
  { iobase: 0x3e8, irq: 4 },
  { iobase: 0x2e8, irq: 3 },
]

/** A serial line of the machine, or a console like one, from outside. */
export interface SerialPort {
  /**
   * Bytes that the guest has sent since power-on: the bytes that a listener was given, and up to a millisecond of others. Undefined
   * for a console, and for a port of a board in another thread.
   */
  readonly sent?: number | undefined
  /** Names the listener that gets all that the guest sends. */
  onTransmit(listener: (bytes: Uint8Array) => void): void
  /**
   * Queues bytes until the guest takes them.
   *
   * @returns false once 16 KiB wait: these bytes are queued too, and the sender should hold back until `onDrain`
   */
  receive(bytes: Uint8Array): boolean
  /** Names the listener that is called when the guest has taken most bytes after `receive` returned false. */
  onDrain(listener: () => void): void
  /** The bytes that the guest's port has not taken: a machine that goes on in place of this one gets them. Undefined for a console. */
  readonly unread?: Uint8Array | undefined
  /** Sends on all that the guest transmits, to anything with a `write`. */
  pipeTo(sink: { write(bytes: Uint8Array): unknown }): void
}

/** Bytes waiting for the guest at which the sender pauses; it resumes at half of them. */
const WAITING_BYTES = 16_384

/** The machine's end of a {@link SerialPort}. */
export class SerialLine implements SerialPort {
  readonly #send: (bytes: Uint8Array) => void
  readonly #sent: () => number | undefined
  #listener: (bytes: Uint8Array) => void = () => {}
  #drained: () => void = () => {}
  /** Pieces that the guest's UART has not taken, from byte `#taken` of the first on, and their bytes. */
  #pieces: Uint8Array[] = []
  #taken = 0
  #waiting = 0
  #full = false
  /** Number of callers that delay the input, and the pieces that wait. */
  #holds = 0
  #held: Uint8Array[] = []

  /** @param send - passes bytes to the board, which keeps them. @param sent - counts the guest's bytes */
  constructor(send: (bytes: Uint8Array) => void, sent: () => number | undefined) {
    this.#send = send
    this.#sent = sent
  }

  get sent(): number | undefined {
    return this.#sent()
  }

  receive(bytes: Uint8Array): boolean {
    const piece = bytes.slice()
    this.#waiting += piece.length
    if (piece.length > 0) this.#pieces.push(piece)
    if (this.#holds > 0) this.#held.push(piece)
    else this.#send(piece)
    this.#full = this.#waiting >= WAITING_BYTES
    return !this.#full
  }

  onDrain(listener: () => void): void {
    this.#drained = listener
  }

  /** Holds bytes before they reach the board. @returns a function that ends this, to be called once */
  hold(): () => void {
    this.#holds++
    return () => {
      if (--this.#holds > 0) return
      for (const piece of this.#held.splice(0)) this.#send(piece)
    }
  }

  get unread(): Uint8Array {
    return concatenate(this.#pieces).slice(this.#taken)
  }

  /** The UART has taken bytes. */
  taken(count: number): void {
    this.#waiting -= count
    this.#taken += count
    // In a replay the recording supplies the bytes, not these pieces.
    for (let [first] = this.#pieces; this.#taken >= (first?.length ?? 1); [first] = this.#pieces) {
      this.#taken = first === undefined ? 0 : this.#taken - first.length
      this.#pieces.shift()
    }
    if (!this.#full || this.#waiting > WAITING_BYTES / 2) return
    this.#full = false
    this.#drained()
  }

  onTransmit(listener: (bytes: Uint8Array) => void): void {
    this.#listener = listener
  }

  pipeTo(sink: { write(bytes: Uint8Array): unknown }): void {
    this.#listener = (bytes) => void sink.write(bytes)
  }

  /** Passes on the guest's output. */
  transmit(bytes: Uint8Array): void {
    this.#listener(bytes)
  }
}
