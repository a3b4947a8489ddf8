import type { Dma, RangeHandler, Region, RegionOptions } from './device.ts'
import { hex, IoreqError } from './errors.ts'
import {
  HVM_IOREQSRV_BUFIOREQ_OFF,
  IOREQ_READ,
  IOREQ_SLOTS,
  IOREQ_TYPE_COPY,
  IOREQ_TYPE_PCI_CONFIG,
  IOREQ_TYPE_PIO,
  IOREQ_WRITE,
  MAX_NR_IOREQ_SERVERS,
  STATE_IOREQ_INPROCESS,
  STATE_IOREQ_NONE,
  STATE_IOREQ_READY,
  STATE_IORESP_READY,
  XEN_DMOP_IO_RANGE_MEMORY,
  XEN_DMOP_IO_RANGE_PCI,
  XEN_DMOP_IO_RANGE_PORT,
} from './layout.ts'
import { BufferedRing } from './buffered-ring.ts'
import { MmioLookup, PortLookup } from './lookup.ts'
import { cut, readRegion, writeRegion, type ClaimedRegion } from './region.ts'
import { RegionTable } from './region-table.ts'
import { copyIoRequest, createIoRequest, type IoRequest } from './request.ts'
import { IoreqServer, type IoreqTransport, type LocalRegions, type ServerOwner } from './server.ts'
import { IoreqPage } from './slot.ts'

/** The access has been made; a read's answer is in `lo` and `hi` of the dispatcher. */
export const IO_DONE = 0
/** The request is with its server; `onComplete` will tell when the answer is there. */
export const IO_RETRY = 1
/** Nothing has happened: this access may only be made by `submit`, from a logged pass. */
export const IO_LOG = 2
/** Nobody answers there: a read gave all ones, a write was dropped. */
export const IO_UNHANDLED = 3
/** The device model broke its contract and the policy is `crash`: the domain must stop. `onFailure` has been told. */
export const IO_FAILED = 4

const CONFIG_ADDRESS = 0xcf8
const CONFIG_DATA = 0xcfc
const CONFIG_ENABLE = 0x8000_0000

/** How a device model broke its contract. */
export interface DeviceFailure {
  readonly server: number
  readonly serverName: string
  /** The model within the server, where that is known. */
  readonly device: string
  /** The access in words, such as "mmio read of 4 bytes at 0xfed00000". */
  readonly request: string
  readonly cause: unknown
}

/** What a domain does about a model that breaks its contract. */
export type FailurePolicy = 'crash' | 'detach'

export interface IoDispatchOptions {
  /** vCPUs of the domain, 1–128. */
  readonly vcpus: number
  /** Called when a submitted request has its answer (or its end): wake the vCPU, and `takeResponse` from its next pass. */
  onComplete?(vcpu: number): void
  /** `crash` (default): the access yields `IO_FAILED`. `detach`: the model reads as ones from now on. */
  readonly policy?: FailurePolicy
  onFailure?(failure: DeviceFailure): void
  /** Guest RAM, for requests whose data is a pointer. */
  readonly guestMemory?: Pick<Dma, 'read' | 'write'>
  /** Supplies a zeroed 4096-byte page of machine memory for requests. Default: a buffer of its own. */
  allocatePage?(purpose: string): { readonly buffer: ArrayBufferLike; readonly byteOffset: number }
}

export interface ServerOptions {
  readonly name: string
  readonly transport: IoreqTransport
  /** `HVM_IOREQSRV_BUFIOREQ_*`; default off. */
  readonly bufferedMode?: number
  /** @internal */
  readonly local?: LocalRegions
}

/** Saved form of the dispatcher's own state. */
export interface IoDispatchState {
  readonly version: 1
  readonly configAddress: number
}

