import type { Word64 } from '@retrap/device'
import type { PciTree } from '@retrap/device/host'
import { STATE_IOREQ_NONE } from './layout.ts'
import type { Claim, ClaimedRegion } from './region.ts'
import type { RegionTable } from './region-table.ts'
import { createIoRequest, type IoRequest } from './request.ts'
import { STATUS_RETRY } from './status.ts'

/** Where answers are left. */
export interface Answer extends Word64 {
  /** Elements. */
  count: number
}

/** Takes the answers of models. */
export interface ReplyTarget {
  /**
   * A model has answered.
   *
   * @param last - nothing follows in the caller: any party that is notified of it may go on at once
   */
  answer(vcpu: number, lo: number, hi: number, last: boolean): void
  /** A model cannot answer. @param device - its name; empty where that is not known */
  reject(vcpu: number, device: string, error: unknown): void
}

/** Serves a vCPU's request that one call of one handler answers. */
export interface OneCall {
  /** Calls the handler; a write has `value`. */
  call(region: ClaimedRegion, offset: number, size: 1 | 2 | 4, direction: number, value: number): void
}

/** The models of this process: what lets an access bypass the request page. */
export interface LocalModels {
  /** Ranges. */
  readonly regions: RegionTable
  /** PCI functions. */
  readonly functions: Pick<PciTree, 'read' | 'write' | 'ownerAt'>
  /** Serves requests. A vCPU has at most one at a time; its answer comes at once or later. */
  readonly requests: {
    /** @param request - the caller's, to be read before this returns */
    serve(vcpu: number, request: IoRequest, replies: ReplyTarget): void
    /** Begins a request that one call of one handler answers. */
    begin(vcpu: number, replies: ReplyTarget): OneCall
  }
}

/** The request of a vCPU, as a channel takes it to its server, and what has come of it. */
export class SentRequest {
  /** The request. */
  readonly request: IoRequest = createIoRequest()
  /** The region whose handler answers by one call, where that has been found already. */
  region: ClaimedRegion | null = null
  /** Offset of the access in `region`. */
  offset = 0
  /** Bits 31:0 of the answer of a model of this process. */
  lo = 0
  /** Bits 63:32 of it. */
  hi = 0
  /** `STATUS_RETRY` unless the wait is over without an answer. */
  ended: number = STATUS_RETRY
  /** The furthest state of its slot that has been seen. */
  seenState: number = STATE_IOREQ_NONE
  /** States of the requests of all vCPUs, by vCPU. */
  states: Int32Array
  readonly #vcpu: number

  constructor(states: Int32Array, vcpu: number) {
    this.states = states
    this.#vcpu = vcpu
  }

  /**
   * Where the request stands: `STATE_IOREQ_NONE`, there is none; `STATE_IOREQ_READY`, it is being sent, and who sends it looks
   * at what has come of it; `STATE_IOREQ_INPROCESS`, its server has it, or is to have it when an earlier one has drained;
   * `STATE_IORESP_READY`, it is over, and to be taken. The party that completes it is the one that leaves INPROCESS.
   */
  get state(): number {
    return this.states[this.#vcpu]!
  }
  set state(value: number) {
    this.states[this.#vcpu] = value
  }
}

/**
 * The way of requests to one server and of answers back: calls where its models are of this process, the request page
 * where they are not.
 */
export interface Channel {
  /** The ranges of models of this process; null where they are elsewhere. */
  readonly regions: RegionTable | null
  /** The PCI functions of models of this process; null where they are elsewhere. */
  readonly functions: LocalModels['functions'] | null
  /** The server's claims of a kind, in ascending precedence. */
  claims(kind: 'port' | 'mmio'): Claim[]
  /** Says what is wrong with the place that a vCPU's next request goes to, and mends it; null if nothing is. */
  wrongPlace(vcpu: number): string | null
  /** Takes a request to the server. */
  send(vcpu: number, sent: SentRequest): void
  /** Whether the pass that has sent a request is not to look for its answer: there is none, or it is for a later pass. */
  hasNoAnswerYet(vcpu: number, sent: SentRequest): boolean
  /** Whether the wait is over: the answer is there, or `ended` says why there is none. */
  isOver(vcpu: number, sent: SentRequest): boolean
  /** Takes the answer, as the server has given it, and makes room for the next request. */
  take(vcpu: number, sent: SentRequest, into: Answer): void
  /** Whether the server has the request and is still to answer it. */
  isOwed(vcpu: number, sent: SentRequest): boolean
}
