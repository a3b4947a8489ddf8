/** The vCPU that an event is for, and how urgent it is. */
export interface EventTarget {
  readonly vcpu: number
  /** 0 highest to 15 lowest; the 2-level kind knows one priority. */
  readonly priority: number
}

/** One kind of event channels: how the guest's memory tells of events, and how a vCPU is led to them. */
export interface EventDelivery {
  /** Ports that there can be: the first is 0, which is none. */
  readonly ports: number
  /** Sets a port pending and, unless it is masked, leads its vCPU to it. @returns whether it was pending before */
  raise(port: number, target: EventTarget): boolean
  /** Unmasks a port, and leads its vCPU to it if it is pending. */
  unmask(port: number, target: EventTarget): void
  /** Whether a port's event is waiting. */
  pending(port: number): boolean
  /** Takes a port's event back. */
  clearPending(port: number): void
}
