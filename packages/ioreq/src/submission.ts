import type { ConfigSpace } from './config-space.ts'
import type { FailureHandler } from './failures.ts'
import type { ImmediateAccess } from './immediate.ts'
import { IOREQ_TYPE_PCI_CONFIG, IOREQ_TYPE_PIO, IOREQ_TYPE_TIMEOFFSET, IOREQ_WRITE } from './layout.ts'
import { allDirect, type Parties } from './parties.ts'
import type { PendingRequests } from './pending.ts'
import { RegionTable } from './region-table.ts'
import { copyIoRequest, createIoRequest, elementAddress, type IoRequest } from './request.ts'
import type { IoreqServer } from './server.ts'
import { STATUS_DONE } from './status.ts'
import type { IoTraceRecord } from './trace.ts'
import { tracedDevice, type Wait } from './wait.ts'

/** The parts of a {@link Submission}. */
export interface SubmissionParts {
  readonly parties: Parties
  readonly space: ConfigSpace
  readonly immediate: ImmediateAccess
  readonly pending: PendingRequests
  readonly failures: FailureHandler
  /** Where the number of elements is left. */
  readonly answer: { count: number }
  readonly trace: ((record: IoTraceRecord) => void) | undefined
}

/** Chooses the party of a logged access, and sends it there: to a slot, into a ring, or to handlers at once. */
export class Submission {
  readonly #parts: SubmissionParts
  readonly #parties: Parties
  readonly #space: ConfigSpace
  readonly #answer: { count: number }

  constructor(parts: SubmissionParts) {
    this.#parts = parts
    this.#parties = parts.parties
    this.#space = parts.space
    this.#answer = parts.answer
  }

  /** Makes an access that no look-up has found a party for. @returns as `IoDispatch.submit` */
  submit(vcpu: number, record: Wait, address: number): number {
    if (this.#space.decodes(record.type, address, record.size)) return this.#submitConfig(vcpu, record)
    return this.#submitRange(vcpu, record, address)
  }

  /** Makes an access to the PCI function that the configuration space has decoded. */
  #submitConfig(vcpu: number, record: Wait): number {
    const { bdf, register } = this.#space
    const server = this.#parties.selectFunction(bdf)
    if (server === null) return this.#parts.immediate.unhandled(record.size)
    if (server.channel.functions !== null) return this.#parts.immediate.elements(record, null)
    record.type = IOREQ_TYPE_PCI_CONFIG
    record.addressHi = bdf
    record.addressLo = register
    return this.#parts.pending.send(vcpu, record, server)
  }

  /** Makes an access to ports or guest-physical addresses, of all its elements if one claimant has them all. */
  #submitRange(vcpu: number, record: Wait, address: number): number {
    const { size, count, type, direction } = record
    const kind = type === IOREQ_TYPE_PIO ? 'port' : 'mmio'
    const end = elementAddress(record, count - 1)
    const first = Math.min(address, end)
    const last = Math.max(address, end) + size - 1
    const party = this.#parties.select(kind, first, last)
    if (direction === IOREQ_WRITE && this.#space.isLatch(type, address, size)) this.#space.address.value = record.dataLo
    if (party === null) {
      if (count === 1) return this.#parts.immediate.unclaimed(record)
      this.#answer.count = 0
      return this.#parts.immediate.unhandled(size)
    }
    if (allDirect(party, kind, first, last)) return this.#parts.immediate.elements(record, party)
    if (party instanceof RegionTable) throw new Error('invariant: internal regions are direct')
    if (direction === IOREQ_WRITE && this.#buffer(vcpu, party, record, first, last)) return STATUS_DONE
    return this.#parts.pending.send(vcpu, record, party)
  }

  /** Puts a write into the server's ring, where that is declared and possible. */
  #buffer(vcpu: number, server: IoreqServer, request: IoRequest, first: number, last: number): boolean {
    const ranges = server.bufferedRanges[request.type as 0 | 1]
    // A vCPU whose earlier request is still draining must not overtake it.
    if (server.ring === null || !ranges.contains(first, last) || server.draining[vcpu] !== 0) return false
    if (!server.ring.produce(request)) return false
    this.#parts.trace?.({
      event: 'buffered',
      vcpu,
      server: server.name,
      device: tracedDevice(server, request),
      request: copyIoRequest(request),
      lo: request.dataLo,
      hi: request.dataHi,
    })
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
    for (const server of this.#parties.present()) {
      if (!server.enabled) continue
      if (server.transport.timeOffset?.(request) === true) continue
      if (server.ring?.produce(request) === true) this.#notifyBuffered(server)
      else missed++
    }
    return missed
  }
}
