import type { EventPort } from './event-port.ts'

// Virtual interrupts that a guest gets. Source: Xen's public/xen.h, VIRQ_*.
export const VIRQ_TIMER = 0
const VIRQ_DEBUG = 1
const VIRQ_XENOPROF = 7
const VIRQ_XENPMU = 13
/** Number of virtual interrupts, including those for other domains. */
export const NR_VIRQS = 24

const PER_VCPU = [VIRQ_TIMER, VIRQ_DEBUG, VIRQ_XENOPROF, VIRQ_XENPMU]

/** Tells whether each vCPU has the interrupt for itself; the others are the domain's. */
export function isPerVcpu(virq: number): boolean {
  return PER_VCPU.includes(virq)
}

/** A guest's ports by number. The first is 0, which is invalid. */
export class EventPortTable {
  readonly #entries: (EventPort | undefined)[] = []
  /** No number below is free. */
  #lowestFree = 1

  /** The port with a number, if it is open. */
  get(port: number): EventPort | undefined {
    return this.#entries[port]
  }

  /** Sets the state of a port number. */
  set(port: number, entry: EventPort): void {
    this.#entries[port] = entry
  }

  /** Opens the first free port number. @returns the number, or −1 if all below `end` are in use */
  open(entry: EventPort, end: number): number {
    let port = this.#lowestFree
    while (this.#entries[port] !== undefined) port++
    this.#lowestFree = port
    if (port >= end) return -1
    this.#entries[port] = entry
    return port
  }

  /** Frees a number. */
  close(port: number): void {
    this.#entries[port] = undefined
    this.#lowestFree = Math.min(this.#lowestFree, port)
  }

  /** The number of the first port with a property; −1 for none. */
  find(property: (entry: EventPort) => boolean): number {
    return this.#entries.findIndex((entry) => entry !== undefined && property(entry))
  }

  /** All open ports, in order. */
  all(): (EventPort & { readonly port: number })[] {
    return this.#entries.flatMap((entry, port) => (entry === undefined ? [] : [{ port, ...entry }]))
  }

  /** Frees all numbers. */
  clear(): void {
    this.#entries.length = 0
    this.#lowestFree = 1
  }
}
