import { Stateful } from '@retrap/device'
import type { XenHost } from '../architecture.ts'
import { type EventDelivery, TwoLevelEvents } from './two-level-events.ts'
import {
  CLOSED,
  connectedTo,
  type EventPort,
  EventStatus,
  ipiPort,
  pirqPort,
  rebound,
  unboundTo,
  virqPort,
} from './event-port.ts'
import { EventPortTable, isPerVcpu, NR_VIRQS } from './event-port-table.ts'
import { FifoEvents, isPriority } from './fifo-events.ts'
import { HostEnds, type HostEnd, type HostChannel, type HostPorts } from './host-ends.ts'
import { Domid, XenErrno } from '../numbers.ts'
import type { SharedInfo } from '../shared/shared-info.ts'

/** A port in a saved state. */
type SavedPort = EventPort & { readonly port: number }

/**
 * The event channels of one domain: ports, what is bound to them, and their events, of the 2-level kind or, once the guest has
 * asked for it, of the FIFO kind.
 *
 * Methods answer with a negated errno where a port is not found or not allowed. Numbers come from the guest and
 * are checked here.
 *
 * Source: Xen's public/event_channel.h.
 */
export class EventChannels extends Stateful implements HostPorts {
  /** The guest's number. */
  readonly domain: number
  readonly #vcpus: number
  readonly #ports = new EventPortTable()
  readonly #hostEnds = new HostEnds()
  /** Told of each port that becomes pending: vCPUs that poll. */
  readonly pendingListeners: ((port: number) => void)[] = []
  readonly #twoLevel: TwoLevelEvents
  /** Those of the FIFO kind, which the guest may have asked for. */
  readonly fifo: FifoEvents
  #events: EventDelivery

  /**
   * @param number - the guest's
   * @param upcall - a vCPU's pending flag has been set: it is to be interrupted
   */
  constructor(domain: XenHost, vcpus: number, number: number, info: SharedInfo, upcall: (vcpu: number) => void) {
    super()
    this.domain = number
    this.#vcpus = vcpus
    this.mark = (vcpu) => {
      if (!info.setUpcallPending(vcpu)) upcall(vcpu)
    }
    this.#twoLevel = new TwoLevelEvents(info, this.mark)
    this.fifo = new FifoEvents(domain, vcpus, this.mark)
    this.#events = this.#twoLevel
    this.keeps({
      version: 3,
      ports: { save: () => this.#ports.all(), restore: (ports: readonly SavedPort[]) => this.#restorePorts(ports) },
      nextHostPort: {
        save: () => this.#hostEnds.next,
        restore: (next: number) => (this.#hostEnds.next = Math.max(this.#hostEnds.next, next)),
      },
      // Null while the guest uses 2-level event channels.
      fifo: {
        save: () => (this.isFifo ? this.fifo.save() : null),
        restore: (fifo: unknown) => {
          if (fifo === null) return
          this.fifo.restore(fifo)
          this.#events = this.fifo
        },
      },
    })
  }

  /** Called when a vCPU has an event: it is interrupted unless an upcall is pending already. */
  readonly mark: (vcpu: number) => void

  /** Whether the guest has the FIFO kind. */
  get isFifo(): boolean {
    return this.#events === this.fifo
  }

  /** Whether a port's event is waiting. */
  pending(port: number): boolean {
    return this.isPort(port) && this.#events.pending(port)
  }

  /** Whether a number can be a port of this guest. */
  isPort(port: number): boolean {
    return port > 0 && port < this.#events.ports
  }

  #at(port: number): EventPort | undefined {
    return this.isPort(port) ? this.#ports.get(port) : undefined
  }

  #allocate(entry: EventPort): number {
    const port = this.#ports.open(entry, this.#events.ports)
    return port < 0 ? XenErrno.NOSPC : port
  }

