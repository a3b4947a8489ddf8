import {
  claimsPorts,
  isDirectCall,
  type MmioLookup,
  type PortLookup,
  PORT_REGION,
  type ServedRegion,
} from './lookup.ts'
import type { ConfigAddress, ConfigSpace, EcamWindow } from './config-space.ts'
import type { RangeHandler, Region, RegionOptions } from '@retrap/device'
import { type IoDispatchOptions, type IoDispatchState, dispatchParts } from './dispatch-parts.ts'
import { IoreqError } from './errors.ts'
import { createIoRequest, type IoRequest, requestAddress } from './request.ts'
import type { FailureHandler } from './failures.ts'
import * as L from './layout.ts'
import type { PendingRequests, VcpuRequests } from './pending.ts'
import type { PortWindow } from './port-window.ts'
import { badRead, checkedVoid, cut, hex, isOneCall, isWord } from '@retrap/device/host'
import type { ClaimedRegion } from './region.ts'
import type { Registration } from './registration.ts'
import type { IoreqServer, ServerOptions } from './server.ts'
import { STATUS_DONE, STATUS_RESTART } from './status.ts'
import type { Submission } from './submission.ts'
import { NOBODY } from './wait.ts'

/**
 * Takes a domain's port, MMIO and PCI configuration accesses to the party that answers them: the hypervisor's own handlers,
 * then the ioreq servers, highest id first; a server is chosen if all of the access lies in its ranges.
 *
 * There are two ways in. The *direct* calls (`portRead` and its like) make an access at once or say `STATUS_RESTART`, having
 * done nothing. Those of a vCPU that can wait (`portReadOrSend` and its like; `submit` for strings) always take the access;
 * they may say `STATUS_RETRY`.
 * Answers are left in `lo` and `hi`, unsigned, so that no call allocates.
 */
export class IoDispatch {
  /** Low word of the last answer. */
  lo = 0
  /** High word of the last answer; 0 unless 8 bytes were read. */
  hi = 0
  /**
   * Elements that the last `submit` or `requests.take` has covered: fewer than were asked for where a server has answered
   * so, and 0 where no one party has all of them; each may have its own.
   */
  count = 0
  /** The latched CF8. */
  readonly config: ConfigAddress
  /** vCPUs of the domain. */
  readonly vcpus: number
  /** The requests that are with servers. `submit` and its like send them. */
  readonly requests: VcpuRequests
  readonly #space: ConfigSpace
  readonly #registration: Registration
  readonly #mmio: MmioLookup
  readonly #ports: PortLookup
  /** `#ports.map`, since a look-up was made. */
  #portMap: Uint32Array
  readonly #portRegions: readonly ServedRegion[]
  readonly #pending: PendingRequests
  readonly #submission: Submission
  readonly #failures: FailureHandler
  /** An access that is not one call of one handler: most are made at once, and need no record. */
  readonly #one: IoRequest = createIoRequest()
  #window: PortWindow | null = null

  constructor(options: IoDispatchOptions) {
    const { registration, space, pending, failures, submission } = dispatchParts(options, this)
    this.#registration = registration
    this.#space = space
    const { ports, mmio } = registration
    this.vcpus = options.vcpus
    this.config = space.address
    this.#mmio = mmio
    this.#ports = ports
    this.#portMap = ports.map
    this.#portRegions = ports.regions
    this.#failures = failures
    this.requests = pending
    this.#pending = pending
    this.#submission = submission
  }

  // ---- registration ----

  /**
   * Replaces the windows of memory-mapped configuration space: a guest has moved its chipset's.
   *
   * @throws IoreqError `ERR_INVALID` for an invalid window
   */
  setEcam(windows: readonly EcamWindow[]): void {
    this.#space.setWindows(windows)
    this.#registration.ecamChanged()
  }

  /**
   * Shows all ports in memory as well, for a processor without I/O instructions: an access there is one to a port. There is
   * no configuration mechanism at ports 0xCF8 and 0xCFC then.
   *
   * @param window - null: nowhere
   */
  setPortWindow(window: PortWindow | null): void {
    this.#window = window
    this.#space.hasPorts = window === null
  }

  /**
   * Makes a server with the lowest free id. It starts disabled.
   *
   * @throws IoreqError `ERR_NO_SPACE` where there are eight already
   */
  createServer(options: ServerOptions): IoreqServer {
    return this.#registration.createServer(options)
  }

  /** The server with this id, or null. */
  server(id: number): IoreqServer | null {
    return this.#registration.servers[id] ?? null
  }

