import type { Deadlines } from './deadlines.ts'
import { accessOf, type FailureHandler } from './failures.ts'
import type { Invalidations } from './invalidations.ts'
import { STATE_IOREQ_NONE } from './layout.ts'
import type { IoreqServer } from './server.ts'
import { STATUS_DONE, STATUS_ERROR, STATUS_UNHANDLED } from './status.ts'
import type { Wait } from './wait.ts'

/** In place of a request, where there is none. */
const AT_REST = 'an instant at which nobody waited for it'

/** The parts of the pending requests that a lost server concerns. */
export interface LostServerParts {
  readonly waits: readonly Wait[]
  readonly failures: FailureHandler
  readonly invalidations: Invalidations
  readonly deadlines: Deadlines
  /** Ends a vCPU's wait with a status. */
  end(vcpu: number, wait: Wait, status: number): void
  /** The response to a cancelled request has come, or never will. */
  drained(server: IoreqServer, vcpu: number, wait: Wait): void
}

/** The cause of a failure. */
export interface ServerFailure {
  /** Name of the model, or of the server. */
  readonly device: string
  readonly error: unknown
}

/** Ends the requests of servers that fail, go away or are destroyed. */
export class LostServers {
  readonly #parts: LostServerParts

  constructor(parts: LostServerParts) {
    this.#parts = parts
  }

  /** A server was destroyed: its requests end without an error, and its acknowledgements count as given. */
  destroyed(server: IoreqServer): void {
    const { waits, invalidations, deadlines } = this.#parts
    for (const [vcpu, wait] of waits.entries()) {
      server.draining[vcpu] = 0
      if (wait.server === server) this.#parts.end(vcpu, wait, STATUS_UNHANDLED)
      invalidations.acknowledged(server, vcpu, wait)
    }
    deadlines.forget(server)
  }

  /** The server of a vCPU's request cannot answer it. */
  failed(server: IoreqServer, vcpu: number, wait: Wait, { device, error }: ServerFailure): void {
    const { failures, invalidations } = this.#parts
    server.slot(vcpu).state = STATE_IOREQ_NONE
    if (server.draining[vcpu] !== 0) {
      // No vCPU waits for it, but the contract was broken all the same.
      failures.failOutside(server, device, 'a cancelled request', error)
      if (server.alive) this.#parts.drained(server, vcpu, wait)
      return
    }
    if (server.invalidating[vcpu] !== 0) {
      failures.failOutside(server, device, 'invalidate', error)
      // A server that the policy keeps may have dropped nothing.
      invalidations.notWaitedFor(server, vcpu, wait)
      return
    }
    if (wait.server !== server) {
      failures.failOutside(server, device, AT_REST, error)
      return
    }
    const status = failures.fail(server, device, accessOf(wait), error)
    this.#parts.end(vcpu, wait, status === STATUS_DONE ? STATUS_UNHANDLED : status)
  }

  /** A server can answer nothing any more: its process has ended, or it breaks the protocol of its transport. */
  gone(server: IoreqServer, error: unknown): void {
    if (!server.alive) return
    const { waits, failures } = this.#parts
    const failure = { device: server.name, error }
    const first = waits.findIndex((wait) => wait.server === server)
    if (first >= 0) this.failed(server, first, waits[first]!, failure)
    else failures.failOutside(server, server.name, AT_REST, error)
    for (const [vcpu, wait] of waits.entries()) {
      if (wait.server === server && failures.policyOf(server) === 'crash') this.#parts.end(vcpu, wait, STATUS_ERROR)
    }
    // Nothing is to be sent to it any more, whatever becomes of the domain.
    server.destroy()
  }
}
