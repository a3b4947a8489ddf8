import type { RangeHandler, Region, RegionOptions } from '@retrap/device'
import { type ConfigSpace, ECAM_BUS_BYTES } from './config-space.ts'
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
  /** Whether RAM or ROM is at a guest-physical address. */
  readonly isRam: (gpa: number) => boolean
  /** Accesses are traced: no look-up finds anything, so that all of them come by `ImmediateAccess`. */
  readonly traced: boolean
}

const CONFIG = 'PCI configuration space'
/** Places of a range at which RAM is looked for: more than pages of a usual one. */
const MOST_LOOKS = 4096

function isInRam(isRam: (gpa: number) => boolean, first: number, last: number): boolean {
  const step = Math.max(4096, Math.ceil((last - first) / MOST_LOOKS))
  for (let at = first; at <= last; at += step) if (isRam(at)) return true
  return isRam(last)
}

/** Registers the claimants of a domain's accesses, and keeps the look-ups by which direct accesses find them. */
export class Registration implements ServerOwner {
  readonly parties: Parties
  readonly ports: PortLookup = new PortLookup(() => this.#claims('port'))
  readonly mmio: MmioLookup = new MmioLookup(
    () => this.#claims('mmio'),
    () => this.#parts.space.windows,
  )
  readonly #reserved: { kind: 'port' | 'mmio'; name: string; first: number; last: number }[] = []
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

  /** Sets a range aside, which is answered before any claimant: see `IoDispatch.reserve`. */
  reserve(kind: 'port' | 'mmio', name: string, base: number, bytes: number): void {
    this.#reserved.push({ kind, name, first: base, last: base + bytes - 1 })
  }

  /** Names the party, but `server`, that answers in a part of a range; undefined: there is none. */
  ownerIn(kind: 'port' | 'mmio', first: number, last: number, server: IoreqServer): string | undefined {
    const { space, isRam } = this.#parts
    const { internal, servers } = this.parties
    const windows = space.windows.map((one) => {
      const at = one.base + one.firstBus * ECAM_BUS_BYTES
      return { kind: 'mmio', name: CONFIG, first: at, last: one.base + (one.lastBus + 1) * ECAM_BUS_BYTES - 1 }
    })
    const ports = space.hasPorts ? [{ kind: 'port', name: CONFIG, first: 0xcf8, last: 0xcff }] : []
    const aside = [...this.#reserved, ...ports, ...windows]
    const fixed = aside.find((one) => one.kind === kind && one.first <= last && first <= one.last)
    const own = fixed?.name ?? internal.overlapping(kind, first, last)?.device
    if (own !== undefined) return own
    if (kind === 'mmio' && isInRam(isRam, first, last)) return 'guest memory'
    const type = kind === 'port' ? XEN_DMOP_IO_RANGE_PORT : XEN_DMOP_IO_RANGE_MEMORY
    const other = servers.find((one) => one !== null && one !== server && one.ranges[type]!.overlaps(first, last))
    return other?.transport.deviceIn?.(kind, first, last) ?? other?.name
  }

  /** The windows of memory-mapped configuration space have changed. */
  ecamChanged(): void {
    this.#changed('mmio')
  }

  #changed(kind: 'port' | 'mmio'): void {
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