  /** The servers that there are. */
  get servers(): readonly IoreqServer[] {
    return this.#registration.present()
  }

  /** Claims ports for the hypervisor itself, before any server. Handlers answer at once. */
  mapInternalPorts(name: string, base: number, count: number, handler: RangeHandler, options?: RegionOptions): Region {
    return this.#registration.mapPorts(name, base, count, handler, options)
  }

  /** Claims guest-physical addresses for the hypervisor itself, before any server. Handlers answer at once. */
  mapInternalMmio(name: string, gpa: number, bytes: number, handler: RangeHandler, options?: RegionOptions): Region {
    return this.#registration.mapMmio(name, gpa, bytes, handler, options)
  }

  /** Says that a range is answered before any claimant, as the page of a local APIC: see {@link IoDispatch.refuseOverlap}. */
  reserve(kind: 'port' | 'mmio', name: string, base: number, bytes: number): void {
    this.#registration.reserve(kind, name, base, bytes)
  }

  /**
   * Refuses a fixed range that is not free: RAM, a range of the hypervisor, or a range of another server.
   *
   * @param device - the model or server that has it, for the error
   * @param server - the server that has it
   * @throws IoreqError `ERR_EXISTS`, naming the range and its owner
   */
  refuseOverlap(device: string, kind: 'port' | 'mmio', first: number, last: number, server: IoreqServer): void {
    const owner = this.#registration.ownerIn(kind, first, last, server)
    if (owner === undefined) return
    const range = `${kind} range ${hex(first)}–${hex(last)}`
    throw new IoreqError('ERR_EXISTS', `${device}: ${range} is over one of ${owner}; choose a range that is free`)
  }

  /** Does so with the ranges of all servers that were made with `mayOverlap: false`. @throws IoreqError `ERR_EXISTS` */
  refuseOverlaps(): void {
    for (const server of this.servers.filter(({ mayOverlap }) => !mayOverlap))
      for (const kind of ['port', 'mmio'] as const) {
        const all = server.ranges[kind === 'port' ? L.XEN_DMOP_IO_RANGE_PORT : L.XEN_DMOP_IO_RANGE_MEMORY]!
        for (let i = 0; i < all.count; i++) this.refuseOverlap(server.name, kind, all.start(i), all.end(i), server)
      }
  }

  // ---- direct accesses ----

  /** Reads 1, 2 or 4 bytes at a port: `STATUS_DONE`, `STATUS_RESTART`, `STATUS_UNHANDLED` or `STATUS_ERROR`. */
  portRead(port: number, size: number): number {
    return this.portReadOrSend(NOBODY, port, size)
  }

  /** {@link IoDispatch.portRead} for a vCPU that can wait: instead of `STATUS_RESTART`, a request is sent, as by `submit`. */
  portReadOrSend(vcpu: number, port: number, size: number): number {
    const entry = this.#portMap[port]!
    const region = this.#portRegions[entry & PORT_REGION]!
    return isDirectCall(entry, size)
      ? this.#readDirectly(region, L.IOREQ_TYPE_PIO, port, size)
      : this.#slowAccess(vcpu, region, L.IOREQ_TYPE_PIO, L.IOREQ_READ, port, size, 0, 0)
  }