  #free(port: number): void {
    this.#ports.close(port)
    // A port of the 64-bit layout has no bit in the other.
    if (this.isPort(port)) this.#events.clearPending(port)
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
      const end = this.#hostEnds.ends.get(remotePort)
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
    this.#ports.set(remotePort, rebound(other, connectedTo(this.domain, port)))
    // The other end may have sent an event before the port was bound.
    this.#setPending(port)
    return port
  }

  bindVirq(virq: number, vcpu: number): number {
    if (virq >= NR_VIRQS) return XenErrno.INVAL
    if (!isPerVcpu(virq) && vcpu !== 0) return XenErrno.INVAL
    if (vcpu >= this.#vcpus) return XenErrno.NOENT
    if (this.#virqPort(virq, vcpu) > 0) return XenErrno.EXIST
    return this.#allocate(virqPort(virq, vcpu))
  }

  bindIpi(vcpu: number): number {
    if (vcpu >= this.#vcpus) return XenErrno.NOENT
    return this.#allocate(ipiPort(vcpu))
  }

  /** Connects a number of {@link Pirqs}, which sends events with {@link EventChannels.sendPirq}. */
  bindPirq(pirq: number): number {
    if (this.#pirqPort(pirq) > 0) return XenErrno.EXIST
    return this.#allocate(pirqPort(pirq))
  }

  #pirqPort(pirq: number): number {
    return this.#ports.find((each) => each.status === EventStatus.pirq && each.remoteDomain === pirq)
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
      this.#hostEnds.connect(remotePort, 0)
      return
    }
    const other = this.#ports.get(remotePort)
    if (other !== undefined) this.#ports.set(remotePort, rebound(other, unboundTo(this.domain)))
  }

  send(port: number): number {
    const entry = this.#at(port)
    switch (entry?.status) {
      case EventStatus.interdomain:
        if (entry.remoteDomain === Domid.TOOLSTACK) this.#hostEnds.ends.get(entry.remotePort)?.onEvent()
        else this.#setPending(entry.remotePort)
        return 0
      case EventStatus.ipi:
        this.#setPending(port)
        return 0
      case EventStatus.unbound:
        // The port has no other end.
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
    return this.#ports.get(port) ?? CLOSED
  }

  bindVcpu(port: number, vcpu: number): number {
    if (vcpu >= this.#vcpus) return XenErrno.NOENT
    const entry = this.#at(port)
    if (entry === undefined || entry.status === EventStatus.ipi) return XenErrno.INVAL
    if (entry.status === EventStatus.virq && isPerVcpu(entry.virq)) return XenErrno.INVAL
    entry.vcpu = vcpu
    return 0
  }

  unmask(port: number): number {
    const entry = this.#at(port)
    if (entry === undefined) return XenErrno.INVAL
    this.#events.unmask(port, entry)
    return 0
  }

  /** @param priority - 0 highest to 15 lowest; the 2-level kind has none */
  setPriority(port: number, priority: number): number {
    const entry = this.#at(port)
    if (!this.isFifo) return XenErrno.NOSYS
    if (entry === undefined || !isPriority(priority)) return XenErrno.INVAL
    entry.priority = priority
    return 0
  }

  /**
   * Gives a vCPU its control block: with the first, the guest has the FIFO kind, and what is pending stays so.
   *
   * @param mfn - a machine frame of the guest's RAM; −1: not RAM
   */
  initControl(vcpu: number, mfn: number, offset: number): number {
    if (vcpu >= this.#vcpus) return XenErrno.NOENT
    const result = this.fifo.initControl(vcpu, mfn, offset)
    if (result < 0) return result
    const first = !this.isFifo
    for (const entry of this.#ports.all()) {
      if (first && this.pending(entry.port)) this.fifo.early.add(entry.port)
      if (!first && entry.vcpu === vcpu) this.fifo.retry(entry.port, entry)
    }
    this.#events = this.fifo
    return 0
  }

  /** Adds a page of event words. @param mfn - as for {@link EventChannels.initControl} */
  expandArray(mfn: number): number {
    if (!this.isFifo) return XenErrno.OPNOTSUPP
    const ports = this.fifo.expandArray(mfn)
    if (typeof ports === 'number') return ports
    for (const port of ports) {
      const entry = this.#ports.get(port)
      if (entry !== undefined) this.fifo.raise(port, entry)
    }
    return 0
  }

  /** Closes all, those too that a kernel of the other layout has left; the guest has the 2-level kind again. */
  resetAll(domain: number): number {
    const owner = this.#self(domain)
    if (owner !== this.domain) return this.#knows(owner) ? XenErrno.PERM : XenErrno.SRCH
    for (const entry of this.#ports.all()) this.#end(entry.port, entry)
    this.#useTwoLevel()
    return 0
  }

  #useTwoLevel(): void {
    this.fifo.close()
    this.#events = this.#twoLevel
  }

  // ---------------------------------------------------------------- what others ask for

  /** Raises a virtual interrupt, if the guest has bound it. */
  raiseVirq(virq: number, vcpu: number): void {
    const port = this.#virqPort(virq, isPerVcpu(virq) ? vcpu : -1)
    if (port > 0) this.#setPending(port)
  }

  /** Reports a device's interrupt. @returns false if its number is not bound */
  sendPirq(pirq: number): boolean {
    const port = this.#pirqPort(pirq)
    if (port > 0) this.#setPending(port)
    return port > 0
  }

  /** @param vcpu - or −1 for whichever it is bound to now */
  #virqPort(virq: number, vcpu: number): number {
    const own = isPerVcpu(virq)
    return this.#ports.find(
      (each) => each.status === EventStatus.virq && each.virq === virq && (!own || each.vcpu === vcpu),
    )
  }

  openHostPort(onEvent: () => void): HostChannel {
    const end: HostEnd = { guestPort: 0, onEvent }
    return this.#hostChannel(this.#hostEnds.open(end), end)
  }

  /**
   * Makes a channel before the guest runs, as a toolstack does for xenstore and console.
   *
   * @returns the host's end, and the guest's port
   */
  connectHost(onEvent: () => void): { readonly channel: HostChannel; readonly guestPort: number } {
    const channel = this.openHostPort(onEvent)
    const guestPort = this.#allocate(connectedTo(Domid.TOOLSTACK, channel.port))
    this.#hostEnds.connect(channel.port, Math.max(0, guestPort))
    return { channel, guestPort }
  }

  bindHost(guestPort: number, onEvent: () => void): HostChannel | undefined {
    const entry = this.#at(guestPort)
    if (entry?.status !== EventStatus.unbound || entry.remoteDomain !== Domid.TOOLSTACK) return undefined
    const channel = this.openHostPort(onEvent)
    this.#hostEnds.connect(channel.port, guestPort)
    this.#ports.set(guestPort, rebound(entry, connectedTo(Domid.TOOLSTACK, channel.port)))
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
        if (!this.#hostEnds.close(port, end)) return
        const entry = end.guestPort > 0 ? this.#ports.get(end.guestPort) : undefined
        if (entry !== undefined) this.#ports.set(end.guestPort, rebound(entry, unboundTo(Domid.TOOLSTACK)))
        end.guestPort = 0
      },
    }
  }

  /** Sets a port's pending bit and, unless masked, notifies its vCPU. */
  #setPending(port: number): void {
    const entry = this.#ports.get(port)
    if (entry === undefined || !this.isPort(port)) return
    if (this.#events.raise(port, entry)) return
    for (const listener of this.pendingListeners) listener(port)
  }

  /** Power-on: no port is open, and the host's ends are gone. */
  override reset(): void {
    this.#useTwoLevel()
    this.#ports.clear()
    this.#hostEnds.reset()
  }

  /** Ends what the guest's RAM is used for; the host's ends stay. A saved state follows. */
  abandon(): void {
    this.#useTwoLevel()
  }

  /**
   * Replaces all ports by saved ones. Open host ends find their ports by number; other host ports act as if closed by the
   * host, and wait for another binding.
   */
  #restorePorts(ports: readonly SavedPort[]): void {
    this.#ports.clear()
    this.#hostEnds.disconnect()
    for (const { port, ...entry } of ports) {
      const isHosts = entry.status === EventStatus.interdomain && entry.remoteDomain === Domid.TOOLSTACK
      const isOpen = !isHosts || this.#hostEnds.connect(entry.remotePort, port)
      this.#ports.set(port, isOpen ? entry : rebound(entry, unboundTo(Domid.TOOLSTACK)))
    }
  }
}
