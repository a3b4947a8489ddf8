import type { Dma, Word64 } from '@retrap/device'
import { checkedNumber, checkedVoid, cut } from '@retrap/device/host'
import type { ConfigSpace } from './config-space.ts'
import type { FailedAccess, FailureHandler } from './failures.ts'
import { IOREQ_READ, IOREQ_TYPE_PCI_CONFIG, IOREQ_TYPE_PIO, IOREQ_TYPE_TIMEOFFSET, IOREQ_WRITE } from './layout.ts'
import { isDirectCall, PORT_REGION, type ServedRegion } from './lookup.ts'
import type { PendingRequests } from './pending.ts'
import { PieceAccess } from './pieces.ts'
import type { ClaimedRegion } from './region.ts'
import { RegionTable } from './region-table.ts'
import { allDirect, localRegions, type Party, type Registration } from './registration.ts'
import {
  copyIoRequest,
  createIoRequest,
  elementAddress,
  elementPointer,
  type IoRequest,
  requestAddress,
} from './request.ts'
import { IoreqServer } from './server.ts'
import { STATUS_DONE, STATUS_RESTART, STATUS_UNHANDLED } from './status.ts'
import type { IoTraceRecord } from './trace.ts'
import { NOBODY, tracedDevice } from './wait.ts'
import { allOnes, putBytes, wordAt } from './words.ts'

/** The parts that a {@link Submission} stands on. */
export interface SubmissionParts {
  readonly registration: Registration
  readonly space: ConfigSpace
  readonly pending: PendingRequests
  readonly failures: FailureHandler
  /** Where answers are left; of a string, how many elements have been made. */
  readonly answer: Word64 & { count: number }
  readonly guestMemory: Pick<Dma, 'read' | 'write'> | undefined
  readonly trace: ((record: IoTraceRecord) => void) | undefined
}

/**
 * Makes the accesses that no look-up has found a party for. It chooses the party, and makes the access at once where handlers
 * of this process answer, or hands it to a channel or a ring.
 */
export class Submission {
  readonly #parts: SubmissionParts
  readonly #registration: Registration
  readonly #space: ConfigSpace
  readonly #answer: Word64 & { count: number }
  readonly #pieces = new PieceAccess((region) => this.#pieceFailed(region))
  /** Of the present access. */
  #type = 0
  #direction = 0
  #status: number = STATUS_DONE

  constructor(parts: SubmissionParts) {
    this.#parts = parts
    this.#registration = parts.registration
    this.#space = parts.space
    this.#answer = parts.answer
  }

  /** Makes an access. @returns as `IoDispatch.submit`; where nobody waits, `STATUS_RESTART` with nothing done instead of a request */
  submit(vcpu: number, request: IoRequest, address: number): number {
    const { size, count, type, direction } = request
    const space = this.#space
    const parties = this.#registration
    const isConfig = space.decodes(type, address, size)
    const kind = type === IOREQ_TYPE_PIO ? 'port' : 'mmio'
    const end = count === 1 ? address : elementAddress(request, count - 1)
    const first = Math.min(address, end)
    const last = Math.max(address, end) + size - 1
    const party = isConfig ? parties.selectFunction(space.bdf) : parties.select(kind, first, last)
    const isLocal = party === null || (isConfig ? localRegions(party) !== null : allDirect(party, kind, first, last))
    if (!isLocal) {
      if (vcpu === NOBODY) return STATUS_RESTART
      this.#parts.pending.free(vcpu)
    }
    // The dword is latched and still forwarded.
    if (direction === IOREQ_WRITE && space.isLatch(type, address, size)) space.address.value = request.dataLo
    const isOne = count === 1 && !request.dataIsPointer
    if (party === null) {
      if (count === 1) return this.#unclaimed(request)
      if (!isConfig) this.#answer.count = 0
      return this.unhandled(size)
    }
    if (isLocal) {
      const owner = isConfig ? null : party
      return isOne ? this.#perform(request, owner) : this.#elements(request, owner)
    }
    if (party instanceof RegionTable) throw new Error('invariant: internal regions are direct')
    if (!isConfig && direction === IOREQ_WRITE && this.#buffer(vcpu, party, request, first, last)) return STATUS_DONE
    return this.send(vcpu, request, party, isConfig)
  }

  /** Sends a request to a server. @param isConfig - for the PCI function that the configuration space has decoded */
  send(vcpu: number, request: IoRequest, server: IoreqServer, isConfig = false): number {
    const space = this.#space
    const { pending } = this.#parts
    const record = pending.free(vcpu)
    if (request !== record) copyIoRequest(request, record)
    record.region = null
    if (isConfig) {
      record.type = IOREQ_TYPE_PCI_CONFIG
      record.addressHi = space.bdf
      record.addressLo = space.register
    }
    return pending.send(vcpu, record, server)
  }

  /** Puts a write into the server's ring, where that is declared and possible. */
  #buffer(vcpu: number, server: IoreqServer, request: IoRequest, first: number, last: number): boolean {
    const ranges = server.bufferedRanges[request.type as 0 | 1]
    // A vCPU whose earlier request is still draining must not overtake it.
    if (server.ring === null || !ranges.contains(first, last) || server.draining[vcpu] !== 0) return false
    if (!server.ring.produce(request)) return false
    this.#parts.pending.trace('buffered', vcpu, server, request, request.dataLo, request.dataHi)
    this.#notifyBuffered(server)
    return true
  }