  /** Makes the look-up of ports, where claims have changed. @returns whether this dispatcher has another one now */
  #makePorts(): boolean {
    const ports = this.#ports
    const isNew = ports.make() || ports.map !== this.#portMap
    this.#portMap = ports.map
    return isNew
  }

  /** An access that no call of a handler makes at once. A server that alone answers it is sent a request, if a vCPU waits. */
  #slowAccess(
    vcpu: number,
    region: ServedRegion,
    type: number,
    direction: number,
    address: number,
    size: number,
    lo: number,
    hi: number,
  ): number {
    const one = this.#one
    one.type = type
    one.direction = direction
    one.addressLo = address >>> 0
    one.addressHi = Math.floor(address / 2 ** 32)
    one.dataLo = lo >>> 0
    one.dataHi = hi >>> 0
    one.size = size
    if (type === L.IOREQ_TYPE_PIO && this.#makePorts()) return this.#access(vcpu, one)
    const { server } = region
    if (server === null || region.direct) return this.#perform(vcpu, one)
    const offset = address - region.base
    const isOne = isOneCall(region, offset, size)
    // The region is the highest that claims the first port, so it has all of an access that it holds.
    const holds =
      type === L.IOREQ_TYPE_PIO ? isOne || claimsPorts(server, address, size) : address + size <= this.#mmio.hitEnd
    // The ring of a server is looked at where parties are chosen.
    if (!holds || (server.ring !== null && direction === L.IOREQ_WRITE)) return this.#perform(vcpu, one)
    if (vcpu === NOBODY) return STATUS_RESTART
    const record = this.#pending.free(vcpu)
    record.describe(type, direction, address, size, lo, hi)
    record.region = isOne ? region : null
    record.offset = offset
    this.count = 1
    return this.#pending.send(vcpu, record, server)
  }

  /** Reads by one call of a region's handler, at once. */
  #readDirectly(region: ServedRegion, type: number, address: number, size: number): number {
    // Bases of memory make the field `base` one of doubles. A port's offset is made an integer before the handler
    // computes with it: its answer is one as well then, and to look whether it is a word costs nothing.
    const offset = type === L.IOREQ_TYPE_PIO ? (address - region.base) | 0 : address - region.base
    try {
      const value = region.handler.read(offset, size as 1 | 2 | 4)
      if (typeof value === 'number') {
        const lo = size === 4 ? value >>> 0 : size === 1 ? value & 0xff : value & 0xffff
        // A value that the mask leaves as it is, is a word; `isWord` alone costs half a nanosecond more.
        if (lo === value || isWord(value)) {
          this.lo = lo
          this.hi = 0
          return STATUS_DONE
        }
      }
      throw badRead(value)
    } catch (error) {
      return this.#failed(region, type, L.IOREQ_READ, address, size, error)
    }
  }

  /** Writes 1, 2 or 4 bytes to a port. */
  portWrite(port: number, size: number, value: number): number {
    return this.portWriteOrSend(NOBODY, port, size, value)
  }

  /** {@link IoDispatch.portWrite} for a vCPU that can wait: as `portReadOrSend`. */
  portWriteOrSend(vcpu: number, port: number, size: number, value: number): number {
    const entry = this.#portMap[port]!
    const region = this.#portRegions[entry & PORT_REGION]!
    return isDirectCall(entry, size)
      ? this.#writePort(region, port, size, value)
      : this.#slowAccess(vcpu, region, L.IOREQ_TYPE_PIO, L.IOREQ_WRITE, port, size, value, 0)
  }

  /** Name of the device model of this process that answers at a guest-physical address; empty where there is none. */
  deviceAt(gpa: number): string {
    return this.#mmio.find(gpa).device
  }

  /** Reads 1–8 bytes at a guest-physical address. */
  mmioRead(gpa: number, size: number): number {
    return this.mmioReadOrSend(NOBODY, gpa, size)
  }

  /**
   * Whether one region's handler answers each access of `size` bytes among these bytes at once.
   *
   * @param gpa - of the first of the bytes
   */
  answersAtOnce(gpa: number, bytes: number, size: number): boolean {
    const mmio = this.#mmio
    return isDirectCall(mmio.find(gpa).directSizes, size) && gpa + bytes <= mmio.hitEnd
  }

  /** Whether one region's handler answers an access of `size` bytes at a port at once. */
  portAnswersAtOnce(port: number, size: number): boolean {
    return isDirectCall(this.#portMap[port]!, size)
  }

  /** {@link IoDispatch.mmioRead} for a vCPU that can wait: as `portReadOrSend`. */
  mmioReadOrSend(vcpu: number, gpa: number, size: number): number {
    const mmio = this.#mmio
    const region = mmio.find(gpa)
    return isDirectCall(region.directSizes, size) && gpa + size <= mmio.hitEnd
      ? this.#readDirectly(region, L.IOREQ_TYPE_COPY, gpa, size)
      : this.#slowAccess(vcpu, region, L.IOREQ_TYPE_COPY, L.IOREQ_READ, gpa, size, 0, 0)
  }

  /** Writes 1–8 bytes to a guest-physical address. */
  mmioWrite(gpa: number, size: number, lo: number, hi: number): number {
    return this.mmioWriteOrSend(NOBODY, gpa, size, lo, hi)
  }

  /** {@link IoDispatch.mmioWrite} for a vCPU that can wait: as `portReadOrSend`. */
  mmioWriteOrSend(vcpu: number, gpa: number, size: number, lo: number, hi: number): number {
    const mmio = this.#mmio
    const region = mmio.find(gpa)
    return isDirectCall(region.directSizes, size) && gpa + size <= mmio.hitEnd
      ? this.#writeMemory(region, gpa, size, lo)
      : this.#slowAccess(vcpu, region, L.IOREQ_TYPE_COPY, L.IOREQ_WRITE, gpa, size, lo, hi)
  }

  // One call of a region's handler, at once. Ports and memory are apart, because V8 remembers for each function which
  // handlers it has called: a call of the same few is made in line.

  #writePort(region: ServedRegion, port: number, size: number, value: number): number {
    try {
      checkedVoid(region.handler.write((port - region.base) | 0, size as 1 | 2 | 4, cut(value, size)))
      return STATUS_DONE
    } catch (error) {
      return this.#failed(region, L.IOREQ_TYPE_PIO, L.IOREQ_WRITE, port, size, error)
    }
  }

  #writeMemory(region: ServedRegion, gpa: number, size: number, value: number): number {
    try {
      checkedVoid(region.handler.write(gpa - region.base, size as 1 | 2 | 4, cut(value, size)))
      return STATUS_DONE
    } catch (error) {
      return this.#failed(region, L.IOREQ_TYPE_COPY, L.IOREQ_WRITE, gpa, size, error)
    }
  }

  /** All accesses that are not one call of one region's handler, nor one request to a server that a look-up has found. */
  #perform(vcpu: number, request: IoRequest): number {
    const address = requestAddress(request)
    const { type, direction, size, dataLo } = request
    const port = this.#window?.portOf(type, address, size) ?? -1
    if (port >= 0) {
      return direction === L.IOREQ_READ
        ? this.portReadOrSend(vcpu, port, size)
        : this.portWriteOrSend(vcpu, port, size, dataLo)
    }
    this.count = 1
    return this.#submission.submit(vcpu, request, address)
  }

  // ---- logged accesses ----

  /**
   * Makes an access from a logged pass.
   *
   * @param claimant - the server that has claimed writes to RAM, if it is one: it gets the access whatever its ranges are
   * @returns `STATUS_DONE` with the answer, `STATUS_RETRY` (the vCPU waits for `onComplete`), `STATUS_UNHANDLED` or `STATUS_ERROR`
   * @throws IoreqError `ERR_BUSY` if the vCPU has a request already, `ERR_INVALID` for a size or type that cannot be sent
   */
  submit(vcpu: number, request: IoRequest, claimant: IoreqServer | null = null): number {
    this.#pending.free(vcpu)
    const { size, count, type } = request
    if ((size !== 1 && size !== 2 && size !== 4 && size !== 8) || (type === L.IOREQ_TYPE_PIO && size === 8)) {
      // Such a size never reaches a server.
      return this.#submission.unhandled(size)
    }
    if ((type !== L.IOREQ_TYPE_PIO && type !== L.IOREQ_TYPE_COPY) || count < 1) {
      throw new IoreqError('ERR_INVALID', `request of type ${type} with ${count} elements cannot be submitted`)
    }
    this.count = count
    const address = requestAddress(request)
    const isClaimed = claimant?.ranges[L.XEN_DMOP_IO_RANGE_MEMORY].contains(address, address + size - 1) === false
    if (count === 1 && !request.dataIsPointer && !isClaimed) return this.#access(vcpu, request)
    return isClaimed ? this.#submission.send(vcpu, request, claimant!) : this.#submission.submit(vcpu, request, address)
  }

  /**
   * Tells all enabled servers that the guest's clock was moved, through their rings; models in this process by a call.
   *
   * @param seconds - signed 64-bit
   * @returns how many servers could not be told: they have no ring, or it is full
   */
  timeOffset(seconds: bigint): number {
    return this.#submission.timeOffset(seconds)
  }

  /** An access of one element. */
  #access(vcpu: number, request: IoRequest): number {
    const { type, direction, size, dataLo, dataHi } = request
    const address = requestAddress(request)
    if (type === L.IOREQ_TYPE_PIO)
      return direction === L.IOREQ_READ
        ? this.portReadOrSend(vcpu, address, size)
        : this.portWriteOrSend(vcpu, address, size, dataLo)
    return direction === L.IOREQ_READ
      ? this.mmioReadOrSend(vcpu, address, size)
      : this.mmioWriteOrSend(vcpu, address, size, dataLo, dataHi)
  }

  // ---- models that break their contract ----

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
    return this.#submission.failed(region, { type, direction, address, size }, error)
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
    for (let vcpu = 0; vcpu < this.vcpus; vcpu++) this.requests.cancel(vcpu)
    this.config.value = 0
  }
}
