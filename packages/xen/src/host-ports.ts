/** The host's end of a channel. */
export interface HostChannel {
  /** Its number among the host's ports: what a guest binds to. */
  readonly port: number
  /** Whether a guest's port is at the other end. */
  readonly bound: boolean
  /** Raises the guest's event; nothing without a guest's port. */
  send(): void
  /** Ends it: the guest's port waits for another binding. */
  close(): void
}

/** How the host makes channels with a guest. */
export interface HostPorts {
  /** A port of the host that the guest can bind to. `onEvent` is called in the middle of the guest's hypercall. */
  openHostPort(onEvent: () => void): HostChannel
  /**
   * Binds to a port that the guest has made for the host: a back end does, with what the guest wrote to the store.
   *
   * @returns undefined if there is no such port
   */
  bindHost(guestPort: number, onEvent: () => void): HostChannel | undefined
}
