import type { Word64 } from './device.ts'
import { IoreqError } from './errors.ts'
import { describeRequest, requestAddress, type FailureHandler } from './failures.ts'
import {
  IOREQ_READ,
  IOREQ_TYPE_COPY,
  STATE_IOREQ_INPROCESS,
  STATE_IOREQ_NONE,
  STATE_IOREQ_READY,
  STATE_IORESP_READY,
} from './layout.ts'
import { cut } from './region.ts'
import { copyIoRequest, createIoRequest, type IoRequest } from './request.ts'
import type { IoreqServer } from './server.ts'
import { IO_DONE, IO_RETRY, IO_UNHANDLED } from './status.ts'
import { allOnes } from './words.ts'

/** What one vCPU waits for. */
class Wait {
  server: IoreqServer | null = null
  readonly request: IoRequest = createIoRequest()
  /** The slot is still draining a cancelled request; ours is published after it. */
  queued = false
  submitting = false
  /** `IO_RETRY` unless the wait is over without an answer. */
  ended: number = IO_RETRY
  seenState: number = STATE_IOREQ_NONE
  completed = false
}

/**
 * The requests that are with servers: the producer's side of the protocol.
 *
 * A vCPU has at most one. It looks at the slot's state only; what else a server scribbles into the slot changes
 * nothing but the data.
 */
export class PendingRequests {
  readonly #waits: readonly Wait[]
  readonly #answer: Word64
  readonly #failures: FailureHandler
  readonly #onComplete: ((vcpu: number) => void) | undefined

  /** @param answer - where answers are left */
  constructor(
    vcpus: number,
    answer: Word64,
    failures: FailureHandler,
    onComplete: ((vcpu: number) => void) | undefined,
  ) {
    this.#waits = Array.from({ length: vcpus }, () => new Wait())
    this.#answer = answer
    this.#failures = failures
    this.#onComplete = onComplete
  }

