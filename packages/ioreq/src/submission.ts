import type { ConfigSpace } from './config-space.ts'
import type { FailureHandler } from './failures.ts'
import type { ImmediateAccess } from './immediate.ts'
import { IOREQ_TYPE_PCI_CONFIG, IOREQ_TYPE_PIO, IOREQ_TYPE_TIMEOFFSET, IOREQ_WRITE } from './layout.ts'
import { allDirect, localRegions, type Parties } from './parties.ts'
import type { PendingRequests } from './pending.ts'
import { RegionTable } from './region-table.ts'
import { copyIoRequest, createIoRequest, elementAddress, type IoRequest } from './request.ts'
import type { IoreqServer } from './server.ts'
import { STATUS_DONE, STATUS_RESTART } from './status.ts'
import { NOBODY } from './wait.ts'

/** The parts of a {@link Submission}. */
export interface SubmissionParts {
  readonly parties: Parties
  readonly space: ConfigSpace
  readonly immediate: ImmediateAccess
  readonly pending: PendingRequests
  readonly failures: FailureHandler
  /** Where the number of elements is left. */
  readonly answer: { count: number }
}

/** Chooses the party of an access that no look-up has found a party for, and hands the access to handlers, a channel, or a ring. */
export class Submission {
  readonly #parts: SubmissionParts

  constructor(parts: SubmissionParts) {
    this.#parts = parts
  }

  /** Makes an access. @returns as `IoDispatch.submit`; where nobody waits, `STATUS_RESTART` with nothing done instead of a request */
  submit(vcpu: number, request: IoRequest, address: number): number {
    const { size, count, type, direction } = request
    const { parties, space, immediate, pending, answer } = this.#parts
    const isConfig = space.decodes(type, address, size)
    const kind = type === IOREQ_TYPE_PIO ? 'port' : 'mmio'
    const end = count === 1 ? address : elementAddress(request, count - 1)
    const first = Math.min(address, end)
    const last = Math.max(address, end) + size - 1
    const party = isConfig ? parties.selectFunction(space.bdf) : parties.select(kind, first, last)
    const isLocal = party === null || (isConfig ? localRegions(party) !== null : allDirect(party, kind, first, last))
    if (!isLocal) {
      if (vcpu === NOBODY) return STATUS_RESTART
      pending.free(vcpu)
    }
    // The dword is latched and still forwarded.
    if (direction === IOREQ_WRITE && space.isLatch(type, address, size)) space.address.value = request.dataLo
    const isOne = count === 1 && !request.dataIsPointer
    if (party === null) {
      if (count === 1) return immediate.unclaimed(request)
      if (!isConfig) answer.count = 0
      return immediate.unhandled(size)
    }
    if (isLocal) {
      const owner = isConfig ? null : party
      return isOne ? immediate.perform(request, owner) : immediate.elements(request, owner)
    }
    if (party instanceof RegionTable) throw new Error('invariant: internal regions are direct')
    if (!isConfig && direction === IOREQ_WRITE && this.#buffer(vcpu, party, request, first, last)) return STATUS_DONE
    return this.send(vcpu, request, party, isConfig)
  }

  /** Sends a request to a server. @param isConfig - for the PCI function that the configuration space has decoded */
  send(vcpu: number, request: IoRequest, server: IoreqServer, isConfig = false): number {
    const { pending, space } = this.#parts
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
    for (const server of this.#parts.parties.present()) {
      if (!server.enabled) continue
      if (server.transport.timeOffset?.(request) === true) continue
      if (server.ring?.produce(request) === true) this.#notifyBuffered(server)
      else missed++
    }
    return missed
  }
}
