import type { RangeHandler, Region, RegionOptions } from '@retrap/device'
import { BufferedRing } from './buffered-ring.ts'
import type { Channel } from './channel.ts'
import { type ConfigSpace, ECAM_BUS_BYTES } from './config-space.ts'
import { IoreqError } from './errors.ts'
import type { InvalidationListener } from './invalidations.ts'
import * as L from './layout.ts'
import { LocalChannel } from './local-channel.ts'
import { claimsInOrder, MmioLookup, PortLookup } from './lookup.ts'
import { PageChannel } from './page-channel.ts'
import type { PendingRequests } from './pending.ts'
import type { Claim } from './region.ts'
import { RegionTable } from './region-table.ts'
import { IoreqServer, type PageLocation, type ServerOptions, type ServerOwner } from './server.ts'
import { IoreqPage } from './slot.ts'

/** A claimant of accesses: the hypervisor's own handlers, or a server. */
export type Party = RegionTable | IoreqServer

/** The parts of a dispatcher that the registration of servers and handlers needs. */
export interface RegistrationParts {
  /** vCPUs of the domain. */
  readonly vcpus: number
  /** Supplies the pages of servers, as `IoDispatchOptions` has it. */
  readonly pages: { allocatePage?(purpose: string): PageLocation; freePage?(page: PageLocation): void }
  readonly space: ConfigSpace
  readonly pending: PendingRequests
  readonly invalidations: InvalidationListener | undefined
  /** Whether RAM or ROM is at a guest-physical address. */
  readonly isRam: (gpa: number) => boolean
  /** Accesses are traced: no look-up finds anything, so that all of them come by `Submission`. */
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

/**
 * Registers the claimants of a domain's accesses, and keeps the look-ups by which direct accesses find them. Their precedence:
 * the hypervisor, then the servers, highest id first.
 */
export class Registration implements ServerOwner {
  /** The hypervisor's own handlers. */
  readonly internal: RegionTable = new RegionTable((kind) => this.#changed(kind))
  /** By id; null where there is none. */
  readonly servers: (IoreqServer | null)[] = new Array<IoreqServer | null>(L.MAX_NR_IOREQ_SERVERS).fill(null)
  readonly ports: PortLookup = new PortLookup(() => this.#claims('port'))
  readonly mmio: MmioLookup = new MmioLookup(
    () => this.#claims('mmio'),
    () => this.#parts.space.windows,
  )
  readonly #reserved: { kind: 'port' | 'mmio'; name: string; first: number; last: number }[] = []
  /** Pages that were allocated for servers, to be given back. */
  readonly #pages = new Map<IoreqServer, readonly PageLocation[]>()
  readonly #parts: RegistrationParts
  readonly #pending: PendingRequests

  constructor(parts: RegistrationParts) {
    this.#parts = parts
    this.#pending = parts.pending
  }

  /**
   * Makes a server with the lowest free id.
   *
   * @throws IoreqError `ERR_NO_SPACE` where there are eight already
   */
  createServer(options: ServerOptions): IoreqServer {
    const id = this.servers.indexOf(null)
    if (id < 0) {
      throw new IoreqError('ERR_NO_SPACE', `a domain has at most ${L.MAX_NR_IOREQ_SERVERS} ioreq servers`)
    }
    const { name, bufferedMode = L.HVM_IOREQSRV_BUFIOREQ_OFF, local } = options
    const pages: PageLocation[] = []
    const page = options.page ?? this.#allocate(`request page of ioreq server ${name}`, pages)
    let ring: BufferedRing | null = null
    if (bufferedMode !== L.HVM_IOREQSRV_BUFIOREQ_OFF) {
      const ringPage = options.ringPage ?? this.#allocate(`buffered ring of ioreq server ${name}`, pages)
      ring = new BufferedRing(bufferedMode, ringPage.buffer, ringPage.byteOffset)
    }
    const channelOf = (one: IoreqServer): Channel =>
      local === undefined ? new PageChannel(one, this.#pending) : new LocalChannel(one, local, this.#pending)
    const slots = new IoreqPage(page.buffer, page.byteOffset)
    const place = { id, vcpus: this.#parts.vcpus, page: slots, ring, owner: this, channelOf }
    const server = new IoreqServer(place, options)
    this.servers[id] = server
    this.#pages.set(server, pages)
    this.#parts.invalidations?.serverChanged(server)
    return server
  }

  #allocate(purpose: string, pages: PageLocation[]): PageLocation {
    const page = this.#parts.pages.allocatePage?.(purpose)
    if (page === undefined) return { buffer: new ArrayBuffer(L.IOREQ_PAGE_BYTES), byteOffset: 0 }
    pages.push(page)
    return page
  }

  /** Claims ports for the hypervisor itself. */
  mapPorts(name: string, base: number, count: number, handler: RangeHandler, options?: RegionOptions): Region {
    return this.internal.map(
      { device: name, kind: 'port', base, length: count, handler, direct: true, window: null },
      options,
    )
  }

  /** Claims guest-physical addresses for the hypervisor itself. */
  mapMmio(name: string, gpa: number, bytes: number, handler: RangeHandler, options?: RegionOptions): Region {
    return this.internal.map(
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
    const { internal, servers } = this
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
    const type = kind === 'port' ? L.XEN_DMOP_IO_RANGE_PORT : L.XEN_DMOP_IO_RANGE_MEMORY
    const other = servers.find((one) => one !== null && one !== server && one.ranges[type]!.overlaps(first, last))
    return other?.transport.deviceIn?.(kind, first, last) ?? other?.name
  }

  /** The servers that there are. */
  present(): IoreqServer[] {
    return this.servers.filter((server) => server !== null)
  }

  /** The claimant that has all of `first` … `last`, or null. */
  select(kind: 'port' | 'mmio', first: number, last: number): Party | null {
    if (this.#covers(kind, first, last)) return this.internal
    return this.#selectServer(kind === 'port' ? L.XEN_DMOP_IO_RANGE_PORT : L.XEN_DMOP_IO_RANGE_MEMORY, first, last)
  }

  /** The server that has a PCI function, or null. */
  selectFunction(bdf: number): IoreqServer | null {
    return this.#selectServer(L.XEN_DMOP_IO_RANGE_PCI, bdf, bdf)
  }

  #covers(kind: 'port' | 'mmio', first: number, last: number): boolean {
    for (let at = first; at <= last;) {
      const region = this.internal.regionAt(kind, at)
      if (region === null) return false
      at = region.base + region.length
    }
    return true
  }

  #selectServer(type: 0 | 1 | 2, first: number, last: number): IoreqServer | null {
    for (let id = L.MAX_NR_IOREQ_SERVERS - 1; id >= 0; id--) {
      const server = this.servers[id]!
      if (server !== null && server.enabled && server.ranges[type].contains(first, last)) return server
    }
    return null
  }

  /** Whether any server has a PCI function. */
  hasFunctions(): boolean {
    return this.servers.some((server) => server !== null && server.ranges[L.XEN_DMOP_IO_RANGE_PCI].count > 0)
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
    return this.#parts.traced ? [] : claimsInOrder(kind, this.servers, this.internal)
  }

  // ---- for the servers ----

  rangesChanged(server: IoreqServer, type: number): void {
    if (!server.enabled) return
    if (type === L.XEN_DMOP_IO_RANGE_PORT) this.#changed('port')
    else if (type === L.XEN_DMOP_IO_RANGE_MEMORY) this.#changed('mmio')
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
    this.servers[server.id] = null
    this.#changed('port')
    this.#changed('mmio')
    this.#pending.lost.destroyed(server)
    this.#parts.invalidations?.serverChanged(server)
    // Its requests have just been ended, so no slot of its pages is in use.
    for (const page of this.#pages.get(server) ?? []) this.#parts.pages.freePage?.(page)
    this.#pages.delete(server)
  }

  answered(server: IoreqServer, vcpu: number, mayRun: boolean): void {
    this.#pending.answered(server, vcpu, mayRun)
  }
}

/** The regions of a claimant of this process; null for a server elsewhere. */
export function localRegions(party: Party): RegionTable | null {
  return party instanceof RegionTable ? party : party.channel.regions
}

/** Whether all that a claimant has in `first` … `last` answers at once. */
export function allDirect(party: Party, kind: 'port' | 'mmio', first: number, last: number): boolean {
  return localRegions(party)?.allDirect(kind, first, last) ?? false
}
