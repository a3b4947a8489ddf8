import { DeviceError, type Word64 } from '@retrap/device'
import { hex, isOneCall, readRegionAsync, writeRegion, writeRegionAsync, type PciTree } from '@retrap/device/host'
import type { ModelMemory } from './device-memory.ts'
import {
  IOREQ_READ,
  IOREQ_TYPE_COPY,
  IOREQ_TYPE_INVALIDATE,
  IOREQ_TYPE_PCI_CONFIG,
  IOREQ_TYPE_PIO,
  IOREQ_TYPE_TIMEOFFSET,
} from './layout.ts'
import type { ModelNotices } from './model-notices.ts'
import { PieceAccess } from './pieces.ts'
import type { ClaimedRegion } from './region.ts'
import type { RegionTable } from './region-table.ts'
import type { IoRequest } from './request.ts'
import { PendingAccess, Service, type ServiceOwner } from './service.ts'
import { putBytes, wordAt } from './words.ts'

/** What the service of requests needs of the set of models. */
export interface ModelRequestsOptions {
  readonly table: RegionTable
  readonly tree: PciTree
  readonly notices: ModelNotices
  /** For requests whose data is a pointer. */
  readonly dma: ModelMemory
  readonly owner: ServiceOwner
  failed(device: string, what: string, error: unknown): void
  timeOffset(seconds: number): void
}

/** Serves the requests of all vCPUs with the ranges and functions of a set of models, at once or later. */
export class ModelRequests {
  readonly #options: ModelRequestsOptions
  readonly #table: RegionTable
  readonly #pieces = new PieceAccess()
  /** By vCPU. */
  readonly #services: Service[] = []

  constructor(options: ModelRequestsOptions) {
    this.#options = options
    this.#table = options.table
  }

  /** What serves a vCPU's next request. */
  #serviceOf(vcpu: number): Service {
    const service = this.#services[vcpu]
    if (service !== undefined && service.access === null) return service
    // The last request has been given up without an answer; a late response of its model is dropped.
    service?.giveUp()
    const fresh = new Service(vcpu, this.#options.owner)
    this.#services[vcpu] = fresh
    return fresh
  }

  /** Serves an access that one call of one handler makes. */
  callHandler(
    vcpu: number,
    region: ClaimedRegion,
    offset: number,
    size: 1 | 2 | 4,
    direction: number,
    value: number,
  ): void {
    const service = this.#serviceOf(vcpu)
    service.begin()
    service.call(region, offset, size, direction, value)
  }

