import type { Word64 } from '@retrap/device'
import { IoreqError } from './errors.ts'
import { Deadlines } from './deadlines.ts'
import { type AccessRecord, RECORD_WORDS, RECORDS_PER_PAGE } from './access-record.ts'
import { accessOf, describeRequest, type FailureHandler } from './failures.ts'
import { type InvalidationListener, Invalidations } from './invalidations.ts'
import { copyIoRequest, INVALIDATE_ALL, type InvalidationNotice, type IoRequest } from './request.ts'
import * as L from './layout.ts'
import { LostServers } from './lost-servers.ts'
import type { IoreqServer } from './server.ts'
import { isWithServer, wrongFreeSlot } from './slot.ts'
import { STATUS_DONE, STATUS_RETRY } from './status.ts'
import type { IoTraceEvent, IoTraceRecord } from './trace.ts'
import { deviceOf, isOpen, tracedDevice, Wait, type WaitDescription } from './wait.ts'

/** The part of the dispatcher that {@link PendingRequests} needs. */
export interface PendingOptions {
  readonly vcpus: number
  /** Where answers are left. */
  readonly answer: Word64 & { count: number }
  readonly failures: FailureHandler
  /** Milliseconds of host time after which a server that has not answered counts as failed; `Infinity`: never. */
  readonly deadlineMs: number
  /** As in `IoDispatchOptions`. */
  readonly answersLater: boolean
  readonly onComplete: ((vcpu: number, mayRun: boolean) => void) | undefined
  readonly trace: ((record: IoTraceRecord) => void) | undefined
  readonly invalidations: InvalidationListener | undefined
  /** Zeroed pages for the records of all vCPUs. */
  readonly records: { readonly pages: readonly Int32Array[]; free(): void }
  /** All servers that there are, enabled or not. */
  servers(): readonly IoreqServer[]
}

/** The requests of a domain's vCPUs that are with servers. A vCPU has at most one, beside invalidations, which go to all servers. */
export interface VcpuRequests {
  /** Whether a vCPU waits for an answer (or has one to take), or for an acknowledgement. */
  has(vcpu: number): boolean
  /** Whether an answer, or an acknowledgement of an invalidation, is still to come for a vCPU. */
  unanswered(vcpu: number): boolean
  /** Describes the wait of a vCPU, for people; null: it waits for no answer. Notices to all servers are not described. */
  describe(vcpu: number): WaitDescription | null
  /** The record of a vCPU, which has its request while that is with a server, and then the answer. */
  record(vcpu: number): AccessRecord
  /**
   * Takes the answer to a vCPU's request from its record, and copies it into `lo`, `hi` and `count` of the dispatcher. An answer
   * that its server has not announced is looked for.
   *
   * @returns `STATUS_RETRY` while there is none, otherwise as `IoDispatch.submit`
   * @throws IoreqError `ERR_NOT_FOUND` if the vCPU has no request
   */
  take(vcpu: number): number
  /**
   * The vCPU no longer wants its answer (reset, INIT, SIPI, set-context). A late one is drained and dropped; a new request to
   * the same server is sent after that. Invalidations go on.
   */
  cancel(vcpu: number): void
  /**
   * Asks all servers to drop what they have mapped of guest memory: an INVALIDATE request in the vCPU's own slot of each
   * that is enabled. The vCPU must not run on until all have acknowledged.
   *
   * @param notice - what is to be dropped; default everything
   * @returns `STATUS_DONE` if all have acknowledged already, else `STATUS_RETRY`: `onComplete` follows the last one
   * @throws IoreqError `ERR_BUSY` if the vCPU has a request already
   */
  invalidate(vcpu: number, notice?: InvalidationNotice): number
  /**
   * Name of a model of this process whose mapping the vCPU's invalidation waits for; undefined where there is none, or
   * another server has yet to answer as well.
   */
  holder(vcpu: number): string | undefined
  /** Ends the host timer of deadlines: nothing is sent or answered any more. */
  close(): void
  /**
   * Fails servers that have had a request for longer than `deadlineMs`. Host timers do this by themselves; for a thread
   * that blocks instead of returning to its event loop.
   *
   * @param now - `performance.now()`
   * @returns milliseconds until the next deadline, or `Infinity`
   */
  expire(now: number): number
  /** @internal The server of a pending request cannot answer it. */
  serverFailed(server: IoreqServer, vcpu: number, device: string, error: unknown): void
  /** A server is gone: its process has ended, or its transport's protocol was broken. The policy decides what follows. */
  serverGone(server: IoreqServer, error: unknown): void
}

