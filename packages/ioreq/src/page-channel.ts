import type { AccessRecord } from './access-record.ts'
import type { Channel } from './channel.ts'
import * as L from './layout.ts'
import { placeholder, type Claim, type ClaimedRegion } from './region.ts'
import type { PendingRequests } from './pending.ts'
import type { IoreqServer } from './server.ts'
import { STATUS_DONE, STATUS_RETRY, STATUS_UNHANDLED } from './status.ts'

/**
 * Puts requests into the server's page, and finds answers there: the producer's side of the protocol. It looks at a
 * slot's state only; what else a server scribbles into the slot changes nothing but the data.
 */
export class PageChannel implements Channel {
  readonly regions = null
  readonly functions = null
  readonly #server: IoreqServer
  readonly #pending: PendingRequests
  readonly #elsewhere: Readonly<Record<'port' | 'mmio', ClaimedRegion>>

  constructor(server: IoreqServer, pending: PendingRequests) {
    this.#server = server
    this.#pending = pending
    this.#elsewhere = { port: placeholder('port'), mmio: placeholder('mmio') }
    this.#elsewhere.port.server = server
    this.#elsewhere.mmio.server = server
  }

  claims(kind: 'port' | 'mmio'): Claim[] {
    const region = this.#elsewhere[kind]
    const set = this.#server.ranges[kind === 'port' ? L.XEN_DMOP_IO_RANGE_PORT : L.XEN_DMOP_IO_RANGE_MEMORY]
    return Array.from({ length: set.count }, (_, i) => ({ start: set.start(i), end: set.end(i) + 1, region }))
  }

  send(vcpu: number, record: AccessRecord): void {
    const { transport, name } = this.#server
    record.seenState = L.STATE_IOREQ_READY
    this.#server.slot(vcpu).publish(record)
    try {
      transport.notify(vcpu)
    } catch (error) {
      this.#pending.serverFailed(this.#server, vcpu, name, error)
    }
  }

  look(vcpu: number, record: AccessRecord): number {
    const slot = this.#server.slot(vcpu)
    const { state } = slot
    if (state === L.STATE_IORESP_READY) {
      this.#server.transport.receive?.(vcpu)
      // A notice among what has been received has moved the answer already.
      if (slot.state !== state) return STATUS_RETRY
      const made = slot.count
      record.answer(STATUS_DONE, slot.dataLo, slot.dataHi, made >= 1 && made < record.count ? made : record.count)
      slot.state = L.STATE_IOREQ_NONE
      return STATUS_DONE
    }
    // The server has gone away and its page was zeroed: the access ends quietly.
    if (state === L.STATE_IOREQ_NONE) return STATUS_UNHANDLED
    if (state > L.STATE_IORESP_READY || state < record.seenState) {
      slot.state = L.STATE_IOREQ_NONE
      const what = `the slot's state went from ${record.seenState} to ${state}`
      const status = this.#pending.protocolBroken(this.#server, record, what)
      return status === STATUS_DONE ? STATUS_UNHANDLED : status
    }
    record.seenState = state
    return STATUS_RETRY
  }
}
