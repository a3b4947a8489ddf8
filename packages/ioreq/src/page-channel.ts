import type { Answer, Channel, SentRequest } from './channel.ts'
import * as L from './layout.ts'
import { placeholder, type Claim, type ClaimedRegion } from './region.ts'
import type { IoRequest } from './request.ts'
import type { IoreqServer } from './server.ts'
import { isWithServer, wrongFreeSlot } from './slot.ts'
import { STATUS_DONE, STATUS_RETRY, STATUS_UNHANDLED } from './status.ts'

/** Hears what goes wrong with requests that lie in pages. */
export interface PageFailures {
  /** As in `IoDispatchOptions`. */
  readonly answersLater: boolean
  /** The server breaks the protocol of slots. @returns `STATUS_ERROR`, or `STATUS_DONE` if the policy is `detach` */
  protocolBroken(server: IoreqServer, request: IoRequest, what: string): number
  serverFailed(server: IoreqServer, vcpu: number, device: string, error: unknown): void
}

/**
 * Puts requests into the server's page, and finds answers there: the producer's side of the protocol. It looks at a
 * slot's state only; what else a server scribbles into the slot changes nothing but the data.
 */
export class PageChannel implements Channel {
  readonly regions = null
  readonly functions = null
  readonly #server: IoreqServer
  readonly #failures: PageFailures
  readonly #elsewhere: Readonly<Record<'port' | 'mmio', ClaimedRegion>>

  constructor(server: IoreqServer, failures: PageFailures) {
    this.#server = server
    this.#failures = failures
    this.#elsewhere = { port: placeholder('port'), mmio: placeholder('mmio') }
    this.#elsewhere.port.server = server
    this.#elsewhere.mmio.server = server
  }

  claims(kind: 'port' | 'mmio'): Claim[] {
    const region = this.#elsewhere[kind]
    const set = this.#server.ranges[kind === 'port' ? L.XEN_DMOP_IO_RANGE_PORT : L.XEN_DMOP_IO_RANGE_MEMORY]
    return Array.from({ length: set.count }, (_, i) => ({ start: set.start(i), end: set.end(i) + 1, region }))
  }

  wrongPlace(vcpu: number): string | null {
    return wrongFreeSlot(this.#server.slot(vcpu), vcpu)
  }

  send(vcpu: number, sent: SentRequest): void {
    const { transport, name } = this.#server
    sent.seenState = L.STATE_IOREQ_READY
    this.#server.slot(vcpu).publish(sent.request)
    try {
      transport.notify(vcpu)
    } catch (error) {
      this.#failures.serverFailed(this.#server, vcpu, name, error)
    }
  }

  hasNoAnswerYet(vcpu: number, sent: SentRequest): boolean {
    if (!this.#failures.answersLater || sent.ended !== STATUS_RETRY) return false
    // A transport with patience has it by now, and tells nobody again.
    if (this.isOwed(vcpu)) return true
    sent.state = L.STATE_IORESP_READY
    this.#server.transport.receive?.(vcpu)
    return true
  }

  isOver(vcpu: number, sent: SentRequest): boolean {
    const slot = this.#server.slot(vcpu)
    const { state } = slot
    if (state === L.STATE_IORESP_READY) {
      this.#server.transport.receive?.(vcpu)
      return true
    }
    if (state === L.STATE_IOREQ_NONE) {
      // The server has gone away and its page was zeroed: the access ends quietly.
      sent.ended = STATUS_UNHANDLED
      return true
    }
    if (state > L.STATE_IORESP_READY || state < sent.seenState) {
      slot.state = L.STATE_IOREQ_NONE
      const what = `the slot's state went from ${sent.seenState} to ${state}`
      const status = this.#failures.protocolBroken(this.#server, sent.request, what)
      sent.ended = status === STATUS_DONE ? STATUS_UNHANDLED : status
      return true
    }
    sent.seenState = state
    return false
  }

  take(vcpu: number, { request }: SentRequest, into: Answer): void {
    const slot = this.#server.slot(vcpu)
    const made = slot.count
    into.lo = slot.dataLo
    into.hi = slot.dataHi
    into.count = made >= 1 && made < request.count ? made : request.count
    slot.state = L.STATE_IOREQ_NONE
  }

  isOwed(vcpu: number): boolean {
    return isWithServer(this.#server.slot(vcpu).state)
  }
}
