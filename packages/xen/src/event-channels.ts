import { Domid, XenErrno } from './numbers.ts'
import type { SharedInfo } from './shared-info.ts'

/** EVTCHNSTAT_* (public/event_channel.h). */
export const EventStatus: {
  readonly closed: 0
  readonly unbound: 1
  readonly interdomain: 2
  readonly pirq: 3
  readonly virq: 4
  readonly ipi: 5
} = { closed: 0, unbound: 1, interdomain: 2, pirq: 3, virq: 4, ipi: 5 }

/** VIRQ_* (public/xen.h): those that a guest gets. */
export const VIRQ_TIMER = 0
export const VIRQ_DEBUG = 1
const NR_VIRQS = 24
/** VIRQs of which each vCPU has its own; all others are the domain's. */
const PER_VCPU_VIRQS = [VIRQ_TIMER, VIRQ_DEBUG, 7, 13]

/** One end of a channel, or a source of events. */
export interface EventPort {
  readonly status: number
  /** vCPU that is told. */
  vcpu: number
  /** `unbound`, `interdomain`: the other end's domain. */
  readonly remoteDomain: number
  /** `interdomain`: the other end's port. */
  readonly remotePort: number
  readonly virq: number
}

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

interface HostEnd {
  guestPort: number
  readonly onEvent: () => void
}

/** Saved form of {@link EventChannels}. */
export interface EventChannelsState {
  readonly version: 1
  readonly ports: readonly (EventPort & { readonly port: number })[]
}

/**
 * The event channels of one domain, of the 2-level kind: ports, what is bound to them, and the bits that tell of events.
 *
 * What is not found or not allowed is a negated errno, as `event_channel_op` returns it. Numbers come from the guest and
 * are checked here.
 *
 * Source: Xen's public/event_channel.h.
 */
export class EventChannels implements HostPorts {
  readonly domain: number
  readonly #info: SharedInfo
  readonly #vcpus: number
  readonly #ports: (EventPort | undefined)[] = []
  readonly #hostEnds = new Map<number, HostEnd>()
  #nextHostPort = 1
  readonly #upcall: (vcpu: number) => void
  readonly #pendingListeners: ((port: number) => void)[] = []

  /**
   * @param upcall - a vCPU's pending flag has been set: it is to be interrupted
   */
  constructor(domain: number, info: SharedInfo, vcpus: number, upcall: (vcpu: number) => void) {
    this.domain = domain
    this.#info = info
    this.#vcpus = vcpus
    this.#upcall = upcall
  }

  /** Registers what is to be told of each port that becomes pending: vCPUs that poll. */
  onPending(listener: (port: number) => void): void {
    this.#pendingListeners.push(listener)
  }

  /** Whether a port's event is waiting. */
  pending(port: number): boolean {
    return this.isPort(port) && this.#info.pending(port)
  }

  /** Whether a number can be a port of this guest. */
  isPort(port: number): boolean {
    return port > 0 && port < this.#info.ports
  }

