import type { RangeHandler, Region, RegionOptions } from '@retrap/device'
import type { ConfigSpace } from './config-space.ts'
import type { InvalidationListener } from './invalidations.ts'
import { XEN_DMOP_IO_RANGE_MEMORY, XEN_DMOP_IO_RANGE_PORT } from './layout.ts'
import { claimsInOrder, MmioLookup, PortLookup } from './lookup.ts'
import { type PageSource, Parties } from './parties.ts'
import type { PendingRequests } from './pending.ts'
import type { Claim } from './region.ts'
import type { IoreqServer, ServerOptions, ServerOwner } from './server.ts'

/** The parts of a dispatcher that the registration of servers and handlers needs. */
export interface RegistrationParts {
  /** vCPUs of the domain. */
  readonly vcpus: number
  readonly pages: PageSource
  readonly space: ConfigSpace
  readonly pending: PendingRequests
  readonly invalidations: InvalidationListener | undefined
  /** Accesses are traced: no look-up finds anything, so that all of them come by `ImmediateAccess`. */
  readonly traced: boolean
  /** The look-ups are to be made anew. */
  changed(): void
}

/** Registers the claimants of a domain's accesses, and keeps the look-ups by which direct accesses find them. */
export class Registration implements ServerOwner {
  readonly parties: Parties
  readonly ports: PortLookup = new PortLookup(() => this.#claims('port'))
  readonly mmio: MmioLookup = new MmioLookup(
    () => this.#claims('mmio'),
    () => this.#parts.space.windows,
  )
  readonly #parts: RegistrationParts
  readonly #pending: PendingRequests

  constructor(parts: RegistrationParts) {
    this.#parts = parts
    this.#pending = parts.pending
    this.parties = new Parties(parts.vcpus, parts.pages, (kind) => this.#changed(kind))
  }

  /** Makes a server. @throws IoreqError `ERR_NO_SPACE` where there are eight already */
  createServer(options: ServerOptions): IoreqServer {
    const server = this.parties.create(this, this.#pending, options)
    this.#parts.invalidations?.serverChanged(server)
    return server
  }

  /** Claims ports for the hypervisor itself. */
  mapPorts(name: string, base: number, count: number, handler: RangeHandler, options?: RegionOptions): Region {
    return this.parties.internal.map(
      { device: name, kind: 'port', base, length: count, handler, direct: true, window: null },
      options,
    )
  }

  /** Claims guest-physical addresses for the hypervisor itself. */
  mapMmio(name: string, gpa: number, bytes: number, handler: RangeHandler, options?: RegionOptions): Region {
    return this.parties.internal.map(
      { device: name, kind: 'mmio', base: gpa, length: bytes, handler, direct: true, window: null },
      options,
    )
  }

  /** The windows of memory-mapped configuration space have changed. */
  ecamChanged(): void {
    this.#changed('mmio')
  }

  #changed(kind: 'port' | 'mmio'): void {
    this.#parts.changed()
    if (kind === 'port') this.ports.changed()
    else this.mmio.changed()
  }

  #claims(kind: 'port' | 'mmio'): Claim[] {
    return this.#parts.traced ? [] : claimsInOrder(kind, this.parties.servers, this.parties.internal)
  }

  // ---- for the servers ----

  rangesChanged(server: IoreqServer, type: number): void {
    if (!server.enabled) return
    if (type === XEN_DMOP_IO_RANGE_PORT) this.#changed('port')
    else if (type === XEN_DMOP_IO_RANGE_MEMORY) this.#changed('mmio')
  }

  stateChanged(server: IoreqServer): void {
    if (server.enabled) {
      // Ports of the event channels; the next request finds a server that changes one.
      for (let vcpu = 0; vcpu < this.#parts.vcpus; vcpu++) server.slot(vcpu).eventPort = vcpu + 1
    }
    this.#changed('port')
    this.#changed('mmio')
    if (!server.enabled) this.#pending.disabled(server)
    this.#parts.invalidations?.serverChanged(server)
  }

  destroyed(server: IoreqServer): void {
    this.parties.remove(server)
    this.#changed('port')
    this.#changed('mmio')
    this.#pending.lost.destroyed(server)
    this.#parts.invalidations?.serverChanged(server)
    // Its requests have just been ended, so no slot of its pages is in use.
    this.parties.freePages(server)
  }

  answered(server: IoreqServer, vcpu: number, mayRun: boolean): void {
    this.#pending.answered(server, vcpu, mayRun)
  }
}
