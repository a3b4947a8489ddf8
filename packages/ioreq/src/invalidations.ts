import { IoreqError } from './errors.ts'
import type { FailureHandler } from './failures.ts'
import { createIoRequest, type InvalidationNotice, type IoRequest } from './request.ts'
import {
  IOREQ_TYPE_INVALIDATE,
  IOREQ_WRITE,
  STATE_IOREQ_INPROCESS,
  STATE_IOREQ_NONE,
  STATE_IOREQ_READY,
} from './layout.ts'
import { wrongFreeSlot } from './slot.ts'
import { STATUS_DONE, STATUS_RETRY } from './status.ts'
import type { IoTraceEvent } from './trace.ts'
import type { Wait } from './wait.ts'
import type { IoreqServer } from './server.ts'

/** Hears how servers come, go and acknowledge: who waits for all of them has then to look again. */
export interface InvalidationListener {
  /** The server has dropped the mappings that the notice of this epoch named, or is gone with all of them. */
  acknowledged(server: IoreqServer, epoch: number): void
  /** The server has been created, enabled, disabled or destroyed. */
  serverChanged(server: IoreqServer): void
}

/** `IoreqServer.invalidating`: the request is in the slot; it waits until the slot has drained. */
const SENT = 1
const QUEUED = 2
/** The server is disabled: there is no request, and only its mappings are waited for. */
const DROPPING = 3

/** The request of an invalidation. Its data is not adopted by anybody. */
const INVALIDATE: IoRequest = {
  ...createIoRequest(),
  type: IOREQ_TYPE_INVALIDATE,
  direction: IOREQ_WRITE,
  size: 4,
  dataLo: 0xffff_ffff,
  dataHi: 0xffff_ffff,
}

/** The part of the requests that invalidations need: both share slots. */
export interface InvalidationsOptions {
  readonly failures: FailureHandler
  readonly listener: InvalidationListener | undefined
  /** All that there are, enabled or not. */
  servers(): readonly IoreqServer[]
  trace(event: IoTraceEvent, vcpu: number, server: IoreqServer, request: IoRequest): void
  /** The vCPU waits from now on. */
  started(wait: Wait): void
  /** A slot has been looked at, or may have changed. */
  answered(server: IoreqServer, vcpu: number): void
  serverFailed(server: IoreqServer, vcpu: number, device: string, error: unknown): void
  /** A server's acknowledgement is not waited for any more; it is drained. */
  drain(server: IoreqServer, vcpu: number, wait: Wait): void
  /** All have acknowledged. */
  completed(vcpu: number, wait: Wait): void
}

/** The notices that tell servers to drop what they have mapped of guest memory: one for each vCPU, to all at once. */
export class Invalidations {
  readonly #options: InvalidationsOptions

  constructor(options: InvalidationsOptions) {
    this.#options = options
  }

  /**
   * Sends INVALIDATE to all enabled servers at once. A disabled server that has something mapped all the same drops it without
   * being asked.
   *
   * @returns `STATUS_DONE` if all have acknowledged already, else `STATUS_RETRY`
   */
  begin(vcpu: number, wait: Wait, notice: InvalidationNotice): number {
    wait.progress = STATE_IOREQ_READY
    wait.notice = notice
    wait.round++
    this.#options.started(wait)
    // Counted before the first is sent: servers that answer at once must not look like the last one.
    const servers = this.#options.servers()
    wait.invalidations = servers.length
    for (const server of servers) {
      if (!server.enabled) this.#dropDisabled(server, vcpu, wait)
      else if (server.draining[vcpu] !== 0) server.invalidating[vcpu] = QUEUED
      else this.#publish(server, vcpu, wait)
    }
    wait.progress = wait.invalidations > 0 ? STATE_IOREQ_INPROCESS : STATE_IOREQ_NONE
    return wait.invalidations > 0 ? STATUS_RETRY : STATUS_DONE
  }

