import { BufferedRing } from './buffered-ring.ts'
import type { Channel } from './channel.ts'
import { IoreqError } from './errors.ts'
import * as L from './layout.ts'
import { LocalChannel } from './local-channel.ts'
import { PageChannel } from './page-channel.ts'
import type { PendingRequests } from './pending.ts'
import { RegionTable } from './region-table.ts'
import { IoreqServer, type PageLocation, type ServerOptions, type ServerOwner } from './server.ts'
import { IoreqPage } from './slot.ts'

/** A claimant of accesses: the hypervisor's own handlers, or a server. */
export type Party = RegionTable | IoreqServer

/** Supplies the pages of servers, as `IoDispatchOptions` has it. */
export interface PageSource {
  /** Supplies a zeroed page of machine memory. */
  allocatePage?(purpose: string): PageLocation
  /** Takes such a page back. */
  freePage?(page: PageLocation): void
}

/** Knows the claimants of a domain's accesses and their precedence: the hypervisor, then the servers, highest id first. */
export class Parties {
  /** The hypervisor's own handlers. */
  readonly internal: RegionTable
  /** By id; null where there is none. */
  readonly servers: (IoreqServer | null)[] = new Array<IoreqServer | null>(L.MAX_NR_IOREQ_SERVERS).fill(null)
  readonly #vcpus: number
  readonly #source: PageSource
  /** Pages that were allocated for servers, to be given back. */
  readonly #pages = new Map<IoreqServer, readonly PageLocation[]>()

  /** @param onChange - the hypervisor's own claims have changed */
  constructor(vcpus: number, source: PageSource, onChange: (kind: 'port' | 'mmio') => void) {
    this.#vcpus = vcpus
    this.#source = source
    this.internal = new RegionTable(onChange)
  }

  /**
   * Makes a server with the lowest free id.
   *
   * @throws IoreqError `ERR_NO_SPACE` where there are eight already
   */
  create(owner: ServerOwner, requests: PendingRequests, options: ServerOptions): IoreqServer {
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
      local === undefined ? new PageChannel(one, requests) : new LocalChannel(one, local, requests)
    const slots = new IoreqPage(page.buffer, page.byteOffset)
    const server = new IoreqServer({ id, vcpus: this.#vcpus, page: slots, ring, owner, channelOf }, options)
    this.servers[id] = server
    this.#pages.set(server, pages)
    return server
  }

  #allocate(purpose: string, pages: PageLocation[]): PageLocation {
    const page = this.#source.allocatePage?.(purpose)
    if (page === undefined) return { buffer: new ArrayBuffer(L.IOREQ_PAGE_BYTES), byteOffset: 0 }
    pages.push(page)
    return page
  }

  /** Takes a destroyed server out. */
  remove(server: IoreqServer): void {
    this.servers[server.id] = null
  }

  /** Gives a server's pages back: no slot of them is in use any more. */
  freePages(server: IoreqServer): void {
    for (const page of this.#pages.get(server) ?? []) this.#source.freePage?.(page)
    this.#pages.delete(server)
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
}

/** The regions of a claimant of this process; null for a server elsewhere. */
export function localRegions(party: Party): RegionTable | null {
  return party instanceof RegionTable ? party : party.channel.regions
}

/** Whether all that a claimant has in `first` … `last` answers at once. */
export function allDirect(party: Party, kind: 'port' | 'mmio', first: number, last: number): boolean {
  return localRegions(party)?.allDirect(kind, first, last) ?? false
}
