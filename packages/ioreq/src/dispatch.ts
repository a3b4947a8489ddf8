import { BufferedRing } from './buffered-ring.ts'
import type { ConfigAddress } from './config-address.ts'
import { ConfigSpace } from './config-space.ts'
import type { RangeHandler, Region, RegionOptions } from '@retrap/device'
import type { IoDispatchOptions, IoDispatchState, PageLocation, ServerOptions } from './dispatch-options.ts'
import { IoreqError } from './errors.ts'
import { INVALIDATE_ALL, type InvalidationNotice } from './invalidation.ts'
import { FailureHandler, requestAddress } from './failures.ts'
import {
  HVM_IOREQSRV_BUFIOREQ_OFF,
  IOREQ_PAGE_BYTES,
  IOREQ_READ,
  IOREQ_SLOTS,
  IOREQ_TYPE_COPY,
  IOREQ_TYPE_PCI_CONFIG,
  IOREQ_TYPE_PIO,
  IOREQ_TYPE_TIMEOFFSET,
  IOREQ_WRITE,
  MAX_NR_IOREQ_SERVERS,
  XEN_DMOP_IO_RANGE_MEMORY,
  XEN_DMOP_IO_RANGE_PCI,
  XEN_DMOP_IO_RANGE_PORT,
} from './layout.ts'
import { MmioLookup, PORT_REGION, PortLookup, type ServedRegion } from './lookup.ts'
import { PendingRequests } from './pending.ts'
import { PieceAccess } from './pieces.ts'
import { badRead, checkedVoid, cut, isOneCall } from '@retrap/device/host'
import { isDirectCall, type ClaimedRegion } from './region.ts'
import { RegionTable } from './region-table.ts'
import { copyIoRequest, createIoRequest, type IoRequest } from './request.ts'
import { IoreqServer, type LocalRegions, type ServerOwner } from './server.ts'
import { IoreqPage } from './slot.ts'
import { IO_DONE, IO_LOG, IO_UNHANDLED } from './status.ts'
import type { IoTraceRecord } from './trace.ts'
import { allOnes, putBytes, wordAt } from './words.ts'

const NO_REGIONS = new RegionTable(() => {})

/**
 * Takes a domain's port, MMIO and PCI configuration accesses to whoever answers them: the hypervisor's own handlers,
 * then the ioreq servers, highest id first; a server is chosen if all of the access lies in its ranges.
 *
 * There are two ways in. The *direct* calls (`portRead` and its like) make an access at once or say `IO_LOG`, having
 * done nothing. `submit` is for logged passes and always takes the access; it may say `IO_RETRY`.
 * Answers are left in `lo` and `hi`, unsigned, so that no call allocates.
 */
export class IoDispatch implements ServerOwner {
  /** Low word of the last answer. */
  lo = 0
  /** High word of the last answer; 0 unless 8 bytes were read. */
  hi = 0
  /**
   * Elements that the last `submit` or `takeResponse` has covered: fewer than were asked for where a server has answered
   * so, and 0 where no one party has all of them; each may have its own.
   */
  count = 0
  /** The latched CF8. */
  readonly config: ConfigAddress
  /** vCPUs of the domain. */
  readonly vcpus: number
  readonly #options: IoDispatchOptions
  readonly #servers: (IoreqServer | null)[] = new Array<IoreqServer | null>(MAX_NR_IOREQ_SERVERS).fill(null)
  readonly #internal: RegionTable
  readonly #ports = new PortLookup()
  readonly #mmio = new MmioLookup()
  readonly #portMap: Uint32Array
  readonly #portRegions: readonly ServedRegion[]
  readonly #pending: PendingRequests
  readonly #failures: FailureHandler
  readonly #space: ConfigSpace
  readonly #trace: ((record: IoTraceRecord) => void) | undefined
  /** Pages that were allocated for servers, to be given back. */
  readonly #pages = new Map<IoreqServer, readonly PageLocation[]>()
  readonly #scratch: IoRequest = createIoRequest()
  readonly #one: IoRequest = createIoRequest()
  readonly #piecewise: PieceAccess = new PieceAccess((region) => this.#pieceFailed(region))
  #pieceType = 0
  #pieceDirection = 0
  #pieceStatus = IO_DONE
  /** The last access that `#asynchronous` has found a server for, and which. */
  #askedServer: IoreqServer | null = null
  /** The region of it, where the server is of this process and one call of its handler answers; and where in it. */
  #askedRegion: ClaimedRegion | null = null
  #askedOffset = 0
  #askedType = 0
  #askedAddress = 0
  #askedSize = 0

