import type { RangeHandler, Region, RegionOptions } from '@retrap/device'
import type { ConfigSpace } from './config-space.ts'
import type { InvalidationListener } from './invalidations.ts'
import { XEN_DMOP_IO_RANGE_MEMORY, XEN_DMOP_IO_RANGE_PORT } from './layout.ts'
import { MmioLookup, PortLookup } from './lookup.ts'
import { type PageSource, Parties } from './parties.ts'
import type { PendingRequests } from './pending.ts'
import { RegionTable } from './region-table.ts'
import type { IoreqServer, ServerOptions, ServerOwner } from './server.ts'

const NO_REGIONS = new RegionTable(() => {})

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
  /** The look-ups have been made anew. */
  changed(): void
}

/** Registers the claimants of a domain's accesses, and keeps the look-ups by which direct accesses find them. */
export class Registration implements ServerOwner {
  readonly parties: Parties
  readonly ports: PortLookup = new PortLookup()
  readonly mmio: MmioLookup = new MmioLookup()
  readonly #parts: RegistrationParts
  readonly #pending: PendingRequests

  constructor(parts: RegistrationParts) {
    this.#parts = parts
    this.#pending = parts.pending
    this.parties = new Parties(parts.vcpus, parts.pages, (kind) => this.#rebuild(kind))
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
    this.#rebuild('mmio')
  }

  #rebuild(kind: 'port' | 'mmio'): void {
    const { traced, space } = this.#parts
    this.#parts.changed()
    const servers = traced ? [] : this.parties.servers
    const internal = traced ? NO_REGIONS : this.parties.internal
    if (kind === 'port') this.ports.rebuild(servers, internal)
    else this.mmio.rebuild(servers, internal, space.windows)
  }

  // ---- for the servers ----

  rangesChanged(server: IoreqServer, type: number): void {
    if (!server.enabled) return
    if (type === XEN_DMOP_IO_RANGE_PORT) this.#rebuild('port')
    else if (type === XEN_DMOP_IO_RANGE_MEMORY) this.#rebuild('mmio')
  }

  stateChanged(server: IoreqServer): void {
    if (server.enabled) {
      // Ports of the event channels; the next request finds a server that changes one.
      for (let vcpu = 0; vcpu < this.#parts.vcpus; vcpu++) server.slot(vcpu).eventPort = vcpu + 1
    }
    this.#rebuild('port')
    this.#rebuild('mmio')
    if (!server.enabled) this.#pending.disabled(server)
    this.#parts.invalidations?.serverChanged(server)
  }

  destroyed(server: IoreqServer): void {
    this.parties.remove(server)
    this.#rebuild('port')
    this.#rebuild('mmio')
    this.#pending.lost.destroyed(server)
    this.#parts.invalidations?.serverChanged(server)
    // Its requests have just been ended, so no slot of its pages is in use.
    this.parties.freePages(server)
  }

  answered(server: IoreqServer, vcpu: number, mayRun: boolean): void {
    this.#pending.answered(server, vcpu, mayRun)
  }
}