/** What one vCPU waits for. */
class VcpuIo {
  server: IoreqServer | null = null
  readonly request: IoRequest = createIoRequest()
  /** The slot is still draining a cancelled request; ours is published after it. */
  queued = false
  submitting = false
  /** The wait is over without an answer: all ones, or failed. */
  ended = IO_RETRY
  seenState = STATE_IOREQ_NONE
  completed = false
}

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
  /** AMD families 0x10–0x16 with NB_CFG bit 46: CF8 bits 27:24 are register bits 11:8. */
  extendedConfig = false
  /** The latched CF8. */
  configAddress = 0

  readonly vcpus: number
  readonly policy: FailurePolicy
  readonly #options: IoDispatchOptions
  readonly #servers: (IoreqServer | null)[] = new Array<IoreqServer | null>(MAX_NR_IOREQ_SERVERS).fill(null)
  readonly #internal: RegionTable
  readonly #ports = new PortLookup()
  readonly #mmio = new MmioLookup()
  readonly #portMap: Uint16Array
  readonly #portRegions: readonly ClaimedRegion[]
  readonly #waits: readonly VcpuIo[]
  readonly #scratch: IoRequest = createIoRequest()
  readonly #bytes = new Uint8Array(8)

  constructor(options: IoDispatchOptions) {
    if (!Number.isInteger(options.vcpus) || options.vcpus < 1 || options.vcpus > IOREQ_SLOTS) {
      throw new IoreqError(
        'ERR_INVALID',
        `${options.vcpus} vCPUs: expected 1–${IOREQ_SLOTS}, the slots of a request page`,
      )
    }
    this.vcpus = options.vcpus
    this.policy = options.policy ?? 'crash'
    this.#options = options
    this.#internal = new RegionTable((kind) => this.#rebuild(kind))
    this.#portMap = this.#ports.map
    this.#portRegions = this.#ports.regions
    this.#waits = Array.from({ length: options.vcpus }, () => new VcpuIo())
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
    const page = this.#allocate(`request page of ioreq server ${options.name}`)
    const mode = options.bufferedMode ?? HVM_IOREQSRV_BUFIOREQ_OFF
    let ring: BufferedRing | null = null
    if (mode !== HVM_IOREQSRV_BUFIOREQ_OFF) {
      const ringPage = this.#allocate(`buffered ring of ioreq server ${options.name}`)
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
    return server
  }

  #allocate(purpose: string): { readonly buffer: ArrayBufferLike; readonly byteOffset: number } {
    return this.#options.allocatePage?.(purpose) ?? { buffer: new ArrayBuffer(4096), byteOffset: 0 }
  }

  /** Claims ports for the hypervisor itself, before any server. Handlers answer at once. */
  mapInternalPorts(name: string, base: number, count: number, handler: RangeHandler, options?: RegionOptions): Region {
    return this.#internal.map(name, 'port', base, count, handler, true, options)
  }

  /** Claims guest-physical addresses for the hypervisor itself, before any server. Handlers answer at once. */
  mapInternalMmio(name: string, gpa: number, bytes: number, handler: RangeHandler, options?: RegionOptions): Region {
    return this.#internal.map(name, 'mmio', gpa, bytes, handler, true, options)
  }

  /** @internal */
  rangesChanged(server: IoreqServer, type: number): void {
    if (!server.enabled) return
    if (type === XEN_DMOP_IO_RANGE_PORT) this.#rebuild('port')
    else if (type === XEN_DMOP_IO_RANGE_MEMORY) this.#rebuild('mmio')
  }

  /** @internal */
  stateChanged(server: IoreqServer): void {
    if (server.enabled) {
      // Ports of the event channels; a server that changes one is found out when the next request is sent.
      for (let vcpu = 0; vcpu < this.vcpus; vcpu++) server.slot(vcpu).eventPort = vcpu + 1
    }
    this.#rebuild('port')
    this.#rebuild('mmio')
  }

  /** @internal */
  destroyed(server: IoreqServer): void {
    this.#servers[server.id] = null
    this.stateChanged(server)
    this.#endWaits(server)
  }

  #endWaits(server: IoreqServer): void {
    for (let vcpu = 0; vcpu < this.vcpus; vcpu++) {
      const wait = this.#waits[vcpu]!
      if (wait.server === server) this.#end(vcpu, wait, IO_UNHANDLED)
    }
  }

  #rebuild(kind: 'port' | 'mmio'): void {
    if (kind === 'port') this.#ports.rebuild(this.#servers, this.#internal)
    else this.#mmio.rebuild(this.#servers, this.#internal)
  }

  // ---- direct accesses ----

  /** Reads 1, 2 or 4 bytes at a port: `IO_DONE`, `IO_LOG`, `IO_UNHANDLED` or `IO_FAILED`. */
  portRead(port: number, size: number): number {
    const region = this.#portRegions[this.#portMap[port]!]!
    if (region.direct) {
      const offset = port - region.base
      if (offset + size <= region.length && size <= region.maximumAccess && size >= region.minimumAccess) {
        try {
          const value = region.handler.read(offset, size as 1 | 2 | 4)
          if (typeof value === 'number') {
            this.lo = size === 4 ? value >>> 0 : size === 1 ? value & 0xff : value & 0xffff
            this.hi = 0
            return IO_DONE
          }
          return this.#badAnswer(region, IOREQ_TYPE_PIO, IOREQ_READ, port, size, value)
        } catch (error) {
          return this.#failed(region, IOREQ_TYPE_PIO, IOREQ_READ, port, size, error)
        }
      }
    }
    return this.#direct(IOREQ_TYPE_PIO, IOREQ_READ, port, size, 0, 0)
  }

  /** Writes 1, 2 or 4 bytes to a port. */
  portWrite(port: number, size: number, value: number): number {
    const region = this.#portRegions[this.#portMap[port]!]!
    if (region.direct) {
      const offset = port - region.base
      if (offset + size <= region.length && size <= region.maximumAccess && size >= region.minimumAccess) {
        try {
          const answer = region.handler.write(offset, size as 1 | 2 | 4, cut(value, size))
          return answer === undefined
            ? IO_DONE
            : this.#badAnswer(region, IOREQ_TYPE_PIO, IOREQ_WRITE, port, size, answer)
        } catch (error) {
          return this.#failed(region, IOREQ_TYPE_PIO, IOREQ_WRITE, port, size, error)
        }
      }
    }
    return this.#direct(IOREQ_TYPE_PIO, IOREQ_WRITE, port, size, value, 0)
  }

  /** Reads 1–8 bytes at a guest-physical address. */
  mmioRead(gpa: number, size: number): number {
    const mmio = this.#mmio
    const region = mmio.find(gpa)
    if (region.direct && gpa + size <= mmio.hitEnd) {
      const offset = gpa - region.base
      if (size <= 4 && size !== 3 && size <= region.maximumAccess && size >= region.minimumAccess) {
        try {
          const value = region.handler.read(offset, size as 1 | 2 | 4)
          if (typeof value === 'number') {
            this.lo = size === 4 ? value >>> 0 : size === 1 ? value & 0xff : value & 0xffff
            this.hi = 0
            return IO_DONE
          }
          return this.#badAnswer(region, IOREQ_TYPE_COPY, IOREQ_READ, gpa, size, value)
        } catch (error) {
          return this.#failed(region, IOREQ_TYPE_COPY, IOREQ_READ, gpa, size, error)
        }
      }
    }
    return this.#direct(IOREQ_TYPE_COPY, IOREQ_READ, gpa, size, 0, 0)
  }

  /** Writes 1–8 bytes to a guest-physical address. */
  mmioWrite(gpa: number, size: number, lo: number, hi: number): number {
    const mmio = this.#mmio
    const region = mmio.find(gpa)
    if (region.direct && gpa + size <= mmio.hitEnd) {
      const offset = gpa - region.base
      if (size <= 4 && size !== 3 && size <= region.maximumAccess && size >= region.minimumAccess) {
        try {
          const answer = region.handler.write(offset, size as 1 | 2 | 4, cut(lo, size))
          return answer === undefined
            ? IO_DONE
            : this.#badAnswer(region, IOREQ_TYPE_COPY, IOREQ_WRITE, gpa, size, answer)
        } catch (error) {
          return this.#failed(region, IOREQ_TYPE_COPY, IOREQ_WRITE, gpa, size, error)
        }
      }
    }
    return this.#direct(IOREQ_TYPE_COPY, IOREQ_WRITE, gpa, size, lo, hi)
  }

  /** All accesses that are not one call of one region's handler. */
  #direct(type: number, direction: number, address: number, size: number, lo: number, hi: number): number {
    if (type === IOREQ_TYPE_PIO) {
      const pci = this.#pciServer(address)
      if (pci !== null) {
        if (pci === undefined) return this.#unhandled(size)
        return pci.local === null ? IO_LOG : this.#config(pci, direction, address, size, lo)
      }
    }
    const kind = type === IOREQ_TYPE_PIO ? 'port' : 'mmio'
    const last = address + size - 1
    const party = this.#select(kind, address, last)
    if (party === null) {
      this.#latchConfigAddress(type, direction, address, size, lo)
      return this.#unhandled(size)
    }
    if (!this.#allDirect(party, kind, address, last)) return IO_LOG
    this.#latchConfigAddress(type, direction, address, size, lo)
    return this.#pieces(party, kind, direction, address, size, lo, hi)
  }

  #latchConfigAddress(type: number, direction: number, address: number, size: number, value: number): void {
    // Bytes and words go to the device only: another device may live there (0xCF9).
    if (type === IOREQ_TYPE_PIO && address === CONFIG_ADDRESS && size === 4 && direction === IOREQ_WRITE) {
      this.configAddress = value >>> 0
    }
  }

  #unhandled(size: number): number {
    this.lo = size >= 4 ? 0xffff_ffff : 2 ** (8 * size) - 1
    this.hi = size > 4 ? 2 ** (8 * (size - 4)) - 1 : 0
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

  /** For ports 0xCFC–0xCFF with CF8 bit 31: the server with the function, undefined if none has it. Else null. */
  #pciServer(port: number): IoreqServer | null | undefined {
    if (port < CONFIG_DATA || port > CONFIG_DATA + 3 || this.configAddress < CONFIG_ENABLE) return null
    const bdf = (this.configAddress >>> 8) & 0xffff
    return this.#selectServer(XEN_DMOP_IO_RANGE_PCI, bdf, bdf) ?? undefined
  }

  #configRegister(port: number): number {
    let register = (this.configAddress & 0xfc) | (port & 3)
    if (this.extendedConfig) register |= ((this.configAddress >>> 24) & 0xf) << 8
    return register
  }

  #config(server: IoreqServer, direction: number, port: number, size: number, value: number): number {
    const bdf = (this.configAddress >>> 8) & 0xffff
    const register = this.#configRegister(port)
    try {
      this.hi = 0
      if (direction === IOREQ_READ) this.lo = server.local!.configRead(bdf, register, size) >>> 0
      else server.local!.configWrite(bdf, register, size, value)
      return IO_DONE
    } catch (error) {
      return this.#fail(server, `function ${hex(bdf)}`, IOREQ_TYPE_PCI_CONFIG, direction, register, size, error)
    }
  }

  #localOf(party: RegionTable | IoreqServer): Pick<LocalRegions, 'regionAt'> | null {
    return party instanceof RegionTable ? party : party.local
  }

  #allDirect(party: RegionTable | IoreqServer, kind: 'port' | 'mmio', first: number, last: number): boolean {
    const local = this.#localOf(party)
    if (local === null) return false
    for (let at = first; at <= last; at++) {
      const region = local.regionAt(kind, at)
      if (region !== null && !region.direct) return false
    }
    return true
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
    const bytes = this.#bytes
    if (direction === IOREQ_WRITE) put(bytes, 0, size, lo, hi)
    for (let done = 0; done < size;) {
      const region = local.regionAt(kind, address + done)!
      const offset = address + done - region.base
      const piece = Math.min(size - done, region.length - offset)
      try {
        if (direction === IOREQ_READ) {
          readRegion(region, offset, piece, this)
          put(bytes, done, piece, this.lo, this.hi)
        } else {
          writeRegion(region, offset, piece, word(bytes, done), word(bytes, done + 4))
        }
      } catch (error) {
        const status = this.#failed(region, type, direction, address + done, piece, error)
        if (status !== IO_DONE) return status
        if (direction === IOREQ_READ) put(bytes, done, piece, this.lo, this.hi)
      }
      done += piece
    }
    if (direction === IOREQ_READ) {
      bytes.fill(0, size)
      this.lo = word(bytes, 0)
      this.hi = word(bytes, 4)
    }
    return IO_DONE
  }

  // ---- logged accesses ----

  /**
   * Makes an access from a logged pass.
   *
   * @returns `IO_DONE` with the answer, `IO_RETRY` (the vCPU waits for `onComplete`), `IO_UNHANDLED` or `IO_FAILED`
   * @throws IoreqError `ERR_BUSY` if the vCPU has a request already, `ERR_INVALID` for a size or type that cannot be sent
   */
  submit(vcpu: number, request: IoRequest): number {
    const wait = this.#wait(vcpu)
    if (wait.server !== null || wait.ended !== IO_RETRY) {
      throw new IoreqError('ERR_BUSY', `vCPU ${vcpu} already waits for ${describe(wait.request)}`)
    }
    const { size, count, type, direction } = request
    if ((size !== 1 && size !== 2 && size !== 4 && size !== 8) || (type === IOREQ_TYPE_PIO && size === 8)) {
      // Such a size never reaches a server.
      return this.#unhandled(size)
    }
    if ((type !== IOREQ_TYPE_PIO && type !== IOREQ_TYPE_COPY) || count < 1) {
      throw new IoreqError('ERR_INVALID', `request of type ${type} with ${count} elements cannot be submitted`)
    }
    const address = request.addressHi * 2 ** 32 + request.addressLo
    const sent = this.#scratch
    copyIoRequest(request, sent)
    let server: IoreqServer | null | undefined = null
    if (type === IOREQ_TYPE_PIO) {
      server = this.#pciServer(address)
      if (server === undefined) return this.#unhandled(size)
      if (server !== null) {
        if (server.local !== null && count === 1 && !request.dataIsPointer) {
          return this.#config(server, direction, address, size, request.dataLo)
        }
        const bdf = (this.configAddress >>> 8) & 0xffff
        sent.type = IOREQ_TYPE_PCI_CONFIG
        sent.addressHi = bdf
        sent.addressLo = this.#configRegister(address)
      }
    }
    if (server === null) {
      const kind = type === IOREQ_TYPE_PIO ? 'port' : 'mmio'
      // The port of a string instruction stays; its memory side moves.
      const span = type === IOREQ_TYPE_PIO ? 0 : (count - 1) * size
      const first = request.df ? address - span : address
      const last = request.df ? address + size - 1 : address + span + size - 1
      const party = this.#select(kind, first, last)
      this.#latchConfigAddress(type, direction, address, size, request.dataLo)
      if (party === null) return this.#unhandled(size)
      if (this.#allDirect(party, kind, first, last)) return this.#elements(party, kind, request, address)
      if (party instanceof RegionTable) throw new Error('invariant: internal regions are direct')
      server = party
    }
    return this.#send(vcpu, wait, server, sent)
  }

  /** Makes a direct access of one or more elements. */
  #elements(server: RegionTable | IoreqServer, kind: 'port' | 'mmio', request: IoRequest, address: number): number {
    const { size, count, direction } = request
    if (count === 1 && !request.dataIsPointer) {
      return this.#pieces(server, kind, direction, address, size, request.dataLo, request.dataHi)
    }
    const step = request.df ? -size : size
    const pointer = request.dataHi * 2 ** 32 + request.dataLo
    const bytes = new Uint8Array(size)
    for (let i = 0; i < count; i++) {
      const at = kind === 'port' ? address : address + i * step
      let lo = request.dataLo
      let hi = request.dataHi
      if (request.dataIsPointer && direction === IOREQ_WRITE) {
        bytes.fill(0xff)
        this.#options.guestMemory?.read(pointer + i * step, bytes)
        lo = word(bytes, 0)
        hi = word(bytes, 4)
      }
      const status = this.#pieces(server, kind, direction, at, size, lo, hi)
      if (status !== IO_DONE) return status
      if (request.dataIsPointer && direction === IOREQ_READ) {
        put(bytes, 0, size, this.lo, this.hi)
        this.#options.guestMemory?.write(pointer + i * step, bytes)
      }
    }
    return IO_DONE
  }

  #send(vcpu: number, wait: VcpuIo, server: IoreqServer, request: IoRequest): number {
    copyIoRequest(request, wait.request)
    wait.server = server
    wait.completed = false
    if (server.draining[vcpu] !== 0) {
      // The slot still holds a request that nobody wants. Ours follows it.
      wait.queued = true
      return IO_RETRY
    }
    const slot = server.slot(vcpu)
    if (slot.state !== STATE_IOREQ_NONE || slot.eventPort !== vcpu + 1) {
      const state = slot.state
      const port = slot.eventPort
      slot.state = STATE_IOREQ_NONE
      slot.eventPort = vcpu + 1
      wait.server = null
      return this.#fail(
        server,
        server.name,
        request.type,
        request.direction,
        addressOf(request),
        request.size,
        new IoreqError('ERR_DEVICE', `the free slot was in state ${state} with event port ${port}`),
      )
    }
    wait.submitting = true
    try {
      this.#publish(vcpu, wait, server)
    } finally {
      wait.submitting = false
    }
    return this.#outcome(vcpu, wait)
  }

  #publish(vcpu: number, wait: VcpuIo, server: IoreqServer): void {
    wait.seenState = STATE_IOREQ_READY
    server.slot(vcpu).publish(wait.request)
    try {
      server.transport.notify(vcpu)
    } catch (error) {
      this.serverFailed(server, vcpu, server.name, error)
    }
  }

  /** Whether a vCPU waits for an answer (or has one to take). */
  pending(vcpu: number): boolean {
    const wait = this.#wait(vcpu)
    return wait.server !== null || wait.ended !== IO_RETRY
  }

  /**
   * Takes the answer to the vCPU's request.
   *
   * @returns `IO_RETRY` while there is none, otherwise as `submit`
   * @throws IoreqError `ERR_NOT_FOUND` if the vCPU has no request
   */
  takeResponse(vcpu: number): number {
    const wait = this.#wait(vcpu)
    if (wait.server === null && wait.ended === IO_RETRY) {
      throw new IoreqError('ERR_NOT_FOUND', `vCPU ${vcpu} has no request to take an answer of`)
    }
    return this.#outcome(vcpu, wait)
  }

  #outcome(vcpu: number, wait: VcpuIo): number {
    const { size } = wait.request
    if (wait.ended !== IO_RETRY) {
      const status = wait.ended
      wait.ended = IO_RETRY
      wait.server = null
      this.#unhandled(size)
      return status
    }
    const server = wait.server!
    if (wait.queued || !this.#look(server, vcpu, wait)) return IO_RETRY
    if (wait.ended !== IO_RETRY) return this.#outcome(vcpu, wait)
    const slot = server.slot(vcpu)
    const lo = slot.dataLo
    const hi = slot.dataHi
    slot.state = STATE_IOREQ_NONE
    wait.server = null
    this.lo = size >= 4 ? lo : cut(lo, size)
    this.hi = size === 8 ? hi : 0
    return IO_DONE
  }

  /** Reads the slot's state; true if the wait is over. */
  #look(server: IoreqServer, vcpu: number, wait: VcpuIo): boolean {
    const state = server.slot(vcpu).state
    if (state === STATE_IORESP_READY) return true
    if (state === STATE_IOREQ_NONE) {
      // The server has gone away and its page was zeroed: the access ends quietly.
      wait.ended = IO_UNHANDLED
      return true
    }
    if (state > STATE_IORESP_READY || state < wait.seenState) {
      const seen = wait.seenState
      server.slot(vcpu).state = STATE_IOREQ_NONE
      wait.ended = this.#fail(
        server,
        server.name,
        wait.request.type,
        wait.request.direction,
        addressOf(wait.request),
        wait.request.size,
        new IoreqError('ERR_DEVICE', `the slot's state went from ${seen} to ${state}`),
      )
      if (wait.ended === IO_DONE) wait.ended = IO_UNHANDLED
      return true
    }
    wait.seenState = state === STATE_IOREQ_INPROCESS ? STATE_IOREQ_INPROCESS : STATE_IOREQ_READY
    return false
  }

  /**
   * The vCPU no longer wants its answer (reset, INIT, SIPI, set-context). A late one is drained and dropped; a new
   * request to the same server is sent after that.
   */
  cancel(vcpu: number): void {
    const wait = this.#wait(vcpu)
    wait.ended = IO_RETRY
    const { server } = wait
    if (server === null) return
    wait.server = null
    if (wait.queued) {
      wait.queued = false
      return
    }
    const slot = server.slot(vcpu)
    if (slot.state === STATE_IORESP_READY || slot.state === STATE_IOREQ_NONE) {
      slot.state = STATE_IOREQ_NONE
      return
    }
    server.draining[vcpu] = 1
    server.transport.cancel?.(vcpu)
  }

  /** @internal A server's slot has changed. */
  answered(server: IoreqServer, vcpu: number): void {
    const wait = this.#wait(vcpu)
    if (server.draining[vcpu] !== 0) {
      const state = server.slot(vcpu).state
      if (state === STATE_IOREQ_READY || state === STATE_IOREQ_INPROCESS) return
      server.slot(vcpu).state = STATE_IOREQ_NONE
      server.draining[vcpu] = 0
      if (wait.server === server && wait.queued) {
        wait.queued = false
        this.#publish(vcpu, wait, server)
      }
      return
    }
    if (wait.server !== server || wait.submitting || wait.completed || wait.ended !== IO_RETRY) return
    if (this.#look(server, vcpu, wait)) {
      wait.completed = true
      this.#options.onComplete?.(vcpu)
    }
  }

  #end(vcpu: number, wait: VcpuIo, status: number): void {
    wait.ended = status
    wait.queued = false
    if (!wait.submitting && !wait.completed) {
      wait.completed = true
      this.#options.onComplete?.(vcpu)
    }
  }

  // ---- models that break their contract ----

  /** @internal The server of a pending request cannot answer it. */
  serverFailed(server: IoreqServer, vcpu: number, device: string, error: unknown): void {
    const wait = this.#wait(vcpu)
    const slot = server.slot(vcpu)
    if (server.draining[vcpu] !== 0) {
      // Nobody waits, but the contract was broken all the same.
      this.#fail(server, device, IOREQ_TYPE_COPY, IOREQ_READ, 0, 0, error)
      slot.state = STATE_IOREQ_NONE
      this.answered(server, vcpu)
      return
    }
    slot.state = STATE_IOREQ_NONE
    const r = wait.request
    const status = this.#fail(server, device, r.type, r.direction, addressOf(r), r.size, error)
    this.#end(vcpu, wait, status === IO_DONE ? IO_UNHANDLED : status)
  }

  /** @internal A model failed outside of an access, in a timer for instance. */
  modelFailed(server: IoreqServer, device: string, what: string, error: unknown): void {
    this.#report(server, device, what, error)
    if (this.policy === 'detach') server.local?.detach(device)
  }

  #badAnswer(
    region: ClaimedRegion,
    type: number,
    direction: number,
    address: number,
    size: number,
    answer: unknown,
  ): number {
    if (typeof answer === 'object' && answer !== null && 'then' in answer) {
      // The model broke its word; a rejection of its promise must not reach the process as well.
      Promise.resolve(answer).catch(() => {})
      return this.#failed(
        region,
        type,
        direction,
        address,
        size,
        new IoreqError('ERR_DEVICE', 'a model that is declared synchronous returned a promise'),
      )
    }
    if (direction === IOREQ_WRITE) return IO_DONE
    return this.#failed(
      region,
      type,
      direction,
      address,
      size,
      new IoreqError('ERR_DEVICE', `a read was answered with ${typeof answer} ${String(answer)}, not with a number`),
    )
  }

  #failed(
    region: ClaimedRegion,
    type: number,
    direction: number,
    address: number,
    size: number,
    error: unknown,
  ): number {
    const kind = type === IOREQ_TYPE_PIO ? 'port' : 'mmio'
    const party = this.#select(kind, address, address + size - 1)
    const server = party instanceof IoreqServer ? party : null
    return this.#fail(server, region.device, type, direction, address, size, error)
  }

  /** `IO_FAILED`, or `IO_DONE` with ones under the policy `detach`. */
  #fail(
    server: IoreqServer | null,
    device: string,
    type: number,
    direction: number,
    address: number,
    bytes: number,
    error: unknown,
  ): number {
    this.#report(server, device, phrase(type, direction, address, bytes), error)
    if (this.policy === 'crash' || server === null) return IO_FAILED
    if (server.local === null) server.destroy()
    else server.local.detach(device)
    this.#unhandled(bytes)
    return IO_DONE
  }

  #report(server: IoreqServer | null, device: string, request: string, cause: unknown): void {
    const failure = { server: server?.id ?? -1, serverName: server?.name ?? 'hypervisor', device, request, cause }
    this.#options.onFailure?.(failure)
  }

  #wait(vcpu: number): VcpuIo {
    const wait = this.#waits[vcpu]
    if (wait === undefined) throw new IoreqError('ERR_INVALID', `vCPU ${vcpu}: the domain has ${this.vcpus}`)
    return wait
  }

  // ---- state ----

  save(): IoDispatchState {
    return { version: 1, configAddress: this.configAddress }
  }

  restore(state: IoDispatchState): void {
    if (state.version !== 1)
      throw new IoreqError('ERR_INVALID', `dispatcher state of version ${String(state.version)}: expected 1`)
    this.configAddress = state.configAddress >>> 0
  }

  /** Power-on state: every request is cancelled, CF8 is 0. Ranges and servers stay. */
  reset(): void {
    for (let vcpu = 0; vcpu < this.vcpus; vcpu++) this.cancel(vcpu)
    this.configAddress = 0
  }
}

