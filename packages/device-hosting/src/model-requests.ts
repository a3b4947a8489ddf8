import { type AccessRequest, type CancelSignal, DeviceError, type Word64 } from '@retrap/device'
import { cut, hex, isOneCall, isPromise, isWord, notNumber, SplitAccess, type PciTree } from '@retrap/device/host'
import {
  type ClaimedRegion,
  copyIoRequest,
  elementAddress,
  elementPointer,
  IOREQ_READ,
  IOREQ_TYPE_COPY,
  IOREQ_TYPE_INVALIDATE,
  IOREQ_TYPE_PCI_CONFIG,
  IOREQ_TYPE_PIO,
  IOREQ_TYPE_TIMEOFFSET,
  type IoRequest,
  type LocalModels,
  PieceAccess,
  putBytes,
  type RegionTable,
  type ReplyTarget,
  requestAddress,
  wordAt,
} from '@retrap/ioreq'
import type { ModelMemory } from './device-memory.ts'
import type { ModelNotices } from './model-notices.ts'

type Requests = LocalModels['requests']

/** An access in progress, as its handler sees it. */
class PendingAccess implements AccessRequest {
  readonly vcpu: number
  #controller: AbortController | null = null
  /** The vCPU no longer waits. */
  cancelled = false

  constructor(vcpu: number) {
    this.vcpu = vcpu
  }

  /** Whether its signal was neither asked for nor aborted: the same object can then serve a later access. */
  get unused(): boolean {
    return this.#controller === null && !this.cancelled
  }

  get signal(): CancelSignal {
    if (this.#controller === null) {
      this.#controller = new AbortController()
      if (this.cancelled) this.#controller.abort()
    }
    return this.#controller.signal as CancelSignal
  }

  cancel(): void {
    this.cancelled = true
    this.#controller?.abort()
  }
}

/**
 * Serves the requests of one vCPU, one at a time: the access in progress, and how a model's promise ends it. Made
 * once, so that a request makes nothing.
 */
class Service {
  readonly vcpu: number
  #replies: ReplyTarget
  /** The access in progress; null between requests. */
  access: PendingAccess | null = null
  #spare: PendingAccess | null = null
  #region: ClaimedRegion | null = null
  #read = false
  readonly #late = (value: unknown): void => this.#end(value, true)
  readonly #failed = (error: unknown): void => this.#fail(error)

  constructor(vcpu: number, replies: ReplyTarget) {
    this.vcpu = vcpu
    this.#replies = replies
  }

  /** Begins a request, whose answer goes to `replies`. */
  begin(replies: ReplyTarget): void {
    this.#replies = replies
    this.access = this.#spare ?? new PendingAccess(this.vcpu)
    this.#region = null
  }

  #finish(): void {
    const { access } = this
    this.access = null
    this.#spare = access !== null && access.unused ? access : null
  }

  /** Whether the service waits for a call of this model's. */
  waitsFor(device: string): boolean {
    return this.access !== null && this.#region?.device === device
  }

  /** Ends the service: a later result of an access's promise is dropped. */
  giveUp(): void {
    this.access = null
  }

  /** The common case: one call of one handler. A model that answers at once ends the request at once. */
  call(region: ClaimedRegion, offset: number, size: 1 | 2 | 4, direction: number, value: number): void {
    const access = this.access!
    this.#region = region
    this.#read = direction === IOREQ_READ
    let answer: unknown
    try {
      answer = this.#read
        ? region.handler.read(offset, size, access)
        : region.handler.write(offset, size, cut(value, size), access)
      // Reading `then` is also the model's code, and may throw.
      if (isPromise(answer)) {
        settlingOnce(answer).then(this.#late, this.#failed)
        return
      }
    } catch (error) {
      return this.#fail(error)
    }
    this.#end(answer, false)
  }

  #end(value: unknown, last: boolean): void {
    // Given up meanwhile.
    if (this.access === null) return
    if (this.#read && !isWord(value)) {
      return this.#fail(notNumber(value))
    }
    this.answer(this.#read ? (value as number) >>> 0 : 0, 0, last)
  }

  #fail(error: unknown): void {
    if (this.access !== null) this.reject(this.#region?.device ?? '', error)
  }

  /** Ends the access in progress with its answer. */
  answer(lo: number, hi: number, last: boolean): void {
    this.#finish()
    this.#replies.answer(this.vcpu, lo, hi, last)
  }

  /** Ends the access in progress, which a model cannot answer. */
  reject(device: string, error: unknown): void {
    this.#finish()
    this.#replies.reject(this.vcpu, device, error)
  }
}

