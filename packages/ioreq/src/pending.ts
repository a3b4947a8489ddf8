import { IoreqError } from './errors.ts'
import { Deadlines } from './deadlines.ts'
import { accessOf, describeRequest, type FailureHandler } from './failures.ts'
import type { InvalidationNotice } from './invalidation.ts'
import { Invalidations } from './invalidations.ts'
import { IOREQ_READ, STATE_IOREQ_NONE, STATE_IOREQ_READY, STATE_IORESP_READY } from './layout.ts'
import { cut } from '@retrap/device/host'
import { LostServers } from './lost-servers.ts'
import type { Answer, PendingOptions } from './pending-options.ts'
import type { ClaimedRegion } from './region.ts'
import { copyIoRequest, type IoRequest } from './request.ts'
import type { IoreqServer } from './server.ts'
import { isWithServer, wrongFreeSlot } from './slot-states.ts'
import { IO_DONE, IO_RETRY, IO_UNHANDLED } from './status.ts'
import type { IoTraceEvent } from './trace.ts'
import { deviceOf, isOpen, isTaken, tracedDevice, Wait, type WaitDescription } from './wait.ts'
import { allOnes } from './words.ts'

/**
 * The requests that are with servers: the producer's side of the protocol.
 *
 * A vCPU has at most one, beside invalidations, which go to all servers at once. It looks at the slot's state only;
 * what else a server scribbles into the slot changes nothing but the data.
 */
export class PendingRequests {
  readonly #waits: readonly Wait[]
  readonly #options: PendingOptions
  readonly #answer: Answer
  readonly #failures: FailureHandler
  readonly #invalidations: Invalidations
  readonly #deadlines: Deadlines
  readonly #lost: LostServers
  /** Neither a trace nor a deadline: an answer is only taken. */
  readonly #plain: boolean

