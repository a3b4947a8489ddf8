/** Where a PC's serial ports are: COM1 to COM4. */
export const SERIAL_PORTS: readonly { readonly iobase: number; readonly irq: number }[] = [
  { iobase: 0x3f8, irq: 4 },
  { iobase: 0x2f8, irq: 3 },
  { iobase: 0x3e8, irq: 4 },
  { iobase: 0x2e8, irq: 3 },
]

/** A serial line of the machine, or a console like one, from outside. */
export interface SerialPort {
  /** Names the listener that gets all that the guest sends. */
  onTransmit(listener: (bytes: Uint8Array) => void): void
  /** Queues bytes for the guest; they wait until it takes them. */
  receive(bytes: Uint8Array): void
  /** Sends on all that the guest transmits, to anything with a `write`. */
  pipeTo(sink: { write(bytes: Uint8Array): unknown }): void
}

/** The machine's end of a {@link SerialPort}. */
export class SerialLine implements SerialPort {
  readonly receive: (bytes: Uint8Array) => void
  #listener: (bytes: Uint8Array) => void = () => {}

  /** @param receive - takes bytes for the guest */
  constructor(receive: (bytes: Uint8Array) => void) {
    this.receive = receive
  }

  onTransmit(listener: (bytes: Uint8Array) => void): void {
    this.#listener = listener
  }

  pipeTo(sink: { write(bytes: Uint8Array): unknown }): void {
    this.#listener = (bytes) => void sink.write(bytes)
  }

  /** Hands over what the guest has sent. */
  transmit(bytes: Uint8Array): void {
    this.#listener(bytes)
  }
}