const addressOf = (r: IoRequest): number => r.addressHi * 2 ** 32 + r.addressLo

function phrase(type: number, direction: number, address: number, bytes: number): string {
  const kind =
    type === IOREQ_TYPE_PIO
      ? 'port'
      : type === IOREQ_TYPE_COPY
        ? 'mmio'
        : type === IOREQ_TYPE_PCI_CONFIG
          ? 'PCI configuration'
          : `type ${type}`
  return `${kind} ${direction === IOREQ_READ ? 'read' : 'write'} of ${bytes} bytes at ${hex(address)}`
}

function describe(r: IoRequest): string {
  return phrase(r.type, r.direction, addressOf(r), r.size)
}

/** Spreads the low `size` bytes of a 64-bit value over `bytes` from `at` on. */
function put(bytes: Uint8Array, at: number, size: number, lo: number, hi: number): void {
  for (let i = 0; i < size; i++) bytes[at + i] = i < 4 ? lo >>> (8 * i) : hi >>> (8 * (i - 4))
}

/** Four bytes from `at` on; bytes past the end count as 0. */
function word(bytes: Uint8Array, at: number): number {
  return (
    ((bytes[at] ?? 0) | ((bytes[at + 1] ?? 0) << 8) | ((bytes[at + 2] ?? 0) << 16) | ((bytes[at + 3] ?? 0) << 24)) >>> 0
  )
}
