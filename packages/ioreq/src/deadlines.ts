import { LONGEST_HOST_TIMER_MS } from '@retrap/device/host'
import { IoreqError } from './errors.ts'
import type { FailureHandler } from './failures.ts'
import type { IoreqServer } from './server.ts'
import { deviceOf, isOpen, type Wait } from './wait.ts'

/** A host timer, as Node has it: one that is not referenced keeps no process alive. */
interface HostTimer {
  ref?(): unknown
  unref?(): unknown
}

/** A cancelled request whose answer is still to come. */
interface Draining {
  readonly server: IoreqServer
  readonly vcpu: number
  /** As {@link Wait.since}. */
  readonly since: number
  /** The model that has it, where that is known; a notice is with all of them. */
  readonly device: string | undefined
}

/** The parts that the deadlines of requests stand on. */
export interface DeadlinesOptions {
  /** Milliseconds of host time after which a server that has not answered counts as failed; `Infinity`: never. */
  readonly deadlineMs: number
  readonly waits: readonly Wait[]
  readonly failures: FailureHandler
  /** The servers whose acknowledgement a vCPU waits for, and that have had the notice. */
  unacknowledged(vcpu: number): IoreqServer[]
  /** A server cannot answer a vCPU's request, or acknowledge its notice. */
  serverFailed(server: IoreqServer, vcpu: number, device: string, error: unknown): void
}

/** Fails servers that have had a request for too long. */
export class Deadlines {
  readonly #options: DeadlinesOptions
  readonly #deadlineMs: number
  readonly #draining: Draining[] = []
  #watchdog: HostTimer | null = null
  #isClosed = false

  constructor(options: DeadlinesOptions) {
    this.#options = options
    this.#deadlineMs = options.deadlineMs
  }

  /** A vCPU's request has been sent. */
  start(wait: Wait): void {
    if (this.#deadlineMs === Infinity || this.#isClosed) return
    wait.since = performance.now()
    if (this.#watchdog === null) this.#watch(this.#deadlineMs)
    else this.#watchdog.ref?.()
  }

  #watch(ms: number): void {
    this.#watchdog = setTimeout(
      () => {
        this.#watchdog = null
        const next = this.expire(performance.now())
        if (next !== Infinity) this.#watch(next)
      },
      // A deadline further away is looked at again then.
      Math.min(ms, LONGEST_HOST_TIMER_MS),
    ) as HostTimer
  }

  /** A wait has ended: where nothing is pending, the timer must not keep the process. */
  relax(): void {
    if (this.#watchdog === null) return
    for (const wait of this.#options.waits) if (isOpen(wait)) return
    this.#watchdog.unref?.()
  }

  /** Ends the host timer, which would hold the machine's memory until the deadline. */
  close(): void {
    clearTimeout(this.#watchdog as number | undefined)
    this.#watchdog = null
    this.#isClosed = true
  }

  /** A cancelled request keeps its deadline. */
  cancelled(server: IoreqServer, vcpu: number, since: number, device: string | undefined): void {
    if (this.#deadlineMs !== Infinity) this.#draining.push({ server, vcpu, since, device })
  }

  /** The answer to a server's cancelled request has come. */
  drained(server: IoreqServer, vcpu: number): void {
    const at = this.#draining.findIndex((one) => one.server === server && one.vcpu === vcpu)
    if (at >= 0) this.#draining.splice(at, 1)
  }

  /** A server is gone: none of its answers comes any more. */
  forget(server: IoreqServer): void {
    for (let i = this.#draining.length - 1; i >= 0; i--) {
      if (this.#draining[i]!.server === server) this.#draining.splice(i, 1)
    }
  }

  /**
   * Fails servers that have had a request for too long. The host's timers call this by themselves; a vCPU that blocks its
   * thread calls it when it wakes.
   *
   * @param now - the host's clock, `performance.now()`
   * @returns milliseconds until the next deadline, or `Infinity`
   */
  expire(now: number): number {
    const deadlineMs = this.#deadlineMs
    let next = Infinity
    for (const [vcpu, wait] of this.#options.waits.entries()) {
      if (!isOpen(wait)) continue
      const left = wait.since + deadlineMs - now
      if (left > 0) next = Math.min(next, left)
      else {
        this.#late(vcpu, wait)
        if (wait.invalidations > 0) next = Math.min(next, deadlineMs)
      }
    }
    for (const { server, vcpu, since, device } of this.#draining.slice()) {
      const left = since + deadlineMs - now
      if (left > 0) next = Math.min(next, left)
      else if (server.draining[vcpu] !== 0) this.#hung(server, vcpu, device ?? server.transport.holder?.())
    }
    return next
  }

  #late(vcpu: number, wait: Wait): void {
    const { server } = wait
    if (server !== null) {
      // A request behind a cancelled one: that one is late, and has a deadline of its own.
      if (server.draining[vcpu] === 0) this.#hung(server, vcpu, deviceOf(server, wait))
      return
    }
    for (const one of this.#options.unacknowledged(vcpu)) {
      // The failure of one server may end the wait for others.
      if (one.invalidating[vcpu] !== 0) this.#lateNotice(one, vcpu, wait)
    }
  }

  /** A server has not dropped what it had mapped. Where one model is known to hold it up, that one is to blame. */
  #lateNotice(server: IoreqServer, vcpu: number, wait: Wait): void {
    const holder = server.transport.holder?.()
    const what = holder === undefined ? 'no answer' : 'guest memory is still mapped, and was to be released,'
    const error = new IoreqError('ERR_DEVICE', `${what} within ${this.#deadlineMs} ms`)
    const { failures } = this.#options
    if (holder === undefined || failures.policyOf(server) === 'crash') {
      this.#options.serverFailed(server, vcpu, holder ?? server.name, error)
      return
    }
    failures.failOutside(server, holder, 'invalidate', error)
    // The others of its models have their time from now on.
    if (server.invalidating[vcpu] !== 0) wait.since = performance.now()
  }

  #hung(server: IoreqServer, vcpu: number, device: string | undefined): void {
    const error = new IoreqError('ERR_DEVICE', `no answer within ${this.#deadlineMs} ms`)
    this.#options.serverFailed(server, vcpu, device ?? server.name, error)
  }
}