  constructor(options: PendingOptions) {
    this.#plain = options.trace === undefined && options.deadlineMs === Infinity
    this.#waits = Array.from({ length: options.vcpus }, () => new Wait())
    this.#options = options
    this.#answer = options.answer
    this.#failures = options.failures
    const serverFailed = this.serverFailed.bind(this)
    this.#invalidations = new Invalidations({
      failures: options.failures,
      listener: options.invalidations,
      servers: () => options.servers(),
      trace: (event, vcpu, server, request) =>
        this.#trace(event, vcpu, server, request, request.dataLo, request.dataHi),
      started: (wait) => this.#deadlines.start(wait),
      answered: (server, vcpu) => this.answered(server, vcpu, false),
      serverFailed,
      drain: (server, vcpu, wait) => this.#drain(server, vcpu, wait, undefined),
      completed: (vcpu, wait) => {
        this.#deadlines.relax()
        this.#complete(vcpu, wait)
      },
    })
    this.#deadlines = new Deadlines({
      deadlineMs: options.deadlineMs,
      waits: this.#waits,
      failures: options.failures,
      unacknowledged: (vcpu) => this.#invalidations.unacknowledged(vcpu),
      serverFailed,
    })
    this.#lost = new LostServers({
      waits: this.#waits,
      failures: options.failures,
      invalidations: this.#invalidations,
      deadlines: this.#deadlines,
      end: (vcpu, wait, status) => this.#end(vcpu, wait, status),
      drained: (server, vcpu, wait) => this.#drained(server, vcpu, wait),
    })
  }

  #wait(vcpu: number): Wait {
    const wait = this.#waits[vcpu]
    if (wait === undefined) throw this.#noVcpu(vcpu)
    return wait
  }

  #noVcpu(vcpu: number): IoreqError {
    return new IoreqError('ERR_INVALID', `vCPU ${vcpu}: the domain has ${this.#waits.length}`)
  }

  /** Whether a vCPU waits for an answer (or has one to take), or for an acknowledgement. */
  has(vcpu: number): boolean {
    return isTaken(this.#wait(vcpu))
  }

  /** Whether an answer or an acknowledgement is still to come. */
  unanswered(vcpu: number): boolean {
    return isOpen(this.#wait(vcpu))
  }

  /** What a vCPU waits for; null: for no answer. */
  describe(vcpu: number): WaitDescription | null {
    const wait = this.#wait(vcpu)
    const { server, request } = wait
    if (server === null || !isOpen(wait)) return null
    return { server: server.name, device: tracedDevice(server, request), request: describeRequest(request) }
  }

  /** @throws IoreqError `ERR_BUSY` if the vCPU has a request already */
  checkFree(vcpu: number): void {
    const wait = this.#wait(vcpu)
    if (isTaken(wait)) throw busy(vcpu, wait)
  }

  /** Sends a request to a server; the status is that of an answer if there is one at once. */
  send(vcpu: number, server: IoreqServer, request: IoRequest): number {
    const wait = this.#wait(vcpu)
    copyIoRequest(request, wait.request)
    wait.region = null
    return this.#send(vcpu, wait, server)
  }

  /**
   * Returns the wait of a vCPU. The caller describes its request, and sends it by `sendPrepared`, or as any other.
   *
   * @throws IoreqError `ERR_BUSY` if the vCPU has a request already
   */
  prepare(vcpu: number): Wait {
    const wait = this.#wait(vcpu)
    if (isTaken(wait)) throw busy(vcpu, wait)
    return wait
  }

  /**
   * Sends the prepared request, of one element.
   *
   * @param region - of a server of this process: one call of its handler answers; null where it is to be found
   * @param offset - within that region
   */
  sendPrepared(vcpu: number, wait: Wait, server: IoreqServer, region: ClaimedRegion | null, offset: number): number {
    wait.region = region
    wait.offset = offset
    const { local } = server
    if (region === null || local === null || !this.#plain || server.draining[vcpu] !== 0) {
      return this.#send(vcpu, wait, server)
    }
    // The rest is `#send` and `#publish` for this case, which every access to an asynchronous model of this process is.
    wait.server = server
    wait.completed = false
    wait.returned = false
    wait.submitting = true
    const { size, direction, dataLo } = wait.request
    try {
      local.callHandler(vcpu, region, offset, size as 1 | 2 | 4, direction, dataLo)
    } finally {
      wait.submitting = false
    }
    return wait.returned || wait.ended !== IO_RETRY ? this.#outcome(vcpu, wait) : IO_RETRY
  }

  #send(vcpu: number, wait: Wait, server: IoreqServer): number {
    wait.server = server
    wait.completed = false
    wait.returned = false
    this.#deadlines.start(wait)
    if (server.draining[vcpu] !== 0) {
      // The slot still holds a request that nobody wants. Ours follows it.
      wait.queued = true
      wait.region = null
      return IO_RETRY
    }
    const wrong = server.local === null ? wrongFreeSlot(server, vcpu) : null
    if (wrong !== null) {
      wait.server = null
      return this.#fail(wait, server, wrong)
    }
    wait.submitting = true
    try {
      this.#publish(vcpu, wait, server)
    } finally {
      wait.submitting = false
    }
    if (this.#options.answersLater && server.local === null && wait.ended === IO_RETRY) {
      // A transport with patience has it by now, and tells nobody again.
      wait.completed = !isWithServer(server.slot(vcpu).state)
      if (wait.completed) server.transport.receive?.(vcpu)
      return IO_RETRY
    }
    return this.#outcome(vcpu, wait)
  }

  #publish(vcpu: number, wait: Wait, server: IoreqServer): void {
    wait.seenState = STATE_IOREQ_READY
    const { request } = wait
    if (this.#options.trace !== undefined) this.#trace('sent', vcpu, server, request, request.dataLo, request.dataHi)
    if (server.local !== null) {
      const { region } = wait
      if (region === null) return server.local.call(vcpu, request)
      const { size, direction, dataLo } = request
      return server.local.callHandler(vcpu, region, wait.offset, size as 1 | 2 | 4, direction, dataLo)
    }
    server.slot(vcpu).publish(request)
    try {
      server.transport.notify(vcpu)
    } catch (error) {
      this.serverFailed(server, vcpu, server.name, error)
    }
  }

  #trace(event: IoTraceEvent, vcpu: number, server: IoreqServer, request: IoRequest, lo: number, hi: number): void {
    if (this.#options.trace === undefined) return
    const device = tracedDevice(server, request)
    this.#options.trace({ event, vcpu, server: server.name, device, request, lo, hi })
  }

  /**
   * Takes the answer to a vCPU's request.
   *
   * @returns `IO_RETRY` while there is none
   * @throws IoreqError `ERR_NOT_FOUND` if the vCPU has no request
   */
  take(vcpu: number): number {
    const wait = this.#wait(vcpu)
    const { server, request } = wait
    if (server === null && wait.ended === IO_RETRY) throw nothingToTake(vcpu)
    if (wait.returned && this.#plain && server !== null && wait.ended === IO_RETRY && server.local !== null) {
      wait.server = null
      this.#take(wait.lo, wait.hi, request.size, request.count)
      return IO_DONE
    }
    return this.#outcome(vcpu, wait)
  }

  #outcome(vcpu: number, wait: Wait): number {
    const { server } = wait
    if (wait.ended === IO_RETRY && (wait.queued || !this.#look(server!, vcpu, wait))) return IO_RETRY
    const { request } = wait
    const { size } = request
    wait.server = null
    this.#deadlines.relax()
    if (wait.ended !== IO_RETRY) {
      const status = wait.ended
      wait.ended = IO_RETRY
      allOnes(size, this.#answer)
      this.#answer.count = request.count
      if (server !== null) this.#trace('ended', vcpu, server, request, this.#answer.lo, this.#answer.hi)
      return status
    }
    if (server!.local !== null) this.#take(wait.lo, wait.hi, size, request.count)
    else {
      const slot = server!.slot(vcpu)
      const made = slot.count
      this.#take(slot.dataLo, slot.dataHi, size, made >= 1 && made < request.count ? made : request.count)
      slot.state = STATE_IOREQ_NONE
    }
    if (this.#options.trace === undefined) return IO_DONE
    if (request.direction === IOREQ_READ) {
      this.#trace('answered', vcpu, server!, request, this.#answer.lo, this.#answer.hi)
    } else this.#trace('answered', vcpu, server!, request, request.dataLo, request.dataHi)
    return IO_DONE
  }

  /** The size is that of our own request, whatever a slot says by now. */
  #take(lo: number, hi: number, size: number, count: number): void {
    const answer = this.#answer
    answer.lo = size >= 4 ? lo : cut(lo, size)
    answer.hi = size === 8 ? hi : 0
    answer.count = count
  }

  /** Reads the slot's state; true if the wait is over. */
  #look(server: IoreqServer, vcpu: number, wait: Wait): boolean {
    if (server.local !== null) return wait.returned
    const slot = server.slot(vcpu)
    const { state } = slot
    if (state === STATE_IORESP_READY) {
      server.transport.receive?.(vcpu)
      return true
    }
    if (state === STATE_IOREQ_NONE) {
      // The server has gone away and its page was zeroed: the access ends quietly.
      wait.ended = IO_UNHANDLED
      return true
    }
    if (state > STATE_IORESP_READY || state < wait.seenState) {
      slot.state = STATE_IOREQ_NONE
      const status = this.#fail(wait, server, `the slot's state went from ${wait.seenState} to ${state}`)
      wait.ended = status === IO_DONE ? IO_UNHANDLED : status
      return true
    }
    wait.seenState = state
    return false
  }

  /** The vCPU no longer wants its answer. A late one is drained and dropped. Invalidations go on. */
  cancel(vcpu: number): void {
    const wait = this.#wait(vcpu)
    // Its model has failed, and nothing comes any more that would have to be waited for.
    const ended = wait.ended !== IO_RETRY
    wait.ended = IO_RETRY
    const { server } = wait
    if (server === null) return
    wait.server = null
    const { request } = wait
    this.#trace('cancelled', vcpu, server, request, request.dataLo, request.dataHi)
    // From one that is gone nothing comes any more.
    if (!server.alive) return
    if (wait.queued) {
      wait.queued = false
      return
    }
    const slot = server.slot(vcpu)
    const open = server.local === null ? isWithServer(slot.state) : !wait.returned && !ended
    if (open) {
      this.#drain(server, vcpu, wait, deviceOf(server, request))
      server.transport.cancel?.(vcpu)
    } else {
      slot.state = STATE_IOREQ_NONE
    }
  }

  /** A slot's response is dropped, but it has to come before the slot is used again. */
  #drain(server: IoreqServer, vcpu: number, { since }: Wait, device: string | undefined): void {
    server.draining[vcpu] = 1
    this.#deadlines.cancelled(server, vcpu, since, device)
  }

  /** A server's slot has changed. @param mayRun - see `IoDispatchOptions.onComplete` */
  answered(server: IoreqServer, vcpu: number, mayRun: boolean): void {
    const wait = this.#wait(vcpu)
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
    if (wait.submitting || wait.completed || wait.ended !== IO_RETRY) return
    if (this.#look(server, vcpu, wait)) this.#complete(vcpu, wait, mayRun)
  }

  /** A model of this process has answered a vCPU's request. @param mayRun - see `IoDispatchOptions.onComplete` */
  returned(server: IoreqServer, vcpu: number, lo: number, hi: number, mayRun: boolean): void {
    const wait = this.#wait(vcpu)
    if (server.draining[vcpu] !== 0) return this.#drained(server, vcpu, wait)
    // It took too long, and has been given up.
    if (wait.server !== server || wait.ended !== IO_RETRY) return
    wait.lo = lo
    wait.hi = hi
    wait.returned = true
    this.#complete(vcpu, wait, mayRun)
  }

  /** A notice for a slot without a request. By itself it means nothing, but the slot must be free. */
  #checkUnasked(server: IoreqServer, vcpu: number): void {
    if (!server.alive) return
    const slot = server.slot(vcpu)
    const { state } = slot
    if (state === STATE_IOREQ_NONE) return
    slot.state = STATE_IOREQ_NONE
    const error = new IoreqError('ERR_DEVICE', `the free slot of vCPU ${vcpu} went to state ${state}`)
    this.#failures.failOutside(server, server.name, 'an answer that nobody had asked for', error)
  }

  #drained(server: IoreqServer, vcpu: number, wait: Wait): void {
    server.slot(vcpu).state = STATE_IOREQ_NONE
    server.draining[vcpu] = 0
    this.#deadlines.drained(server, vcpu)
    this.#trace('drained', vcpu, server, wait.request, 0, 0)
    if (!server.alive) return
    if (this.#invalidations.slotFree(server, vcpu, wait)) return
    if (wait.server === server && wait.queued) {
      wait.queued = false
      this.#deadlines.start(wait)
      this.#publish(vcpu, wait, server)
    }
  }

  #complete(vcpu: number, wait: Wait, mayRun = false): void {
    if (wait.submitting || wait.completed) return
    wait.completed = true
    this.#options.onComplete?.(vcpu, mayRun)
  }

  #end(vcpu: number, wait: Wait, status: number): void {
    wait.ended = status
    wait.queued = false
    this.#complete(vcpu, wait)
  }

  // ---- invalidation ----

  /**
   * Has all servers drop what they have mapped of guest memory.
   *
   * @returns `IO_DONE` if all have acknowledged already, else `IO_RETRY`: `onComplete` follows the last one
   */
  invalidate(vcpu: number, notice: InvalidationNotice): number {
    this.checkFree(vcpu)
    const status = this.#invalidations.begin(vcpu, this.#wait(vcpu), notice)
    if (status === IO_DONE) this.#deadlines.relax()
    return status
  }

  /** A server has been disabled: that it has nothing mapped any more is enough. */
  disabled(server: IoreqServer): void {
    for (const [vcpu, wait] of this.#waits.entries()) this.#invalidations.disabled(server, vcpu, wait)
  }

  /** A model that keeps a vCPU's invalidation waiting, where that is known. */
  holder(vcpu: number): string | undefined {
    return this.#invalidations.holder(vcpu)
  }

  /** Ends the host's timer. */
  close(): void {
    this.#deadlines.close()
  }

  /** Fails servers that have had a request for too long. @returns as `Deadlines.expire` */
  expire(now: number): number {
    return this.#deadlines.expire(now)
  }

  // ---- servers that go or fail ----

  /** A server is gone: its requests end without an answer. */
  endAll(server: IoreqServer): void {
    this.#lost.destroyed(server)
  }

  /** The server of a pending request cannot answer it. */
  serverFailed(server: IoreqServer, vcpu: number, device: string, error: unknown): void {
    this.#lost.failed(server, vcpu, this.#wait(vcpu), { device, error })
  }

  /** A server can answer nothing any more. */
  serverGone(server: IoreqServer, error: unknown): void {
    this.#lost.gone(server, error)
  }

  #fail(wait: Wait, server: IoreqServer, what: string): number {
    const error = new IoreqError('ERR_DEVICE', what)
    return this.#failures.fail(server, server.name, accessOf(wait.request), error)
  }
}

function busy(vcpu: number, wait: Wait): IoreqError {
  const what =
    wait.invalidations > 0
      ? `${wait.invalidations} servers to acknowledge an invalidation`
      : describeRequest(wait.request)
  return new IoreqError('ERR_BUSY', `vCPU ${vcpu} already waits for ${what}`)
}

function nothingToTake(vcpu: number): IoreqError {
  return new IoreqError('ERR_NOT_FOUND', `vCPU ${vcpu} has no request to take an answer of`)
}