  #dropDisabled(server: IoreqServer, vcpu: number, wait: Wait): void {
    server.invalidating[vcpu] = DROPPING
    const { transport } = server
    const { round } = wait
    if (transport.dropMappings === undefined) this.notWaitedFor(server, vcpu, wait)
    else {
      transport.dropMappings(() => {
        if (wait.round === round) this.acknowledged(server, vcpu, wait)
      })
    }
  }

  /**
   * A server has been disabled. It may never answer; that it has nothing mapped any more is enough.
   */
  disabled(server: IoreqServer, vcpu: number, wait: Wait): void {
    if (server.invalidating[vcpu] === 0) return
    // Its response, should it come, is dropped.
    if (server.invalidating[vcpu] === SENT) this.#options.drain(server, vcpu, wait)
    this.#dropDisabled(server, vcpu, wait)
  }

  /** Whether a server has the notice of a vCPU in its slot. */
  inSlot(server: IoreqServer, vcpu: number): boolean {
    return server.invalidating[vcpu] === SENT
  }

  /** A server's slot has drained: a notice that waited for it is sent. False without one. */
  slotFree(server: IoreqServer, vcpu: number, wait: Wait): boolean {
    if (server.invalidating[vcpu] !== QUEUED) return false
    this.#options.started(wait)
    this.#publish(server, vcpu, wait)
    return true
  }

  #publish(server: IoreqServer, vcpu: number, wait: Wait): void {
    const options = this.#options
    server.invalidating[vcpu] = SENT
    const wrong = wrongFreeSlot(server.slot(vcpu), vcpu)
    if (wrong !== null) {
      options.failures.failOutside(server, server.name, 'invalidate', new IoreqError('ERR_DEVICE', wrong))
      this.notWaitedFor(server, vcpu, wait)
      return
    }
    options.trace('sent', vcpu, server, INVALIDATE)
    try {
      server.transport.announce?.(vcpu, wait.notice)
      server.slot(vcpu).publish(INVALIDATE)
      server.transport.notify(vcpu)
      // A transport with patience has waited for the answer, and tells nobody.
      if (server.invalidating[vcpu] === SENT) options.answered(server, vcpu)
    } catch (error) {
      options.serverFailed(server, vcpu, server.name, error)
    }
  }

  acknowledgedInSlot(server: IoreqServer, vcpu: number, wait: Wait): void {
    server.slot(vcpu).state = STATE_IOREQ_NONE
    this.acknowledged(server, vcpu, wait)
  }

  /** A server has nothing mapped any more. */
  acknowledged(server: IoreqServer, vcpu: number, wait: Wait): void {
    this.#end(server, vcpu, wait, wait.notice)
  }

  /** A server is not waited for, but may have something mapped when it is enabled again. */
  notWaitedFor(server: IoreqServer, vcpu: number, wait: Wait): void {
    this.#end(server, vcpu, wait, null)
  }

  /** @param dropped - the notice that it has followed, or null */
  #end(server: IoreqServer, vcpu: number, wait: Wait, dropped: InvalidationNotice | null): void {
    if (server.invalidating[vcpu] === 0) return
    server.invalidating[vcpu] = 0
    this.#options.trace('answered', vcpu, server, INVALIDATE)
    wait.invalidations--
    if (dropped !== null) this.#options.listener?.acknowledged(server, dropped.epoch)
    if (wait.invalidations === 0) this.#options.completed(vcpu, wait)
  }

  /** The servers that have a vCPU's notice and have not acknowledged it. */
  unacknowledged(vcpu: number): IoreqServer[] {
    // A queued notice waits behind a cancelled request, which has a deadline of its own.
    const waiting = ({ invalidating }: IoreqServer): boolean =>
      invalidating[vcpu] === SENT || invalidating[vcpu] === DROPPING
    return this.#options.servers().filter(waiting)
  }

  /** A model that keeps a vCPU waiting, where that is known: all others that do must be known as well. */
  holder(vcpu: number): string | undefined {
    let holder: string | undefined
    for (const server of this.#options.servers()) {
      if (server.invalidating[vcpu] === 0) continue
      holder = server.transport.holder?.()
      if (holder === undefined) return undefined
    }
    return holder
  }
}
