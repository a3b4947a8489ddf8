/** The host's end of a channel. */
export interface HostChannel {
  /** Number among the host's ports: what a guest binds to. */
  readonly port: number
  /** Whether a guest's port is at the other end. */
  readonly bound: boolean
  /** Raises the guest's event; nothing without a guest's port. */
  send(): void
  /** Ends the channel: the guest's port waits for another binding. */
  close(): void
}

/** How the host makes channels with a guest. */
export interface HostPorts {
  /** A port of the host that the guest can bind to. `onEvent` is called in the middle of the guest's hypercall. */
  openHostPort(onEvent: () => void): HostChannel
  /**
   * Binds to a port that the guest has made for the host: a back end does, with what the guest wrote to the store.
   *
   * @returns undefined for an unknown port
   */
  bindHost(guestPort: number, onEvent: () => void): HostChannel | undefined
}

/** The host's end of an event channel. */
export interface HostEnd {
  /** The guest's port; 0: it is not bound. */
  guestPort: number
  readonly onEvent: () => void
}

/** The ports of the toolstack's domain that are connected to a guest, or wait for it. */
export class HostEnds {
  /** By number. */
  readonly ends: Map<number, HostEnd> = new Map()
  /** Number of the next host end. */
  next: number = 1

  /** Opens a port that the guest may bind. @returns its number */
  open(end: HostEnd): number {
    const port = this.next++
    this.ends.set(port, end)
    return port
  }

  /** Connects a port to one of the guest's, or with 0 disconnects it. @returns false for a port that is not open */
  connect(port: number, guestPort: number): boolean {
    const end = this.ends.get(port)
    if (end !== undefined) end.guestPort = guestPort
    return end !== undefined
  }

  /** Disconnects all ports. */
  disconnect(): void {
    for (const end of this.ends.values()) end.guestPort = 0
  }

  /** Closes a port, unless its number was reused after a reset. @returns whether it was closed */
  close(port: number, end: HostEnd): boolean {
    if (this.ends.get(port) !== end) return false
    return this.ends.delete(port)
  }

  /** Closes all host ends at power-on. */
  reset(): void {
    this.disconnect()
    this.ends.clear()
    this.next = 1
  }
}