/** Sends requests to servers, and keeps them until each has its answer or its end. */
export class PendingRequests implements VcpuRequests {
  readonly #waits: readonly Wait[]
  readonly #options: PendingOptions
  readonly #answer: Word64 & { count: number }
  readonly #failures: FailureHandler
  readonly #invalidations: Invalidations
  readonly #deadlines: Deadlines
  /** Ends requests of servers that go or fail. */
  readonly lost: LostServers
  /** Neither a trace nor a deadline: an answer is only taken. */
  readonly #plain: boolean

  constructor(options: PendingOptions) {
    const { pages } = options.records
    this.#waits = Array.from({ length: options.vcpus }, (_, vcpu) => {
      const words = pages[Math.floor(vcpu / RECORDS_PER_PAGE)]!
      return new Wait(words, (vcpu % RECORDS_PER_PAGE) * RECORD_WORDS)
    })
    this.#plain = options.trace === undefined && options.deadlineMs === Infinity
    this.#options = options
    this.#answer = options.answer
    this.#failures = options.failures
    const serverFailed = this.serverFailed.bind(this)
    this.#invalidations = new Invalidations({
      failures: options.failures,
      listener: options.invalidations,
      servers: () => options.servers(),
      trace: (event, vcpu, server, request) => this.trace(event, vcpu, server, request, request.dataLo, request.dataHi),
      started: (wait) => this.#deadlines.start(wait),
      answered: (server, vcpu) => this.answered(server, vcpu, false),
      serverFailed,
      drain: (server, vcpu, wait) => this.#drain(server, vcpu, wait, undefined),
      completed: (vcpu, wait) => {
        this.#deadlines.relax()
        // Before the last notice is sent, who sends them looks at what has come of them.
        if (wait.progress !== L.STATE_IOREQ_INPROCESS) return
        wait.progress = L.STATE_IOREQ_NONE
        this.#options.onComplete?.(vcpu, false)
      },
    })
    this.#deadlines = new Deadlines({
      deadlineMs: options.deadlineMs,
      waits: this.#waits,
      failures: options.failures,
      unacknowledged: (vcpu) => this.#invalidations.unacknowledged(vcpu),
      serverFailed,
    })
    this.lost = new LostServers({
      waits: this.#waits,
      failures: options.failures,
      invalidations: this.#invalidations,
      deadlines: this.#deadlines,
      end: (vcpu, wait, status) => this.#end(vcpu, wait, status),
      drained: (server, vcpu, wait) => this.#drained(server, vcpu, wait),
    })
  }

  record(vcpu: number): Wait {
    const wait = this.#waits[vcpu]
    if (wait === undefined) throw this.#noVcpu(vcpu)
    return wait
  }

  #noVcpu(vcpu: number): IoreqError {
    return new IoreqError('ERR_INVALID', `vCPU ${vcpu}: the domain has ${this.#waits.length}`)
  }

  has(vcpu: number): boolean {
    return this.record(vcpu).progress !== L.STATE_IOREQ_NONE
  }

  unanswered(vcpu: number): boolean {
    return isOpen(this.record(vcpu))
  }

  describe(vcpu: number): WaitDescription | null {
    const wait = this.record(vcpu)
    const { server } = wait
    if (server === null) return null
    return { server: server.name, device: tracedDevice(server, wait), request: describeRequest(wait) }
  }

  /**
   * Returns the record of a vCPU.
   *
   * @throws IoreqError `ERR_BUSY` if the vCPU has a request already
   */
  free(vcpu: number): Wait {
    const wait = this.#waits[vcpu]
    if (wait === undefined) throw this.#noVcpu(vcpu)
    if (wait.progress !== L.STATE_IOREQ_NONE) throw busy(vcpu, wait)
    return wait
  }

  /**
   * Sends the request in the record of a vCPU, whose `region` and `offset` say where one call of a handler answers.
   *
   * @returns the status of an answer if there is one at once
   */
  send(vcpu: number, wait: Wait, server: IoreqServer): number {
    wait.server = server
    wait.progress = L.STATE_IOREQ_INPROCESS
    if (!this.#plain) this.#deadlines.start(wait)
    if (server.draining[vcpu] !== 0) {
      // The slot still holds a request that nobody wants. Ours follows it.
      wait.region = null
      return STATUS_RETRY
    }
    const { channel } = server
    const wrong = channel.regions === null ? wrongFreeSlot(server.slot(vcpu), vcpu) : null
    if (wrong !== null) {
      wait.server = null
      wait.progress = L.STATE_IOREQ_NONE
      return this.protocolBroken(server, wait, wrong)
    }
    if (!this.#plain) this.#traceSent(vcpu, wait, server)
    wait.progress = L.STATE_IOREQ_READY
    channel.send(vcpu, wait)
    // A transport with patience has the answer by now, and tells nobody again.
    if (channel.look !== undefined && wait.server !== null) this.#look(vcpu, wait, server)
    if (wait.server !== null) {
      wait.progress = L.STATE_IOREQ_INPROCESS
      return STATUS_RETRY
    }
    // The answer of a server elsewhere may be for a later pass, however quick it is. A model may have had the vCPU reset.
    const isLater = this.#options.answersLater && channel.regions === null && wait.status === STATUS_DONE
    return isLater || wait.progress === L.STATE_IOREQ_NONE ? STATUS_RETRY : this.#taken(wait)
  }

  #traceSent(vcpu: number, wait: Wait, server: IoreqServer): void {
    this.trace('sent', vcpu, server, wait, wait.dataLo, wait.dataHi)
  }

  /** Traces an event of a request, where that is wanted. */
  trace(event: IoTraceEvent, vcpu: number, server: IoreqServer, request: IoRequest, lo: number, hi: number): void {
    if (this.#options.trace === undefined) return
    const device = tracedDevice(server, request)
    this.#options.trace({ event, vcpu, server: server.name, device, request: copyIoRequest(request), lo, hi })
  }

  take(vcpu: number): number {
    const wait = this.record(vcpu)
    if (wait.server !== null) this.#look(vcpu, wait, wait.server)
    else if (wait.progress !== L.STATE_IORESP_READY) throw nothingToTake(vcpu)
    return this.#taken(wait)
  }

  /** Takes the answer, and leaves a copy where the answers of accesses at once are. */
  #taken(wait: Wait): number {
    const status = wait.take()
    if (status === STATUS_RETRY) return status
    this.#answer.lo = wait.lo
    this.#answer.hi = wait.hi
    this.#answer.count = wait.made
    return status
  }

  /** Looks for the answer of the server that has the request. A request behind one that drains has not been sent. */
  #look(vcpu: number, wait: Wait, server: IoreqServer, mayRun = false): void {
    if (server.draining[vcpu] !== 0) return
    const status = server.channel.look?.(vcpu, wait) ?? STATUS_RETRY
    if (status === STATUS_DONE) this.#complete(vcpu, wait, mayRun)
    else if (status !== STATUS_RETRY) this.#end(vcpu, wait, status)
  }

  cancel(vcpu: number): void {
    const wait = this.record(vcpu)
    const { server } = wait
    if (server === null) {
      // An answer that nobody has taken is dropped. An invalidation goes on.
      if (wait.progress === L.STATE_IORESP_READY) wait.progress = L.STATE_IOREQ_NONE
      return
    }
    wait.server = null
    wait.progress = L.STATE_IOREQ_NONE
    this.trace('cancelled', vcpu, server, wait, wait.dataLo, wait.dataHi)
    // From one that is gone nothing comes any more. One behind a request that drains has not been sent.
    if (!server.alive || server.draining[vcpu] !== 0) return
    if (server.channel.regions !== null || isWithServer(server.slot(vcpu).state)) {
      this.#drain(server, vcpu, wait, deviceOf(server, wait))
      server.transport.cancel?.(vcpu)
    } else {
      server.slot(vcpu).state = L.STATE_IOREQ_NONE
    }
  }

  /** A slot's response is dropped, but it has to come before the slot is used again. */
  #drain(server: IoreqServer, vcpu: number, { since }: Wait, device: string | undefined): void {
    server.draining[vcpu] = 1
    this.#deadlines.cancelled(server, vcpu, since, device)
  }

  /** A server's slot has changed. @param mayRun - see `IoDispatchOptions.onComplete` */
  answered(server: IoreqServer, vcpu: number, mayRun: boolean): void {
    const wait = this.record(vcpu)
    if (server.draining[vcpu] !== 0) {
      if (!isWithServer(server.slot(vcpu).state)) this.#drained(server, vcpu, wait)
      return
    }
    if (this.#invalidations.inSlot(server, vcpu)) {
      if (!isWithServer(server.slot(vcpu).state)) this.#invalidations.acknowledgedInSlot(server, vcpu, wait)
      return
    }
    if (wait.server !== server) {
      this.#checkUnasked(server, vcpu)
      return
    }
    // While the request is being sent, its sender looks.
    if (wait.progress === L.STATE_IOREQ_INPROCESS) this.#look(vcpu, wait, server, mayRun)
  }

  /** A model of this process has answered a vCPU's request. @param mayRun - see `IoDispatchOptions.onComplete` */
  returned(server: IoreqServer, vcpu: number, lo: number, hi: number, mayRun: boolean): void {
    const wait = this.#waits[vcpu]!
    if (server.draining[vcpu] !== 0) return this.#drained(server, vcpu, wait)
    // The notice took too long, and has been given up.
    if (wait.server !== server) return
    wait.answer(STATUS_DONE, lo, hi)
    this.#complete(vcpu, wait, mayRun)
  }

  /** A notice for a slot without a request. By itself it means nothing, but the slot must be free. */
  #checkUnasked(server: IoreqServer, vcpu: number): void {
    if (!server.alive) return
    const slot = server.slot(vcpu)
    const { state } = slot
    if (state === L.STATE_IOREQ_NONE) return
    slot.state = L.STATE_IOREQ_NONE
    const error = new IoreqError('ERR_DEVICE', `the free slot of vCPU ${vcpu} went to state ${state}`)
    this.#failures.failOutside(server, server.name, 'an answer that nobody had asked for', error)
  }

  #drained(server: IoreqServer, vcpu: number, wait: Wait): void {
    server.slot(vcpu).state = L.STATE_IOREQ_NONE
    server.draining[vcpu] = 0
    this.#deadlines.drained(server, vcpu)
    this.trace('drained', vcpu, server, wait, 0, 0)
    if (!server.alive) return
    if (this.#invalidations.slotFree(server, vcpu, wait)) return
    if (wait.server === server) {
      // A request that has waited for this.
      this.#deadlines.start(wait)
      this.#traceSent(vcpu, wait, server)
      server.channel.send(vcpu, wait)
      // A transport with patience has waited for the answer, and tells nobody.
      if (wait.server === server) this.#look(vcpu, wait, server)
    }
  }

  /** The record has the answer. */
  #complete(vcpu: number, wait: Wait, mayRun: boolean): void {
    const { progress, server } = wait
    wait.server = null
    wait.progress = L.STATE_IORESP_READY
    if (!this.#plain) this.#completed(vcpu, wait, server!)
    // While the request is being sent, its sender looks at the record.
    if (progress === L.STATE_IOREQ_INPROCESS) this.#options.onComplete?.(vcpu, mayRun)
  }

  /** A request is over, where there are deadlines or a trace. */
  #completed(vcpu: number, wait: Wait, server: IoreqServer): void {
    this.#deadlines.relax()
    const isAnswered = wait.status === STATUS_DONE
    const { lo, hi } = !isAnswered || wait.direction === L.IOREQ_READ ? wait : { lo: wait.dataLo, hi: wait.dataHi }
    this.trace(isAnswered ? 'answered' : 'ended', vcpu, server, wait, lo, hi)
  }

  /** A request ends without an answer of its server. */
  #end(vcpu: number, wait: Wait, status: number): void {
    // A failure may have ended its server, and the wait with it.
    if (wait.server === null) return
    wait.server.slot(vcpu).state = L.STATE_IOREQ_NONE
    wait.answer(status, 0xffff_ffff, 0xffff_ffff)
    this.#complete(vcpu, wait, false)
  }

  // ---- invalidation ----

  invalidate(vcpu: number, notice: InvalidationNotice = INVALIDATE_ALL): number {
    const status = this.#invalidations.begin(vcpu, this.free(vcpu), notice)
    if (status === STATUS_DONE) this.#deadlines.relax()
    return status
  }

  /** A server has been disabled: that it has nothing mapped any more is enough. */
  disabled(server: IoreqServer): void {
    for (const [vcpu, wait] of this.#waits.entries()) this.#invalidations.disabled(server, vcpu, wait)
  }

  holder(vcpu: number): string | undefined {
    return this.#invalidations.holder(vcpu)
  }

  close(): void {
    this.#deadlines.close()
    // Late answers still come, and the memory has another owner by then.
    for (const wait of this.#waits) wait.words = wait.words.slice()
    this.#options.records.free()
  }

  expire(now: number): number {
    return this.#deadlines.expire(now)
  }

  // ---- servers that go or fail ----

  serverFailed(server: IoreqServer, vcpu: number, device: string, error: unknown): void {
    this.lost.failed(server, vcpu, this.record(vcpu), { device, error })
  }

  serverGone(server: IoreqServer, error: unknown): void {
    this.lost.gone(server, error)
  }

  /** A server breaks the protocol of slots. @returns as `FailureHandler.fail` */
  protocolBroken(server: IoreqServer, request: IoRequest, what: string): number {
    const error = new IoreqError('ERR_DEVICE', what)
    return this.#failures.fail(server, server.name, accessOf(request), error)
  }
}

function busy(vcpu: number, wait: Wait): IoreqError {
  const what =
    wait.invalidations > 0 ? `${wait.invalidations} servers to acknowledge an invalidation` : describeRequest(wait)
  return new IoreqError('ERR_BUSY', `vCPU ${vcpu} already waits for ${what}`)
}

function nothingToTake(vcpu: number): IoreqError {
  return new IoreqError('ERR_NOT_FOUND', `vCPU ${vcpu} has no request to take an answer of`)
}