  #at(port: number): EventPort | undefined {
    return this.isPort(port) ? this.#ports[port] : undefined
  }

  #allocate(entry: EventPort): number {
    const { ports } = this.#info
    for (let port = 1; port < ports; port++) {
      if (this.#ports[port] !== undefined) continue
      this.#ports[port] = entry
      return port
    }
    return XenErrno.NOSPC
  }

  #free(port: number): void {
    this.#ports[port] = undefined
    // A port of the 64-bit layout has no bit in the other.
    if (this.isPort(port)) this.#info.clearPending(port)
  }

  #knows(domain: number): boolean {
    return domain === Domid.TOOLSTACK || domain === this.domain
  }

  #self(domain: number): number {
    return domain === Domid.SELF ? this.domain : domain
  }

  // ---------------------------------------------------------------- what guests ask for

  /** A port that `remote` may bind to. @returns it, or a negated errno */
  allocateUnbound(domain: number, remote: number): number {
    const owner = this.#self(domain)
    if (owner !== this.domain) return this.#knows(owner) ? XenErrno.PERM : XenErrno.SRCH
    return this.#allocate(unboundTo(this.#self(remote)))
  }

  /** Connects to a port of another domain, or of this one, that waits for it. @returns the port, or a negated errno */
  bindInterdomain(remoteDomain: number, remotePort: number): number {
    const remote = this.#self(remoteDomain)
    if (!this.#knows(remote)) return XenErrno.SRCH
    if (remote === Domid.TOOLSTACK) {
      const end = this.#hostEnds.get(remotePort)
      if (end === undefined || end.guestPort !== 0) return XenErrno.INVAL
      const port = this.#allocate(connectedTo(Domid.TOOLSTACK, remotePort))
      if (port < 0) return port
      end.guestPort = port
      this.#setPending(port)
      return port
    }
    const other = this.#at(remotePort)
    if (other?.status !== EventStatus.unbound || other.remoteDomain !== this.domain) return XenErrno.INVAL
    const port = this.#allocate(connectedTo(this.domain, remotePort))
    if (port < 0) return port
    this.#ports[remotePort] = { ...connectedTo(this.domain, port), vcpu: other.vcpu }
    // The other end may have sent before there was anybody to hear it.
    this.#setPending(port)
    return port
  }

  bindVirq(virq: number, vcpu: number): number {
    if (virq >= NR_VIRQS) return XenErrno.INVAL
    if (!PER_VCPU_VIRQS.includes(virq) && vcpu !== 0) return XenErrno.INVAL
    if (vcpu >= this.#vcpus) return XenErrno.NOENT
    if (this.#virqPort(virq, vcpu) > 0) return XenErrno.EXIST
    return this.#allocate({ status: EventStatus.virq, vcpu, remoteDomain: 0, remotePort: 0, virq })
  }

  bindIpi(vcpu: number): number {
    if (vcpu >= this.#vcpus) return XenErrno.NOENT
    return this.#allocate({ status: EventStatus.ipi, vcpu, remoteDomain: 0, remotePort: 0, virq: 0 })
  }

  /** Connects a number of {@link Pirqs}, which sends events with {@link EventChannels.sendPirq}. */
  bindPirq(pirq: number): number {
    if (this.#pirqPort(pirq) > 0) return XenErrno.EXIST
    return this.#allocate({ status: EventStatus.pirq, vcpu: 0, remoteDomain: pirq, remotePort: 0, virq: 0 })
  }

  #pirqPort(pirq: number): number {
    return this.#ports.findIndex((each) => each?.status === EventStatus.pirq && each.remoteDomain === pirq)
  }

  close(port: number): number {
    const entry = this.#at(port)
    if (entry === undefined) return XenErrno.INVAL
    this.#end(port, entry)
    return 0
  }

  #end(port: number, entry: EventPort): void {
    this.#disconnect(entry)
    this.#free(port)
  }

  /** The other end waits for a new binding. */
  #disconnect({ status, remoteDomain, remotePort }: EventPort): void {
    if (status !== EventStatus.interdomain) return
    if (remoteDomain === Domid.TOOLSTACK) {
      const end = this.#hostEnds.get(remotePort)
      if (end !== undefined) end.guestPort = 0
      return
    }
    const other = this.#ports[remotePort]
    if (other !== undefined) this.#ports[remotePort] = { ...unboundTo(this.domain), vcpu: other.vcpu }
  }

  send(port: number): number {
    const entry = this.#at(port)
    switch (entry?.status) {
      case EventStatus.interdomain:
        if (entry.remoteDomain === Domid.TOOLSTACK) this.#hostEnds.get(entry.remotePort)?.onEvent()
        else this.#setPending(entry.remotePort)
        return 0
      case EventStatus.ipi:
        this.#setPending(port)
        return 0
      case EventStatus.unbound:
        // Nobody is there to hear it.
        return 0
      default:
        return XenErrno.INVAL
    }
  }

  /** @returns the port's state, of which `closed` is one, or a negated errno */
  status(domain: number, port: number): EventPort | number {
    const owner = this.#self(domain)
    if (owner !== this.domain) return this.#knows(owner) ? XenErrno.PERM : XenErrno.SRCH
    if (!this.isPort(port)) return XenErrno.INVAL
    return this.#ports[port] ?? CLOSED
  }

  bindVcpu(port: number, vcpu: number): number {
    if (vcpu >= this.#vcpus) return XenErrno.NOENT
    const entry = this.#at(port)
    if (entry === undefined || entry.status === EventStatus.ipi) return XenErrno.INVAL
    if (entry.status === EventStatus.virq && PER_VCPU_VIRQS.includes(entry.virq)) return XenErrno.INVAL
    entry.vcpu = vcpu
    return 0
  }

  unmask(port: number): number {
    const entry = this.#at(port)
    if (entry === undefined) return XenErrno.INVAL
    const info = this.#info
    if (info.unmask(port) && info.pending(port) && !info.select(entry.vcpu, port)) this.mark(entry.vcpu)
    return 0
  }

  /** Closes all, those too that a kernel of the other layout has left. */
  resetAll(domain: number): number {
    const owner = this.#self(domain)
    if (owner !== this.domain) return this.#knows(owner) ? XenErrno.PERM : XenErrno.SRCH
    for (const [port, entry] of this.#ports.entries()) if (entry !== undefined) this.#end(port, entry)
    return 0
  }

  // ---------------------------------------------------------------- what others ask for

  /** Raises a virtual interrupt, where the guest has bound it. */
  raiseVirq(virq: number, vcpu: number): void {
    const port = this.#virqPort(virq, PER_VCPU_VIRQS.includes(virq) ? vcpu : -1)
    if (port > 0) this.#setPending(port)
  }

  /** Tells of a device's interrupt. @returns false if its number is not bound */
  sendPirq(pirq: number): boolean {
    const port = this.#pirqPort(pirq)
    if (port > 0) this.#setPending(port)
    return port > 0
  }

  /** @param vcpu - or −1 for whichever it is bound to now */
  #virqPort(virq: number, vcpu: number): number {
    const own = PER_VCPU_VIRQS.includes(virq)
    return this.#ports.findIndex(
      (each) => each?.status === EventStatus.virq && each.virq === virq && (!own || each.vcpu === vcpu),
    )
  }

  openHostPort(onEvent: () => void): HostChannel {
    const port = this.#nextHostPort++
    const end: HostEnd = { guestPort: 0, onEvent }
    this.#hostEnds.set(port, end)
    return this.#hostChannel(port, end)
  }

  /**
   * A channel that is there before the guest runs, as a toolstack makes those of xenstore and console.
   *
   * @returns the host's end, and the guest's port
   */
  connectHost(onEvent: () => void): { readonly channel: HostChannel; readonly guestPort: number } {
    const channel = this.openHostPort(onEvent)
    const guestPort = this.#allocate(connectedTo(Domid.TOOLSTACK, channel.port))
    const end = this.#hostEnds.get(channel.port)
    if (end !== undefined) end.guestPort = Math.max(0, guestPort)
    return { channel, guestPort }
  }

  bindHost(guestPort: number, onEvent: () => void): HostChannel | undefined {
    const entry = this.#at(guestPort)
    if (entry?.status !== EventStatus.unbound || entry.remoteDomain !== Domid.TOOLSTACK) return undefined
    const channel = this.openHostPort(onEvent)
    const end = this.#hostEnds.get(channel.port)
    if (end !== undefined) end.guestPort = guestPort
    this.#ports[guestPort] = { ...connectedTo(Domid.TOOLSTACK, channel.port), vcpu: entry.vcpu }
    return channel
  }

  #hostChannel(port: number, end: HostEnd): HostChannel {
    return {
      port,
      get bound() {
        return end.guestPort > 0
      },
      send: () => {
        if (end.guestPort > 0) this.#setPending(end.guestPort)
      },
      close: () => {
        // After a reset the number may be another's.
        if (this.#hostEnds.get(port) !== end) return
        this.#hostEnds.delete(port)
        const entry = end.guestPort > 0 ? this.#ports[end.guestPort] : undefined
        if (entry !== undefined) this.#ports[end.guestPort] = { ...unboundTo(Domid.TOOLSTACK), vcpu: entry.vcpu }
        end.guestPort = 0
      },
    }
  }

  /** Sets a port's bit and, unless that is masked, leads its vCPU to it. */
  #setPending(port: number): void {
    const entry = this.#ports[port]
    if (entry === undefined || !this.isPort(port)) return
    const info = this.#info
    // The order matters to a guest that looks on another vCPU: it reads selector, then pending bits.
    if (info.setPending(port)) return
    if (!info.masked(port) && !info.select(entry.vcpu, port)) this.mark(entry.vcpu)
    for (const listener of this.#pendingListeners) listener(port)
  }

  /** A vCPU has something to look at: it is interrupted unless it knows. */
  mark(vcpu: number): void {
    if (!this.#info.setUpcallPending(vcpu)) this.#upcall(vcpu)
  }

  /** Power-on: no port is open, and the host's ends are gone. */
  reset(): void {
    this.#ports.length = 0
    for (const end of this.#hostEnds.values()) end.guestPort = 0
    this.#hostEnds.clear()
    this.#nextHostPort = 1
  }

  save(): EventChannelsState {
    return {
      version: 1,
      ports: this.#ports.flatMap((entry, port) => (entry === undefined ? [] : [{ port, ...entry }])),
    }
  }

  /** Takes saved ports; those of host ends that are open here find them by their numbers. */
  restore({ ports }: EventChannelsState): void {
    this.#ports.length = 0
    for (const { port, ...entry } of ports) {
      this.#ports[port] = entry
      const end = entry.status === EventStatus.interdomain && entry.remoteDomain === Domid.TOOLSTACK
      if (!end) continue
      const host = this.#hostEnds.get(entry.remotePort)
      if (host !== undefined) host.guestPort = port
    }
  }
}

const CLOSED: EventPort = { status: EventStatus.closed, vcpu: 0, remoteDomain: 0, remotePort: 0, virq: 0 }

function unboundTo(remoteDomain: number): EventPort {
  return { status: EventStatus.unbound, vcpu: 0, remoteDomain, remotePort: 0, virq: 0 }
}

function connectedTo(remoteDomain: number, remotePort: number): EventPort {
  return { status: EventStatus.interdomain, vcpu: 0, remoteDomain, remotePort, virq: 0 }
}
