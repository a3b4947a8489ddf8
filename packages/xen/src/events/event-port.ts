import { DEFAULT_PRIORITY } from './fifo-events.ts'

/** EVTCHNSTAT_* (public/event_channel.h). */
export const EventStatus: {
  readonly closed: 0
  readonly unbound: 1
  readonly interdomain: 2
  readonly pirq: 3
  readonly virq: 4
  readonly ipi: 5
} = { closed: 0, unbound: 1, interdomain: 2, pirq: 3, virq: 4, ipi: 5 }

/** One end of a channel, or a source of events. */
export interface EventPort {
  /** A value of {@link EventStatus}. */
  readonly status: number
  /** vCPU to notify. */
  vcpu: number
  /** 0 highest to 15 lowest. */
  priority: number
  /** `unbound`, `interdomain`: the other end's domain. `pirq`: the pirq's number. */
  readonly remoteDomain: number
  /** `interdomain`: the other end's port. */
  readonly remotePort: number
  /** `virq`: its number. */
  readonly virq: number
}

const NOTHING = { vcpu: 0, priority: DEFAULT_PRIORITY, remoteDomain: 0, remotePort: 0, virq: 0 } as const

export const CLOSED: EventPort = { ...NOTHING, status: EventStatus.closed }

/** A port that waits for a domain to bind to it. */
export function unboundTo(remoteDomain: number): EventPort {
  return { ...NOTHING, status: EventStatus.unbound, remoteDomain }
}

/** Returns a port connected to another domain's port. */
export function connectedTo(remoteDomain: number, remotePort: number): EventPort {
  return { ...NOTHING, status: EventStatus.interdomain, remoteDomain, remotePort }
}

/** A port for a virtual interrupt. */
export function virqPort(virq: number, vcpu: number): EventPort {
  return { ...NOTHING, status: EventStatus.virq, vcpu, virq }
}

/** A port for interrupts between vCPUs. */
export function ipiPort(vcpu: number): EventPort {
  return { ...NOTHING, status: EventStatus.ipi, vcpu }
}

/** A port for a device's interrupt. */
export function pirqPort(pirq: number): EventPort {
  return { ...NOTHING, status: EventStatus.pirq, remoteDomain: pirq }
}

/** Returns a port in another state with the same vCPU and priority. */
export function rebound(port: EventPort, state: EventPort): EventPort {
  return { ...state, vcpu: port.vcpu, priority: port.priority }
}