  constructor(options: IoDispatchOptions) {
    if (!Number.isInteger(options.vcpus) || options.vcpus < 1 || options.vcpus > IOREQ_SLOTS) {
      throw new IoreqError(
        'ERR_INVALID',
        `${options.vcpus} vCPUs: expected 1–${IOREQ_SLOTS}, the slots of a request page`,
      )
    }
    this.vcpus = options.vcpus
    this.#options = options
    this.#space = new ConfigSpace(options.ecam ?? [])
    this.config = this.#space.address
    this.#trace = options.trace?.bind(options)
    this.#internal = new RegionTable((kind) => this.#rebuild(kind))
    this.#portMap = this.#ports.map
    this.#portRegions = this.#ports.regions
    this.#failures = new FailureHandler(options.policy ?? 'crash', this, options.onFailure?.bind(options))
    this.#pending = new PendingRequests({
      vcpus: options.vcpus,
      answer: this,
      failures: this.#failures,
      deadlineMs: options.deadlineMs ?? Infinity,
      answersLater: options.answersLater ?? false,
      onComplete: options.onComplete?.bind(options),
      trace: this.#trace,
      invalidations: options.invalidations,
      servers: () => this.#servers.filter((server) => server !== null),
    })
  }

  // ---- registration ----

  /**
   * Makes a server with the lowest free id. It starts disabled.
   *
   * @throws IoreqError `ERR_NO_SPACE` where there are eight already
   */
  createServer(options: ServerOptions): IoreqServer {
    const id = this.#servers.indexOf(null)
    if (id < 0) {
      throw new IoreqError('ERR_NO_SPACE', `a domain has at most ${MAX_NR_IOREQ_SERVERS} ioreq servers`)
    }
    const pages: PageLocation[] = []
    const page = options.page ?? this.#allocate(`request page of ioreq server ${options.name}`, pages)
    const mode = options.bufferedMode ?? HVM_IOREQSRV_BUFIOREQ_OFF
    let ring: BufferedRing | null = null
    if (mode !== HVM_IOREQSRV_BUFIOREQ_OFF) {
      const ringPage = options.ringPage ?? this.#allocate(`buffered ring of ioreq server ${options.name}`, pages)
      ring = new BufferedRing(mode, ringPage.buffer, ringPage.byteOffset)
    }
    const server = new IoreqServer(
      this,
      id,
      options.name,
      this.vcpus,
      new IoreqPage(page.buffer, page.byteOffset),
      ring,
      mode,
      options.transport,
      options.local ?? null,
    )
    this.#servers[id] = server
    this.#pages.set(server, pages)
    this.#options.invalidations?.serverChanged(server)
    return server
  }

  /** The server with this id, or null. */
  server(id: number): IoreqServer | null {
    return this.#servers[id] ?? null
  }

  #allocate(purpose: string, pages: PageLocation[]): PageLocation {
    const page = this.#options.allocatePage?.(purpose)
    if (page === undefined) return { buffer: new ArrayBuffer(IOREQ_PAGE_BYTES), byteOffset: 0 }
    pages.push(page)
    return page
  }

  /** Claims ports for the hypervisor itself, before any server. Handlers answer at once. */
  mapInternalPorts(name: string, base: number, count: number, handler: RangeHandler, options?: RegionOptions): Region {
    return this.#internal.map(
      { device: name, kind: 'port', base, length: count, handler, direct: true, window: null },
      options,
    )
  }

  /** Claims guest-physical addresses for the hypervisor itself, before any server. Handlers answer at once. */
  mapInternalMmio(name: string, gpa: number, bytes: number, handler: RangeHandler, options?: RegionOptions): Region {
    return this.#internal.map(
      { device: name, kind: 'mmio', base: gpa, length: bytes, handler, direct: true, window: null },
      options,
    )
  }

  /** @internal A server's ranges have changed. */
  rangesChanged(server: IoreqServer, type: number): void {
    if (!server.enabled) return
    if (type === XEN_DMOP_IO_RANGE_PORT) this.#rebuild('port')
    else if (type === XEN_DMOP_IO_RANGE_MEMORY) this.#rebuild('mmio')
  }

  /** @internal A server has been enabled or disabled. */
  stateChanged(server: IoreqServer): void {
    if (server.enabled) {
      // Ports of the event channels; a server that changes one is found out when the next request is sent.
      for (let vcpu = 0; vcpu < this.vcpus; vcpu++) server.slot(vcpu).eventPort = vcpu + 1
    }
    this.#rebuild('port')
    this.#rebuild('mmio')
    if (!server.enabled) this.#pending.disabled(server)
    this.#options.invalidations?.serverChanged(server)
  }

  /** @internal A server has been destroyed. */
  destroyed(server: IoreqServer): void {
    this.#servers[server.id] = null
    this.#rebuild('port')
    this.#rebuild('mmio')
    this.#pending.endAll(server)
    this.#options.invalidations?.serverChanged(server)
    // Its requests have just been ended, so no slot of its pages is in use.
    for (const page of this.#pages.get(server) ?? []) this.#options.freePage?.(page)
    this.#pages.delete(server)
  }

  #rebuild(kind: 'port' | 'mmio'): void {
    this.#askedServer = null
    // Nothing is found directly while accesses are traced: all of them come by `#direct`.
    const servers = this.#trace === undefined ? this.#servers : []
    const internal = this.#trace === undefined ? this.#internal : NO_REGIONS
    if (kind === 'port') this.#ports.rebuild(servers, internal)
    else this.#mmio.rebuild(servers, internal, this.#space.windows)
  }

  // ---- direct accesses ----

  /** Reads 1, 2 or 4 bytes at a port: `IO_DONE`, `IO_LOG`, `IO_UNHANDLED` or `IO_FAILED`. */
  portRead(port: number, size: number): number {
    const entry = this.#portMap[port]!
    const region = this.#portRegions[entry & PORT_REGION]!
    if (isDirectCall(entry, size)) {
      try {
        const value = region.handler.read(port - region.base, size as 1 | 2 | 4)
        // As \`isWord\`, which costs half a nanosecond here.
        if (typeof value === 'number' && ((value | 0) === value || value >>> 0 === value)) {
          this.lo = size === 4 ? value >>> 0 : size === 1 ? value & 0xff : value & 0xffff
          this.hi = 0
          return IO_DONE
        }
        throw badRead(value)
      } catch (error) {
        return this.#failed(region, IOREQ_TYPE_PIO, IOREQ_READ, port, size, error)
      }
    }
    if (!region.direct && region.server !== null && this.#asynchronous(IOREQ_TYPE_PIO, port, size) !== null)
      return IO_LOG
    return this.#direct(IOREQ_TYPE_PIO, IOREQ_READ, port, size, 0, 0)
  }

  /** Writes 1, 2 or 4 bytes to a port. */
  portWrite(port: number, size: number, value: number): number {
    const entry = this.#portMap[port]!
    const region = this.#portRegions[entry & PORT_REGION]!
    if (isDirectCall(entry, size)) {
      try {
        checkedVoid(region.handler.write(port - region.base, size as 1 | 2 | 4, cut(value, size)))
        return IO_DONE
      } catch (error) {
        return this.#failed(region, IOREQ_TYPE_PIO, IOREQ_WRITE, port, size, error)
      }
    }
    if (!region.direct && region.server !== null && this.#asynchronous(IOREQ_TYPE_PIO, port, size) !== null)
      return IO_LOG
    return this.#direct(IOREQ_TYPE_PIO, IOREQ_WRITE, port, size, value, 0)
  }

  /** Reads 1–8 bytes at a guest-physical address. */
  mmioRead(gpa: number, size: number): number {
    const mmio = this.#mmio
    const region = mmio.find(gpa)
    if (isDirectCall(region.directSizes, size) && gpa + size <= mmio.hitEnd) {
      try {
        const value = region.handler.read(gpa - region.base, size as 1 | 2 | 4)
        // As \`isWord\`, which costs half a nanosecond here.
        if (typeof value === 'number' && ((value | 0) === value || value >>> 0 === value)) {
          this.lo = size === 4 ? value >>> 0 : size === 1 ? value & 0xff : value & 0xffff
          this.hi = 0
          return IO_DONE
        }
        throw badRead(value)
      } catch (error) {
        return this.#failed(region, IOREQ_TYPE_COPY, IOREQ_READ, gpa, size, error)
      }
    }
    if (!region.direct && region.server !== null && this.#asynchronous(IOREQ_TYPE_COPY, gpa, size) !== null)
      return IO_LOG
    return this.#direct(IOREQ_TYPE_COPY, IOREQ_READ, gpa, size, 0, 0)
  }

  /** {@link IoDispatch.mmioRead} for a vCPU that can wait: instead of `IO_LOG`, the request is sent as by `submitOne`. */
  mmioReadOrSend(vcpu: number, gpa: number, size: number): number {
    const mmio = this.#mmio
    const region = mmio.find(gpa)
    const { server } = region
    if (!region.direct && server !== null && server.local !== null && gpa + size <= mmio.hitEnd) {
      const offset = gpa - region.base
      if (isOneCall(region, offset, size)) {
        return this.#sendTo(vcpu, server, region, offset, IOREQ_TYPE_COPY, IOREQ_READ, gpa, size, 0, 0)
      }
    }
    const status = this.mmioRead(gpa, size)
    return status === IO_LOG ? this.submitOne(vcpu, IOREQ_TYPE_COPY, IOREQ_READ, gpa, size, 0, 0) : status
  }

  /** Writes 1–8 bytes to a guest-physical address. */
  mmioWrite(gpa: number, size: number, lo: number, hi: number): number {
    const mmio = this.#mmio
    const region = mmio.find(gpa)
    if (isDirectCall(region.directSizes, size) && gpa + size <= mmio.hitEnd) {
      try {
        checkedVoid(region.handler.write(gpa - region.base, size as 1 | 2 | 4, cut(lo, size)))
        return IO_DONE
      } catch (error) {
        return this.#failed(region, IOREQ_TYPE_COPY, IOREQ_WRITE, gpa, size, error)
      }
    }
    if (!region.direct && region.server !== null && this.#asynchronous(IOREQ_TYPE_COPY, gpa, size) !== null)
      return IO_LOG
    return this.#direct(IOREQ_TYPE_COPY, IOREQ_WRITE, gpa, size, lo, hi)
  }

  /** All accesses that are not one call of one region's handler. */
  #direct(type: number, direction: number, address: number, size: number, lo: number, hi: number): number {
    const status = this.#directly(type, direction, address, size, lo, hi)
    if (this.#trace !== undefined && status !== IO_LOG)
      this.#traceDirect(status, type, direction, address, size, lo, hi)
    return status
  }

  #traceDirect(
    status: number,
    type: number,
    direction: number,
    address: number,
    size: number,
    lo: number,
    hi: number,
  ): void {
    const party = this.#select(type === IOREQ_TYPE_PIO ? 'port' : 'mmio', address, address + size - 1)
    const config = this.#space.decodes(type, address, size)
    const server = config ? this.#configServer() : party
    const request = createIoRequest()
    request.type = config ? IOREQ_TYPE_PCI_CONFIG : type
    request.direction = direction
    request.addressLo = config ? this.#space.register : address >>> 0
    request.addressHi = config ? this.#space.bdf : Math.floor(address / 2 ** 32)
    request.size = size
    const read = direction === IOREQ_READ
    this.#trace!({
      event: status === IO_DONE ? 'done' : status === IO_UNHANDLED ? 'unhandled' : 'ended',
      vcpu: -1,
      server: server === null || server === undefined ? '' : server instanceof IoreqServer ? server.name : 'hypervisor',
      request,
      lo: read ? this.lo : lo >>> 0,
      hi: read ? this.hi : hi >>> 0,
    })
  }

  #directly(type: number, direction: number, address: number, size: number, lo: number, hi: number): number {
    if (this.#space.decodes(type, address, size)) {
      const server = this.#configServer()
      if (server === null) return this.#unhandled(size)
      return server.local === null ? IO_LOG : this.#configAccess(server, direction, size, lo, hi)
    }
    const kind = type === IOREQ_TYPE_PIO ? 'port' : 'mmio'
    const last = address + size - 1
    const party = this.#select(kind, address, last)
    if (party !== null && !this.#allDirect(party, kind, address, last)) return IO_LOG
    // The dword is latched and still forwarded.
    if (direction === IOREQ_WRITE && this.#space.isLatch(type, address, size)) this.config.value = lo >>> 0
    if (party === null) return this.#nobody(type, direction, address, size)
    return this.#pieces(party, kind, direction, address, size, lo, hi)
  }

  /** An access that no range holds. */
  #nobody(type: number, direction: number, address: number, size: number): number {
    // Where there are PCI functions and no model of a host bridge has claimed the port, the latch itself answers.
    if (this.#space.isLatch(type, address, size) && this.#hasFunctions()) {
      if (direction === IOREQ_READ) {
        this.lo = this.config.value
        this.hi = 0
      }
      return IO_DONE
    }
    return this.#unhandled(size)
  }

  #hasFunctions(): boolean {
    return this.#servers.some((server) => server !== null && server.ranges[XEN_DMOP_IO_RANGE_PCI].count > 0)
  }

  #unhandled(size: number): number {
    allOnes(size, this)
    return IO_UNHANDLED
  }

  /** The hypervisor's own table, a server, or null: whoever has all of `first` … `last`. */
  #select(kind: 'port' | 'mmio', first: number, last: number): RegionTable | IoreqServer | null {
    if (this.#covers(this.#internal, kind, first, last)) return this.#internal
    const type = kind === 'port' ? XEN_DMOP_IO_RANGE_PORT : XEN_DMOP_IO_RANGE_MEMORY
    return this.#selectServer(type, first, last)
  }

  #covers(table: RegionTable, kind: 'port' | 'mmio', first: number, last: number): boolean {
    for (let at = first; at <= last;) {
      const region = table.regionAt(kind, at)
      if (region === null) return false
      at = region.base + region.length
    }
    return true
  }

  #selectServer(type: number, first: number, last: number): IoreqServer | null {
    for (let id = MAX_NR_IOREQ_SERVERS - 1; id >= 0; id--) {
      const server = this.#servers[id]!
      if (server !== null && server.enabled && server.ranges[type as 0 | 1 | 2].contains(first, last)) return server
    }
    return null
  }

  /** The server with the function that `#space.decodes` has found, or null. */
  #configServer(): IoreqServer | null {
    return this.#selectServer(XEN_DMOP_IO_RANGE_PCI, this.#space.bdf, this.#space.bdf)
  }

  #configAccess(server: IoreqServer, direction: number, size: number, lo: number, hi: number): number {
    const local = server.local!
    const bdf = this.#space.bdf
    const register = this.#space.register
    try {
      this.hi = 0
      if (direction === IOREQ_READ) {
        this.lo = local.configRead(bdf, register, Math.min(size, 4)) >>> 0
        if (size > 4) this.hi = local.configRead(bdf, register + 4, size - 4) >>> 0
        if (size < 4) this.lo = cut(this.lo, size)
      } else {
        local.configWrite(bdf, register, Math.min(size, 4), lo)
        if (size > 4) local.configWrite(bdf, register + 4, size - 4, hi)
      }
      return IO_DONE
    } catch (error) {
      const device = local.functionOwner(bdf) ?? server.name
      return this.#failures.fail(server, device, IOREQ_TYPE_PCI_CONFIG, direction, register, size, error)
    }
  }

  #localOf(party: RegionTable | IoreqServer): Pick<LocalRegions, 'regionAt' | 'allDirect'> | null {
    return party instanceof RegionTable ? party : party.local
  }

  #allDirect(party: RegionTable | IoreqServer, kind: 'port' | 'mmio', first: number, last: number): boolean {
    return this.#localOf(party)?.allDirect(kind, first, last) ?? false
  }

  /** Makes an access to direct regions, split where it leaves one of them. */
  #pieces(
    party: RegionTable | IoreqServer,
    kind: 'port' | 'mmio',
    direction: number,
    address: number,
    size: number,
    lo: number,
    hi: number,
  ): number {
    const local = this.#localOf(party)!
    const type = kind === 'port' ? IOREQ_TYPE_PIO : IOREQ_TYPE_COPY
    const read = direction === IOREQ_READ
    const pieces = this.#piecewise
    this.#pieceType = type
    this.#pieceDirection = direction
    this.#pieceStatus = IO_DONE
    pieces.perform(local, kind, read, address, size, lo, hi)
    if (this.#pieceStatus !== IO_DONE) return this.#pieceStatus
    if (read) {
      this.lo = pieces.lo
      this.hi = pieces.hi
    }
    return IO_DONE
  }

  /** A model has failed in one piece of an access; true: it goes on without it. */
  #pieceFailed(region: ClaimedRegion): boolean {
    const { failedAt, failedBytes, error } = this.#piecewise
    this.#pieceStatus = this.#failed(region, this.#pieceType, this.#pieceDirection, failedAt, failedBytes, error)
    return this.#pieceStatus === IO_DONE
  }

  // ---- logged accesses ----

  /** {@link IoDispatch.submit} of one element, whose data is `hi:lo`. */
  submitOne(
    vcpu: number,
    type: number,
    direction: number,
    address: number,
    size: number,
    lo: number,
    hi: number,
  ): number {
    // The direct call that came before has found it.
    const known = address === this.#askedAddress && size === this.#askedSize && type === this.#askedType
    const server = known ? this.#askedServer : null
    if (server !== null && (server.ring === null || direction === IOREQ_READ)) {
      return this.#sendTo(vcpu, server, this.#askedRegion, this.#askedOffset, type, direction, address, size, lo, hi)
    }
    const request = this.#one
    request.type = type
    request.direction = direction
    request.addressLo = address >>> 0
    request.addressHi = Math.floor(address / 2 ** 32)
    request.dataLo = lo >>> 0
    request.dataHi = hi >>> 0
    request.size = size
    return this.submit(vcpu, request)
  }

  #sendTo(
    vcpu: number,
    server: IoreqServer,
    region: ClaimedRegion | null,
    offset: number,
    type: number,
    direction: number,
    address: number,
    size: number,
    lo: number,
    hi: number,
  ): number {
    const pending = this.#pending
    pending.checkFree(vcpu)
    this.count = 1
    return pending.sendOne(vcpu, server, region, offset, type, direction, address, size, lo, hi)
  }

  /**
   * Makes an access from a logged pass.
   *
   * @param claimant - the server that has claimed writes to RAM, if it is one: it gets the access whatever its ranges are
   * @returns `IO_DONE` with the answer, `IO_RETRY` (the vCPU waits for `onComplete`), `IO_UNHANDLED` or `IO_FAILED`
   * @throws IoreqError `ERR_BUSY` if the vCPU has a request already, `ERR_INVALID` for a size or type that cannot be sent
   */
  submit(vcpu: number, request: IoRequest, claimant: IoreqServer | null = null): number {
    this.#pending.checkFree(vcpu)
    const { size, count, type, direction } = request
    if ((size !== 1 && size !== 2 && size !== 4 && size !== 8) || (type === IOREQ_TYPE_PIO && size === 8)) {
      // Such a size never reaches a server.
      return this.#unhandled(size)
    }
    if ((type !== IOREQ_TYPE_PIO && type !== IOREQ_TYPE_COPY) || count < 1) {
      throw new IoreqError('ERR_INVALID', `request of type ${type} with ${count} elements cannot be submitted`)
    }
    this.count = count
    const address = requestAddress(request)
    if (claimant !== null && !claimant.ranges[XEN_DMOP_IO_RANGE_MEMORY].contains(address, address + size - 1)) {
      return this.#pending.send(vcpu, claimant, request)
    }
    if (count === 1 && !request.dataIsPointer) {
      const server = this.#asynchronous(type, address, size)
      if (server !== null && (server.ring === null || direction === IOREQ_READ)) {
        return this.#pending.send(vcpu, server, request)
      }
      const status = this.#attempt(type, direction, address, size, request.dataLo, request.dataHi)
      if (status !== IO_LOG) return status
    }
    const sent = this.#scratch
    copyIoRequest(request, sent)
    let server: IoreqServer | null = null
    if (this.#space.decodes(type, address, size)) {
      server = this.#configServer()
      if (server === null) return this.#unhandled(size)
      const { local } = server
      if (local !== null) {
        const owner = server
        return this.#elements(request, address, 0, (_at, lo, hi) => this.#configAccess(owner, direction, size, lo, hi))
      }
      sent.type = IOREQ_TYPE_PCI_CONFIG
      sent.addressHi = this.#space.bdf
      sent.addressLo = this.#space.register
    }
    if (server === null) {
      const kind = type === IOREQ_TYPE_PIO ? 'port' : 'mmio'
      // The port of a string instruction stays; its memory side moves.
      const step = type === IOREQ_TYPE_PIO ? 0 : request.df ? -size : size
      const span = (count - 1) * Math.abs(step)
      const first = request.df ? address - span : address
      const last = request.df ? address + size - 1 : address + span + size - 1
      const party = this.#select(kind, first, last)
      if (direction === IOREQ_WRITE && this.#space.isLatch(type, address, size))
        this.config.value = request.dataLo >>> 0
      if (party === null) {
        if (count === 1) return this.#nobody(type, direction, address, size)
        this.count = 0
        return this.#unhandled(size)
      }
      if (this.#allDirect(party, kind, first, last)) {
        return this.#elements(request, address, step, (at, lo, hi) =>
          this.#pieces(party, kind, direction, at, size, lo, hi),
        )
      }
      if (party instanceof RegionTable) throw new Error('invariant: internal regions are direct')
      server = party
      if (direction === IOREQ_WRITE && this.#buffer(vcpu, server, sent, first, last)) return IO_DONE
    }
    return this.#pending.send(vcpu, server, sent)
  }

  /** Puts a write into the server's ring, where that is declared and possible. */
  #buffer(vcpu: number, server: IoreqServer, request: IoRequest, first: number, last: number): boolean {
    const ranges = server.bufferedRanges[request.type as 0 | 1]
    // A vCPU whose earlier request is still draining must not overtake it.
    if (server.ring === null || !ranges.contains(first, last) || server.draining[vcpu] !== 0) return false
    if (!server.ring.produce(request)) return false
    this.#trace?.({ event: 'buffered', vcpu, server: server.name, request, lo: request.dataLo, hi: request.dataHi })
    this.#notifyBuffered(server)
    return true
  }

  #notifyBuffered(server: IoreqServer): void {
    try {
      server.transport.notifyBuffered?.()
    } catch (error) {
      this.#failures.failOutside(server, server.name, 'a buffered write', error)
    }
  }

  /**
   * Tells all enabled servers that the guest's clock was moved, through their rings; models in this process by a call.
   *
   * @param seconds - signed 64-bit
   * @returns how many servers could not be told: they have no ring, or it is full
   */
  timeOffset(seconds: bigint): number {
    if (seconds === 0n) return 0
    const request = createIoRequest()
    request.type = IOREQ_TYPE_TIMEOFFSET
    request.size = 8
    request.dataLo = Number(BigInt.asUintN(32, seconds))
    request.dataHi = Number(BigInt.asUintN(32, seconds >> 32n))
    let missed = 0
    for (const server of this.#servers) {
      if (server === null || !server.enabled) continue
      if (server.transport.timeOffset?.(request) === true) continue
      if (server.ring?.produce(request) === true) this.#notifyBuffered(server)
      else missed++
    }
    return missed
  }

  /**
   * Asks all servers to drop what they have mapped of guest memory: an INVALIDATE request in the vCPU's own slot of each
   * that is enabled. The vCPU must not run on until all have acknowledged.
   *
   * @param notice - what is to be dropped; default everything
   * @returns `IO_DONE` if they have, or `IO_RETRY`: `onComplete` follows the last acknowledgement
   * @throws IoreqError `ERR_BUSY` if the vCPU has a request already
   */
  invalidate(vcpu: number, notice: InvalidationNotice = INVALIDATE_ALL): number {
    return this.#pending.invalidate(vcpu, notice)
  }

  /**
   * Name of a model of this process whose mapping the vCPU's invalidation waits for; undefined where there is none, or
   * another server has yet to answer as well.
   */
  invalidationHolder(vcpu: number): string | undefined {
    return this.#pending.holder(vcpu)
  }

  /**
   * The server that alone answers an access and may take its time, found by a look-up; null for any other access, and
   * where it takes more to find out.
   */
  #asynchronous(type: number, address: number, size: number): IoreqServer | null {
    const port = type === IOREQ_TYPE_PIO
    const region = port ? this.#portRegions[this.#portMap[address]! & PORT_REGION]! : this.#mmio.find(address)
    const { server } = region
    if (server === null || region.direct) return null
    if (port ? !this.#claimsPorts(server, address, size) : address + size > this.#mmio.hitEnd) return null
    this.#askedServer = server
    this.#askedOffset = address - region.base
    this.#askedRegion = server.local !== null && isOneCall(region, this.#askedOffset, size) ? region : null
    this.#askedType = type
    this.#askedAddress = address
    this.#askedSize = size
    return server
  }

  #claimsPorts(server: IoreqServer, address: number, size: number): boolean {
    // Nobody of higher precedence claims even the first port, so it is the server if it claims them all.
    const last = address + size - 1
    return server.ranges[XEN_DMOP_IO_RANGE_PORT].contains(address, last)
  }

  /** The direct call for one element. */
  #attempt(type: number, direction: number, address: number, size: number, lo: number, hi: number): number {
    if (type === IOREQ_TYPE_PIO) {
      return direction === IOREQ_READ ? this.portRead(address, size) : this.portWrite(address, size, lo)
    }
    return direction === IOREQ_READ ? this.mmioRead(address, size) : this.mmioWrite(address, size, lo, hi)
  }

  /**
   * Makes the direct accesses of a string instruction.
   *
   * @param step - from one element's address to the next one's; 0 for a port
   */
  #elements(
    request: IoRequest,
    address: number,
    step: number,
    access: (at: number, lo: number, hi: number) => number,
  ): number {
    const { size, count, direction } = request
    const pointer = request.dataHi * 2 ** 32 + request.dataLo
    const bytes = new Uint8Array(size)
    for (let i = 0; i < count; i++) {
      let lo = request.dataLo
      let hi = request.dataHi
      const memory = pointer + (request.df ? -i * size : i * size)
      if (request.dataIsPointer && direction === IOREQ_WRITE) {
        bytes.fill(0xff)
        this.#options.guestMemory?.read(memory, bytes)
        lo = wordAt(bytes, 0)
        hi = wordAt(bytes, 4)
      }
      const status = access(address + i * step, lo, hi)
      if (status !== IO_DONE) {
        this.count = i
        return i > 0 && status === IO_UNHANDLED ? IO_DONE : status
      }
      if (request.dataIsPointer && direction === IOREQ_READ) {
        putBytes(bytes, 0, size, this.lo, this.hi)
        this.#options.guestMemory?.write(memory, bytes)
      }
    }
    return IO_DONE
  }

  /** Whether a vCPU waits for an answer (or has one to take). */
  pending(vcpu: number): boolean {
    return this.#pending.has(vcpu)
  }

  /** Whether an answer, or an acknowledgement of an invalidation, is still to come for a vCPU. */
  unanswered(vcpu: number): boolean {
    return this.#pending.unanswered(vcpu)
  }

  /**
   * Takes the answer to the vCPU's request.
   *
   * @returns `IO_RETRY` while there is none, otherwise as `submit`
   * @throws IoreqError `ERR_NOT_FOUND` if the vCPU has no request
   */
  takeResponse(vcpu: number): number {
    return this.#pending.take(vcpu)
  }

  /**
   * The vCPU no longer wants its answer (reset, INIT, SIPI, set-context). A late one is drained and dropped; a new
   * request to the same server is sent after that.
   */
  cancel(vcpu: number): void {
    this.#pending.cancel(vcpu)
  }

  /** @internal A server's slot has changed. */
  answered(server: IoreqServer, vcpu: number, mayRun: boolean): void {
    this.#pending.answered(server, vcpu, mayRun)
  }

  /** @internal A model of this process has answered. */
  returned(server: IoreqServer, vcpu: number, lo: number, hi: number, mayRun: boolean): void {
    this.#pending.returned(server, vcpu, lo, hi, mayRun)
  }

  // ---- models that break their contract ----

  /** @internal The server of a pending request cannot answer it. */
  serverFailed(server: IoreqServer, vcpu: number, device: string, error: unknown): void {
    this.#pending.serverFailed(server, vcpu, device, error)
  }

  /** A server is gone: its process has ended, or its transport's protocol was broken. The policy decides what follows. */
  serverGone(server: IoreqServer, error: unknown): void {
    this.#pending.serverGone(server, error)
  }

  /**
   * Fails servers that have had a request for longer than `deadlineMs`. Host timers do this by themselves; for a thread
   * that blocks instead of returning to its event loop.
   *
   * @param now - `performance.now()`
   * @returns milliseconds until the next deadline, or `Infinity`
   */
  expireDeadlines(now: number): number {
    return this.#pending.expire(now)
  }

  /** @internal A model failed outside of an access, in a timer for instance. */
  modelFailed(server: IoreqServer, device: string, what: string, error: unknown): void {
    this.#failures.failOutside(server, device, what, error)
  }

  #failed(
    region: ClaimedRegion,
    type: number,
    direction: number,
    address: number,
    size: number,
    error: unknown,
  ): number {
    const party = this.#select(type === IOREQ_TYPE_PIO ? 'port' : 'mmio', address, address + size - 1)
    const server = party instanceof IoreqServer ? party : null
    return this.#failures.fail(server, region.device, type, direction, address, size, error)
  }

  // ---- state ----

  /** Returns the latched configuration address. */
  save(): IoDispatchState {
    return { version: 1, configAddress: this.config.value }
  }

  /** Takes what `save` returned. @throws IoreqError `ERR_INVALID` */
  restore(state: IoDispatchState): void {
    if (state.version !== 1)
      throw new IoreqError('ERR_INVALID', `dispatcher state of version ${String(state.version)}: expected 1`)
    this.config.value = state.configAddress >>> 0
  }

  /** Power-on state: every request is cancelled, CF8 is 0. Ranges and servers stay. */
  reset(): void {
    for (let vcpu = 0; vcpu < this.vcpus; vcpu++) this.cancel(vcpu)
    this.config.value = 0
  }
}
