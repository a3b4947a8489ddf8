import type { PciSlotEvents } from '../pci-function.ts'
import type { FunctionSlot } from './pci-config-space.ts'

/** The tree around a slot, as far as the slot needs it. */
export interface PciSlotHost {
  /** Whether the bus has any functions. */
  occupied(): boolean
  /** Functions on the bus have become reachable. */
  connected(): void
  /** The functions have become unreachable. @returns settles when their models are at rest */
  disconnected(): Promise<void>
  /** The device is to be taken out. */
  release(): void
}

/** The slot below a port, which switches the bus below on and off. */
export class TreeSlot implements FunctionSlot {
  /** The events of the port. */
  readonly events: PciSlotEvents
  /** See `PciSlot.connected`; set directly by a saved state. */
  connected = false
  readonly #host: PciSlotHost

  constructor(events: PciSlotEvents, host: PciSlotHost) {
    this.events = events
    this.#host = host
  }

  /** See `PciSlot.occupied`. */
  get occupied(): boolean {
    return this.#host.occupied()
  }

  /** See `PciSlot.connect`. */
  connect(): void {
    if (this.connected) return
    this.connected = true
    this.#host.connected()
  }

  /** See `PciSlot.disconnect`. */
  disconnect(): Promise<void> {
    this.connected = false
    return this.#host.disconnected()
  }

  /** See `PciSlot.release`. */
  release(): void {
    this.#host.release()
  }
}
