/** A serial line of the machine, or a console like one, from outside. */
export interface SerialPort {
  /** Names the listener that gets all that the guest sends. */
  onTransmit(listener: (bytes: Uint8Array) => void): void
  /** Queues bytes for the guest; they wait until it takes them. */
  receive(bytes: Uint8Array): void
  /** Sends on all that the guest transmits, to anything with a `write`. */
  pipeTo(sink: { write(bytes: Uint8Array): unknown }): void
}
