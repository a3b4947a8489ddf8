/** Carries bytes to the other side and back, in order: a socket, a message port, a pipe. Its ends are the caller's to make. */
export interface Channel {
  /** Sends bytes. Resolves when there is room for more; rejects where the connection has ended. The bytes are the channel's then. */
  send(bytes: Uint8Array): Promise<void>
  /** Returns the next bytes that have arrived, as many as there are; null at the end. */
  receive(): Promise<Uint8Array | null>
  /** Ends the connection, whatever is under way. */
  close(): void
}