  #notifyBuffered(server: IoreqServer): void {
    try {
      server.transport.notifyBuffered?.()
    } catch (error) {
      this.#parts.failures.failOutside(server, server.name, 'a buffered write', error)
    }
  }

  /** See `IoDispatch.timeOffset`. */
  timeOffset(seconds: bigint): number {
    if (seconds === 0n) return 0
    const request = createIoRequest()
    request.type = IOREQ_TYPE_TIMEOFFSET
    request.size = 8
    request.dataLo = Number(BigInt.asUintN(32, seconds))
    request.dataHi = Number(BigInt.asUintN(32, seconds >> 32n))
    let missed = 0
    for (const server of this.#registration.present()) {
      if (!server.enabled) continue
      if (server.transport.timeOffset?.(request) === true) continue
      if (server.ring?.produce(request) === true) this.#notifyBuffered(server)
      else missed++
    }
    return missed
  }

  // ---- accesses at once ----

  /** Makes an access of one element. @param party - as in {@link Submission.#elements} */
  #perform(request: IoRequest, party: Party | null): number {
    const { dataLo, dataHi } = request
    return this.#traced(
      request,
      party === null
        ? this.#config(this.#registration.selectFunction(this.#space.bdf)!, request)
        : this.#split(party, request, requestAddress(request), dataLo, dataHi),
    )
  }

  /** Makes an access of one element that no party has. */
  #unclaimed(request: IoRequest): number {
    const { type, direction, size, addressLo } = request
    // Where there are PCI functions and no model of a host bridge has claimed the port, the latch itself answers.
    if (this.#space.isLatch(type, addressLo, size) && this.#registration.hasFunctions()) {
      if (direction === IOREQ_READ) {
        this.#answer.lo = this.#space.address.value
        this.#answer.hi = 0
      }
      return this.#traced(request, STATUS_DONE)
    }
    return this.#traced(request, this.unhandled(size))
  }

  /** Leaves the answer of an access that nobody takes. */
  unhandled(size: number): number {
    allOnes(size, this.#answer)
    return STATUS_UNHANDLED
  }

  /**
   * Makes the elements of a string instruction, or an access whose data is a pointer.
   *
   * @param party - has direct regions there; null: it is for the function that the configuration space has decoded
   */
  #elements(request: IoRequest, party: Party | null): number {
    const { size, count, direction, dataIsPointer } = request
    const owner = party === null ? this.#registration.selectFunction(this.#space.bdf) : null
    const bytes = new Uint8Array(size)
    const answer = this.#answer
    for (let i = 0; i < count; i++) {
      let lo = request.dataLo
      let hi = request.dataHi
      if (dataIsPointer && direction === IOREQ_WRITE) {
        bytes.fill(0xff)
        this.#parts.guestMemory?.read(elementPointer(request, i), bytes)
        lo = wordAt(bytes, 0)
        hi = wordAt(bytes, 4)
      }
      const status =
        party === null
          ? this.#config(owner!, request, lo, hi)
          : this.#element(party, request, elementAddress(request, i), lo, hi)
      if (status !== STATUS_DONE) {
        answer.count = i
        return i > 0 && status === STATUS_UNHANDLED ? STATUS_DONE : status
      }
      if (dataIsPointer && direction === IOREQ_READ) {
        putBytes(bytes, 0, size, answer.lo, answer.hi)
        this.#parts.guestMemory?.write(elementPointer(request, i), bytes)
      }
    }
    return STATUS_DONE
  }

  /** Makes an access to the function that the configuration space has decoded. */
  #config(server: IoreqServer, request: IoRequest, lo = request.dataLo, hi = request.dataHi): number {
    const { direction, size } = request
    const answer = this.#answer
    const functions = server.channel.functions!
    const { bdf, register } = this.#space
    try {
      answer.hi = 0
      if (direction === IOREQ_READ) {
        answer.lo = functions.read(bdf, register, Math.min(size, 4)) >>> 0
        if (size > 4) answer.hi = functions.read(bdf, register + 4, size - 4) >>> 0
        if (size < 4) answer.lo = cut(answer.lo, size)
      } else {
        functions.write(bdf, register, Math.min(size, 4), lo)
        if (size > 4) functions.write(bdf, register + 4, size - 4, hi)
      }
      return STATUS_DONE
    } catch (error) {
      const device = functions.ownerAt(bdf) ?? server.name
      const access = { type: IOREQ_TYPE_PCI_CONFIG, direction, address: register, size }
      return this.#parts.failures.fail(server, device, access, error)
    }
  }

  /** Makes an access to direct regions: where one of them takes it whole, by one call of its handler. */
  #element(party: Party, request: IoRequest, address: number, lo: number, hi: number): number {
    const { type, direction, size } = request
    const region = this.#direct(type, address, size)
    // A string of elements is its party's even where a part of them is claimed by a party before it.
    if (region === null || (region.server ?? this.#registration.internal) !== party)
      return this.#split(party, request, address, lo, hi)
    const offset = address - region.base
    try {
      if (direction === IOREQ_READ) {
        this.#answer.lo = cut(checkedNumber(region.handler.read(offset, size as 1 | 2 | 4)), size)
        this.#answer.hi = 0
      } else checkedVoid(region.handler.write(offset, size as 1 | 2 | 4, cut(lo, size)))
      return STATUS_DONE
    } catch (error) {
      return this.failed(region, { type, direction, address, size }, error)
    }
  }

  /** The region that takes an access whole, as a look-up finds it; null where it takes more to find out. */
  #direct(type: number, address: number, size: number): ServedRegion | null {
    if (type === IOREQ_TYPE_PIO) {
      this.#registration.ports.make()
      const entry = this.#registration.ports.map[address]!
      return isDirectCall(entry, size) ? this.#registration.ports.regions[entry & PORT_REGION]! : null
    }
    const region = this.#registration.mmio.find(address)
    return isDirectCall(region.directSizes, size) && address + size <= this.#registration.mmio.hitEnd ? region : null
  }

  /** Makes an access to direct regions, split where it leaves one of them. */
  #split(party: Party, request: IoRequest, address: number, lo: number, hi: number): number {
    const { type, direction, size } = request
    const local = localRegions(party)!
    const kind = type === IOREQ_TYPE_PIO ? 'port' : 'mmio'
    const pieces = this.#pieces
    this.#type = type
    this.#direction = direction
    this.#status = STATUS_DONE
    if (direction === IOREQ_READ) pieces.read(local, kind, address, size)
    else pieces.write(local, kind, address, size, lo, hi)
    if (this.#status !== STATUS_DONE) return this.#status
    if (direction === IOREQ_READ) {
      this.#answer.lo = pieces.lo
      this.#answer.hi = pieces.hi
    }
    return STATUS_DONE
  }

  /** A model has failed in one piece of an access; true: it goes on without it. */
  #pieceFailed(region: ClaimedRegion): boolean {
    const { failedAt: address, failedBytes: size, error } = this.#pieces
    const access = { type: this.#type, direction: this.#direction, address, size }
    this.#status = this.failed(region, access, error)
    return this.#status === STATUS_DONE
  }

  /** A handler of this process has failed in an access. @returns as `FailureHandler.fail` */
  failed(region: ClaimedRegion, access: FailedAccess, error: unknown): number {
    const { type, address, size } = access
    const party = this.#registration.select(type === IOREQ_TYPE_PIO ? 'port' : 'mmio', address, address + size - 1)
    return this.#parts.failures.fail(party instanceof IoreqServer ? party : null, region.device, access, error)
  }

  /** Traces an access of one element, where that is wanted. @returns its status */
  #traced(access: IoRequest, status: number): number {
    const { trace } = this.#parts
    if (trace === undefined) return status
    const { type, direction, addressLo, addressHi, size, dataLo, dataHi } = access
    const address = addressHi * 2 ** 32 + addressLo
    const config = this.#space.decodes(type, address, size)
    const party = config
      ? this.#registration.selectFunction(this.#space.bdf)
      : this.#registration.select(type === IOREQ_TYPE_PIO ? 'port' : 'mmio', address, address + size - 1)
    const request = createIoRequest()
    request.type = config ? IOREQ_TYPE_PCI_CONFIG : type
    request.direction = direction
    request.addressLo = config ? this.#space.register : addressLo
    request.addressHi = config ? this.#space.bdf : addressHi
    request.size = size
    const read = direction === IOREQ_READ
    const server = party === null ? '' : party instanceof IoreqServer ? party.name : 'hypervisor'
    const device = party instanceof IoreqServer ? tracedDevice(party, request) : server
    trace({
      event: status === STATUS_DONE ? 'done' : status === STATUS_UNHANDLED ? 'unhandled' : 'ended',
      vcpu: -1,
      server,
      device,
      request,
      lo: read ? this.#answer.lo : dataLo,
      hi: read ? this.#answer.hi : dataHi,
    })
    return status
  }
}