/** The part of the set of models that the service of requests needs. */
export interface ModelRequestsOptions {
  readonly table: RegionTable
  readonly tree: PciTree
  readonly notices: ModelNotices
  /** Access to guest memory for requests whose data is a pointer. */
  readonly dma: ModelMemory
  failed(device: string, what: string, error: unknown): void
  timeOffset(seconds: number): void
}

/** Serves the requests of all vCPUs with the ranges and functions of a set of models, at once or later. */
export class ModelRequests implements Requests {
  readonly #options: ModelRequestsOptions
  readonly #table: RegionTable
  readonly #pieces = new PieceAccess()
  /** The service of each vCPU's request. */
  readonly services: (Service | undefined)[] = []

  constructor(options: ModelRequestsOptions) {
    this.#options = options
    this.#table = options.table
  }

  /** Begins a vCPU's next request. @returns the service that answers it */
  #begin(vcpu: number, replies: ReplyTarget): Service {
    let service = this.services[vcpu]
    if (service === undefined || service.access !== null) {
      // The last request has been given up without an answer; a late response of its model is dropped.
      service?.giveUp()
      service = new Service(vcpu, replies)
      this.services[vcpu] = service
    }
    service.begin(replies)
    return service
  }

  /** Serves one request; `replies` gets its answer at once or later. A vCPU has at most one at a time. */
  serve(vcpu: number, request: IoRequest, replies: ReplyTarget, known: ClaimedRegion | null = null, at = 0): void {
    const service = this.#begin(vcpu, replies)
    const { direction, size, dataLo } = request
    if (known !== null) return service.call(known, at, size as 1 | 2 | 4, direction, dataLo)
    const { type, count } = request
    const access = service.access!
    if (type === IOREQ_TYPE_PCI_CONFIG) return this.#serveConfig(vcpu, access, request)
    if (type !== IOREQ_TYPE_PIO && type !== IOREQ_TYPE_COPY) return this.#serveNotice(vcpu, access, request)
    const address = requestAddress(request)
    const kind = type === IOREQ_TYPE_PIO ? 'port' : 'mmio'
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
    const copy = copyIoRequest(request)
    const into = { lo: request.dataLo, hi: request.dataHi }
    this.#serveLater(access, copy, into).then(
      () => this.#answer(vcpu, access, into.lo, into.hi),
      (error: unknown) => this.#reject(vcpu, access, this.#table.regionAt(kind, address)?.device ?? '', error),
    )
  }

  /** Serves a posted write, out of the buffered ring. */
  serveBuffered(request: IoRequest): void {
    const { type, addressLo: address, size, dataLo, dataHi } = request
    if (type === IOREQ_TYPE_TIMEOFFSET) return this.#timeOffset(dataLo, dataHi)
    const kind = type === IOREQ_TYPE_PIO ? 'port' : 'mmio'
    const region = this.#table.regionAt(kind, address)
    if (region === null || address - region.base + size > region.length) return
    const what = `buffered write of ${size} bytes at ${hex(address)}`
    const failed = (error: unknown): void => this.#options.failed(region.device, what, error)
    if (region.direct) {
      if (this.#pieces.write(this.#table, kind, address, size, dataLo, dataHi) !== null) failed(this.#pieces.error)
      return
    }
    const split = new SplitAccess<ClaimedRegion>()
    split.begin(this.#table, kind, address, size, dataLo, dataHi)
    const written = this.#calls(split, false, new PendingAccess(-1)).catch(failed)
    this.#options.notices.buffered(written, region.device, what)
  }

  /** An access that synchronous models answer, piece by piece. */
  #serveAtOnce(vcpu: number, access: PendingAccess, kind: 'port' | 'mmio', request: IoRequest, address: number): void {
    const { direction, size, dataLo, dataHi } = request
    const pieces = this.#pieces
    const failure =
      direction === IOREQ_READ
        ? pieces.read(this.#table, kind, address, size)
        : pieces.write(this.#table, kind, address, size, dataLo, dataHi)
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
      const what = `unknown type of request ${request.type}`
      this.#reject(vcpu, access, '', new DeviceError('ERR_INVALID', what))
    }
  }

  #timeOffset(lo: number, hi: number): void {
    this.#options.timeOffset((hi | 0) * 2 ** 32 + lo)
  }

  async #serveLater(access: PendingAccess, request: IoRequest, into: Word64): Promise<void> {
    const { type, direction, count, size, dataIsPointer } = request
    const { dma } = this.#options
    const kind = type === IOREQ_TYPE_PIO ? 'port' : 'mmio'
    const read = direction === IOREQ_READ
    const split = new SplitAccess<ClaimedRegion>()
    const bytes = new Uint8Array(8)
    for (let i = 0; i < count; i++) {
      // The request is cancelled: the remaining elements are dropped, and their memory may have a new owner.
      if (access.cancelled) return
      putBytes(bytes, 0, 8, request.dataLo, request.dataHi)
      if (dataIsPointer && !read) {
        bytes.fill(0xff)
        await dma.readAsync(elementPointer(request, i), bytes.subarray(0, size))
      }
      split.begin(this.#table, kind, elementAddress(request, i), size, wordAt(bytes, 0), wordAt(bytes, 4))
      await this.#calls(split, read, access)
      if (!read || access.cancelled) continue
      if (dataIsPointer) {
        putBytes(bytes, 0, size, split.lo, split.hi)
        await dma.writeAsync(elementPointer(request, i), bytes.subarray(0, size))
      } else {
        into.lo = split.lo
        into.hi = split.hi
      }
    }
  }

  /** Makes the calls of one access, one after another. */
  async #calls(split: SplitAccess<ClaimedRegion>, read: boolean, access: PendingAccess): Promise<void> {
    while (split.next()) await split.callLater(read, access)
  }

  #answer(vcpu: number, access: PendingAccess, lo: number, hi: number): void {
    const service = this.services[vcpu]
    if (service?.access === access) service.answer(lo, hi, false)
  }

  #reject(vcpu: number, access: PendingAccess, device: string, error: unknown): void {
    const service = this.services[vcpu]
    if (service?.access === access) service.reject(device, error)
  }

  /** Answers requests that wait for a reset or removed model, with ones: its late responses are dropped. */
  endAccessesTo(device: string): void {
    for (const [vcpu, service] of this.services.entries()) {
      if (service?.waitsFor(device) !== true) continue
      // A late response finds a service without an access in progress.
      this.services[vcpu] = undefined
      service.access?.cancel()
      service.answer(0xffff_ffff, 0, false)
    }
  }

  /** Gives all requests up: their handlers' signals abort, and late responses are dropped. */
  abandon(): void {
    for (const service of this.services.splice(0)) {
      if (service === undefined) continue
      const { access } = service
      // The next request gets a service of its own.
      service.giveUp()
      access?.cancel()
    }
  }
}

/** A promise of another make may settle twice, or while it is asked, and the second time is another access's. */
function settlingOnce(answer: PromiseLike<unknown>): Promise<unknown> {
  return answer.then === Promise.prototype.then
    ? (answer as Promise<unknown>)
    : new Promise((resolve) => resolve(answer))
}
