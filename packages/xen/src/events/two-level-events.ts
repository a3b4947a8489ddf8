import type { SharedInfo } from '../shared/shared-info.ts'

/** The vCPU to notify of an event, and its priority. */
export interface EventTarget {
  readonly vcpu: number
  /** 0 highest to 15 lowest; the 2-level kind knows one priority. */
  readonly priority: number
}

/** An ABI of event channels: how guest memory reports events, and how vCPUs are notified. */
export interface EventDelivery {
  /** Ports that there can be: the first is 0, which is invalid. */
  readonly ports: number
  /** Sets a port pending and, unless masked, notifies its vCPU. @returns whether it was pending before */
  raise(port: number, target: EventTarget): boolean
  /** Unmasks a port, and notifies its vCPU if the port is pending. */
  unmask(port: number, target: EventTarget): void
  /** Whether a port's event is waiting. */
  pending(port: number): boolean
  /** Takes a port's event back. */
  clearPending(port: number): void
}

/**
 * Events of the 2-level kind: a bit for each port in the shared page, and a selector for each vCPU, whose bits stand for
 * words of ports.
 *
 * Source: Xen's public/xen.h, `struct shared_info` and `struct vcpu_info`.
 */
export class TwoLevelEvents implements EventDelivery {
  readonly #info: SharedInfo
  readonly #notify: (vcpu: number) => void

  /** @param notify - a vCPU has something to look at */
  constructor(info: SharedInfo, notify: (vcpu: number) => void) {
    this.#info = info
    this.#notify = notify
  }

  get ports(): number {
    return this.#info.ports
  }

  raise(port: number, target: EventTarget): boolean {
    const info = this.#info
    // The order matters to a guest that looks on another vCPU: it reads selector, then pending bits.
    if (info.setPending(port)) return true
    if (!info.masked(port)) this.#select(port, target)
    return false
  }

  unmask(port: number, target: EventTarget): void {
    if (this.#info.unmask(port) && this.#info.pending(port)) this.#select(port, target)
  }

  #select(port: number, { vcpu }: EventTarget): void {
    if (!this.#info.select(vcpu, port)) this.#notify(vcpu)
  }

  pending(port: number): boolean {
    return this.#info.pending(port)
  }

  clearPending(port: number): void {
    this.#info.clearPending(port)
  }
}