  /** Serves one request; the owner gets its answer at once or later. A vCPU has at most one at a time. */
  serve(vcpu: number, request: IoRequest): void {
    const { type, direction, count, size } = request
    const service = this.#serviceOf(vcpu)
    const access = service.begin()
    if (type === IOREQ_TYPE_PCI_CONFIG) return this.#serveConfig(vcpu, access, request)
    if (type !== IOREQ_TYPE_PIO && type !== IOREQ_TYPE_COPY) return this.#serveNotice(vcpu, access, request)
    const address = request.addressHi * 2 ** 32 + request.addressLo
    const kind = type === IOREQ_TYPE_PIO ? 'port' : 'mmio'
    const { dataLo } = request
    if (count === 1 && !request.dataIsPointer) {
      const region = this.#table.regionAt(kind, address)
      const offset = region === null ? 0 : address - region.base
      if (region !== null && isOneCall(region, offset, size)) {
        return service.call(region, offset, size as 1 | 2 | 4, direction, dataLo)
      }
      if (this.#table.allDirect(kind, address, address + size - 1)) {
        return this.#serveAtOnce(vcpu, access, kind, request, address)
      }
    }
    const copy = { ...request }
    const into = { lo: request.dataLo, hi: request.dataHi }
    this.#serveLater(access, copy, address, into).then(
      () => this.#answer(vcpu, access, into.lo, into.hi),
      (error: unknown) => this.#reject(vcpu, access, this.#table.regionAt(kind, address)?.device ?? '', error),
    )
  }

  /** Serves a write that nobody waits for, out of the buffered ring. */
  serveBuffered(request: IoRequest): void {
    const { type, addressLo: address, size, dataLo, dataHi } = request
    if (type === IOREQ_TYPE_TIMEOFFSET) return this.#timeOffset(dataLo, dataHi)
    const kind = type === IOREQ_TYPE_PIO ? 'port' : 'mmio'
    const region = this.#table.regionAt(kind, address)
    if (region === null || address - region.base + size > region.length) return
    const failed = (error: unknown): void =>
      this.#options.failed(region.device, `buffered write of ${size} bytes at ${hex(address)}`, error)
    try {
      if (region.direct) writeRegion(region, address - region.base, size, dataLo, dataHi)
      else {
        const access = new PendingAccess(-1)
        const write = writeRegionAsync(region, address - region.base, size, dataLo, dataHi, access).catch(failed)
        this.#options.notices.buffered(write)
      }
    } catch (error) {
      failed(error)
    }
  }

  /** An access that synchronous models answer, piece by piece. */
  #serveAtOnce(vcpu: number, access: PendingAccess, kind: 'port' | 'mmio', request: IoRequest, address: number): void {
    const { direction, size, dataLo, dataHi } = request
    const pieces = this.#pieces
    const failure = pieces.perform(this.#table, kind, direction === IOREQ_READ, address, size, dataLo, dataHi)
    if (failure !== null) return this.#reject(vcpu, access, failure.device, pieces.error)
    this.#answer(vcpu, access, pieces.lo, pieces.hi)
  }

  #serveConfig(vcpu: number, access: PendingAccess, request: IoRequest): void {
    const { addressHi: bdf, addressLo: register, direction, dataLo, dataHi, size } = request
    let lo = 0xffff_ffff
    let hi = 0
    try {
      lo = this.#configPiece(bdf, register, Math.min(size, 4), direction, dataLo)
      if (size > 4) hi = this.#configPiece(bdf, register + 4, size - 4, direction, dataHi)
    } catch (error) {
      return this.#reject(vcpu, access, this.#options.tree.ownerAt(bdf) ?? '', error)
    }
    this.#answer(vcpu, access, lo, hi)
  }

  #configPiece(bdf: number, register: number, size: number, direction: number, value: number): number {
    const { tree } = this.#options
    if (direction === IOREQ_READ) return tree.read(bdf, register, size) >>> 0
    tree.write(bdf, register, size, value)
    return 0
  }

  /** TIMEOFFSET and INVALIDATE: their answer is only that they have been taken. */
  #serveNotice(vcpu: number, access: PendingAccess, request: IoRequest): void {
    const { notices } = this.#options
    const answer = (): void => this.#answer(vcpu, access, 0xffff_ffff, 0xffff_ffff)
    if (request.type === IOREQ_TYPE_TIMEOFFSET) {
      this.#timeOffset(request.dataLo, request.dataHi)
      answer()
    } else if (request.type === IOREQ_TYPE_INVALIDATE) {
      notices.dropMappings(notices.takeAnnounced(vcpu), answer)
    } else {
      const what = `a request of type ${request.type}, which there is not`
      this.#reject(vcpu, access, '', new DeviceError('ERR_INVALID', what))
    }
  }

  #timeOffset(lo: number, hi: number): void {
    this.#options.timeOffset((hi | 0) * 2 ** 32 + lo)
  }

  async #serveLater(access: PendingAccess, request: IoRequest, address: number, into: Word64): Promise<void> {
    const { type, direction, count, size, df, dataIsPointer } = request
    const { dma } = this.#options
    const kind = type === IOREQ_TYPE_PIO ? 'port' : 'mmio'
    const step = df ? -size : size
    const pointer = into.hi * 2 ** 32 + into.lo
    const bytes = new Uint8Array(8)
    for (let i = 0; i < count; i++) {
      // The request is cancelled: the remaining elements are dropped, and their memory may have a new owner.
      if (access.cancelled) return
      // The port of a string instruction stays; its memory side moves.
      const at = kind === 'port' ? address : address + i * step
      if (dataIsPointer) {
        bytes.fill(0xff)
        if (direction !== IOREQ_READ) await dma.readAsync(pointer + i * step, bytes.subarray(0, size))
      } else putBytes(bytes, 0, 8, into.lo, into.hi)
      await this.#element(access, kind, direction === IOREQ_READ, at, size, bytes)
      if (direction === IOREQ_READ && !access.cancelled) {
        if (dataIsPointer) await dma.writeAsync(pointer + i * step, bytes.subarray(0, size))
        else {
          bytes.fill(0, size)
          into.lo = wordAt(bytes, 0)
          into.hi = wordAt(bytes, 4)
        }
      }
    }
  }

  /** One element, split where it leaves a region. */
  async #element(
    access: PendingAccess,
    kind: 'port' | 'mmio',
    read: boolean,
    at: number,
    size: number,
    bytes: Uint8Array,
  ): Promise<void> {
    const part: Word64 = { lo: 0, hi: 0 }
    for (let done = 0; done < size;) {
      // Ranges may have changed since the request was sent: what is no longer claimed reads as ones.
      const region = this.#table.regionAt(kind, at + done)
      if (region === null) {
        bytes[done++] = 0xff
        continue
      }
      const offset = at + done - region.base
      const piece = Math.min(size - done, region.length - offset)
      if (read) {
        await readRegionAsync(region, offset, piece, part, access)
        putBytes(bytes, done, piece, part.lo, part.hi)
      } else await writeRegionAsync(region, offset, piece, wordAt(bytes, done), wordAt(bytes, done + 4), access)
      done += piece
    }
  }

  #answer(vcpu: number, access: PendingAccess, lo: number, hi: number): void {
    const service = this.#services[vcpu]
    if (service?.access !== access) return
    service.finish()
    this.#options.owner.answer(vcpu, lo, hi, false)
  }

  #reject(vcpu: number, access: PendingAccess, device: string, error: unknown): void {
    const service = this.#services[vcpu]
    if (service?.access !== access) return
    service.finish()
    this.#options.owner.reject(vcpu, device, error)
  }

  /** The vCPU no longer wants its answer: aborts the handler's signal. */
  cancel(vcpu: number): void {
    this.#services[vcpu]?.access?.cancel()
  }

  /** Whether a handler has not answered yet. */
  get busy(): boolean {
    for (const service of this.#services) if (service !== undefined && service.access !== null) return true
    return false
  }

  /** Gives all requests up: their handlers are told, and late responses are dropped. */
  abandon(): void {
    for (const service of this.#services.splice(0)) {
      if (service === undefined) continue
      const { access } = service
      // The next request gets a service of its own.
      service.giveUp()
      access?.cancel()
    }
  }
}
