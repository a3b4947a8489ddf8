/**
 * The stream of bytes to the agent and back. `SerialPort` of `@retrap/machine` is one: a serial port other than the console.
 * It takes one listener of each kind; a connection has them until it is closed.
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
  /** Names the listener that hears that the guest has taken most bytes after `receive` returned false. */
  onDrain(listener: () => void): void
}