  #wait(vcpu: number): Wait {
    const wait = this.#waits[vcpu]
    if (wait === undefined) throw new IoreqError('ERR_INVALID', `vCPU ${vcpu}: the domain has ${this.#waits.length}`)
    return wait
  }

  /** Whether a vCPU waits for an answer (or has one to take). */
  has(vcpu: number): boolean {
    const wait = this.#wait(vcpu)
    return wait.server !== null || wait.ended !== IO_RETRY
  }

  /** @throws IoreqError `ERR_BUSY` if the vCPU has a request already */
  checkFree(vcpu: number): void {
    if (!this.has(vcpu)) return
    throw new IoreqError('ERR_BUSY', `vCPU ${vcpu} already waits for ${describeRequest(this.#wait(vcpu).request)}`)
  }

  /** Sends a request to a server; the status is that of an answer if there is one at once. */
  send(vcpu: number, server: IoreqServer, request: IoRequest): number {
    const wait = this.#wait(vcpu)
    copyIoRequest(request, wait.request)
    wait.server = server
    wait.completed = false
    if (server.draining[vcpu] !== 0) {
      // The slot still holds a request that nobody wants. Ours follows it.
      wait.queued = true
      return IO_RETRY
    }
    const slot = server.slot(vcpu)
    const { state, eventPort } = slot
    if (state !== STATE_IOREQ_NONE || eventPort !== vcpu + 1) {
      slot.state = STATE_IOREQ_NONE
      slot.eventPort = vcpu + 1
      wait.server = null
      return this.#fail(wait, server, `the free slot was in state ${state} with event port ${eventPort}`)
    }
    wait.submitting = true
    try {
      this.#publish(vcpu, wait, server)
    } finally {
      wait.submitting = false
    }
    return this.#outcome(vcpu, wait)
  }

  #publish(vcpu: number, wait: Wait, server: IoreqServer): void {
    wait.seenState = STATE_IOREQ_READY
    server.slot(vcpu).publish(wait.request)
    try {
      server.transport.notify(vcpu)
    } catch (error) {
      this.serverFailed(server, vcpu, server.name, error)
    }
  }

  /**
   * Takes the answer to a vCPU's request.
   *
   * @returns `IO_RETRY` while there is none
   * @throws IoreqError `ERR_NOT_FOUND` if the vCPU has no request
   */
  take(vcpu: number): number {
    if (!this.has(vcpu)) {
      throw new IoreqError('ERR_NOT_FOUND', `vCPU ${vcpu} has no request to take an answer of`)
    }
    return this.#outcome(vcpu, this.#wait(vcpu))
  }

  #outcome(vcpu: number, wait: Wait): number {
    const { server } = wait
    if (wait.ended === IO_RETRY && (wait.queued || !this.#look(server!, vcpu, wait))) return IO_RETRY
    const { size } = wait.request
    wait.server = null
    if (wait.ended !== IO_RETRY) {
      const status = wait.ended
      wait.ended = IO_RETRY
      allOnes(size, this.#answer)
      return status
    }
    const slot = server!.slot(vcpu)
    // The size is that of our own request, whatever the slot says by now.
    this.#answer.lo = size >= 4 ? slot.dataLo : cut(slot.dataLo, size)
    this.#answer.hi = size === 8 ? slot.dataHi : 0
    slot.state = STATE_IOREQ_NONE
    return IO_DONE
  }

  /** Reads the slot's state; true if the wait is over. */
  #look(server: IoreqServer, vcpu: number, wait: Wait): boolean {
    const slot = server.slot(vcpu)
    const { state } = slot
    if (state === STATE_IORESP_READY) return true
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

  /** The vCPU no longer wants its answer. A late one is drained and dropped. */
  cancel(vcpu: number): void {
    const wait = this.#wait(vcpu)
    wait.ended = IO_RETRY
    const { server } = wait
    if (server === null) return
    wait.server = null
    if (wait.queued) {
      wait.queued = false
      return
    }
    const slot = server.slot(vcpu)
    if (slot.state === STATE_IOREQ_READY || slot.state === STATE_IOREQ_INPROCESS) {
      server.draining[vcpu] = 1
      server.transport.cancel?.(vcpu)
    } else {
      slot.state = STATE_IOREQ_NONE
    }
  }

  /** A server's slot has changed. */
  answered(server: IoreqServer, vcpu: number): void {
    const wait = this.#wait(vcpu)
    if (server.draining[vcpu] !== 0) {
      const { state } = server.slot(vcpu)
      if (state === STATE_IOREQ_READY || state === STATE_IOREQ_INPROCESS) return
      server.slot(vcpu).state = STATE_IOREQ_NONE
      server.draining[vcpu] = 0
      if (wait.server === server && wait.queued) {
        wait.queued = false
        this.#publish(vcpu, wait, server)
      }
      return
    }
    if (wait.server !== server || wait.submitting || wait.completed || wait.ended !== IO_RETRY) return
    if (this.#look(server, vcpu, wait)) this.#complete(vcpu, wait)
  }

  #complete(vcpu: number, wait: Wait): void {
    if (wait.submitting || wait.completed) return
    wait.completed = true
    this.#onComplete?.(vcpu)
  }

  #end(vcpu: number, wait: Wait, status: number): void {
    wait.ended = status
    wait.queued = false
    this.#complete(vcpu, wait)
  }

  /** A server is gone: its requests end quietly, with all ones. */
  endAll(server: IoreqServer): void {
    for (const [vcpu, wait] of this.#waits.entries()) {
      if (wait.server === server) this.#end(vcpu, wait, IO_UNHANDLED)
    }
  }

  /** The server of a pending request cannot answer it. */
  serverFailed(server: IoreqServer, vcpu: number, device: string, error: unknown): void {
    const wait = this.#wait(vcpu)
    const slot = server.slot(vcpu)
    slot.state = STATE_IOREQ_NONE
    if (server.draining[vcpu] !== 0) {
      // Nobody waits, but the contract was broken all the same.
      this.#failures.fail(server, device, IOREQ_TYPE_COPY, IOREQ_READ, 0, 0, error)
      this.answered(server, vcpu)
      return
    }
    const { type, direction, size } = wait.request
    const status = this.#failures.fail(server, device, type, direction, requestAddress(wait.request), size, error)
    this.#end(vcpu, wait, status === IO_DONE ? IO_UNHANDLED : status)
  }

  #fail(wait: Wait, server: IoreqServer, what: string): number {
    const { type, direction, size } = wait.request
    const error = new IoreqError('ERR_DEVICE', what)
    return this.#failures.fail(server, server.name, type, direction, requestAddress(wait.request), size, error)
  }
}
