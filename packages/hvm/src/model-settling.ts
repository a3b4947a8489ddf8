import { type DeviceHost, IoreqError, type RemoteServer } from '@retrap/ioreq'
import type { DomainServer } from './domain-options.ts'
import { afterHostTime } from './host-timer.ts'

/** What {@link ModelSettling} waits for, and how long. */
export interface ModelSettlingParts {
  readonly servers: readonly DomainServer[]
  /** Models of this process: what their handlers and timers have begun. */
  readonly devices: Pick<DeviceHost, 'settle' | 'failUnsettled'>
  /** Milliseconds of host time that models may take to settle; `Infinity`: for ever. */
  readonly deviceDeadlineMs: number
}

/**
 * The wait for models to finish what they were last given to do, which deterministic time does not pass. Models that take
 * longer than the deadline have failed.
 */
export class ModelSettling {
  readonly #parts: ModelSettlingParts
  /** Models elsewhere settle; a run that was stopped meanwhile leaves that to the next. */
  #elsewhere: Promise<void> | null = null
  /** Ends the wait: the domain is stopped. */
  #endWait: (() => void) | null = null

  constructor(parts: ModelSettlingParts) {
    this.#parts = parts
  }

  /** Lets models finish. @returns what is to be awaited, or null: they have */
  begin(): Promise<unknown> | null {
    for (const server of this.#parts.servers) {
      server.pump?.()
      if (this.#elsewhere === null && server.remote.unsettled) this.#elsewhere = this.#settleServer(server.remote)
      if (this.#elsewhere !== null) return this.#orStopped(this.#elsewhere)
    }
    const settled = this.#parts.devices.settle()
    return settled === null ? null : this.#orStopped(this.#settleDevices(settled))
  }

  /** Ends the wait that is under way: a model that never settles must not hold a domain that is stopped. */
  stop(): void {
    this.#endWait?.()
  }

  /** Waits for models of this process. */
  async #settleDevices(settled: Promise<unknown>): Promise<void> {
    const { deviceDeadlineMs, devices } = this.#parts
    const late = Promise.withResolvers<void>()
    const cancel = afterHostTime(deviceDeadlineMs, () => {
      devices.failUnsettled(new IoreqError('ERR_DEVICE', `it has not settled within ${deviceDeadlineMs} ms`))
      late.resolve()
    })
    try {
      await Promise.race([settled, late.promise])
    } finally {
      cancel()
    }
  }

  /** Waits for models elsewhere. A server whose models take too long fails, as one does that is late with an answer. */
  async #settleServer(remote: RemoteServer): Promise<void> {
    const { deviceDeadlineMs } = this.#parts
    const late = (): void =>
      remote.failed(new IoreqError('ERR_DEVICE', `its models have not settled within ${deviceDeadlineMs} ms`))
    const cancel = afterHostTime(deviceDeadlineMs, late)
    try {
      await remote.settle()
    } catch {
      // The server has failed, and the domain has been told.
    } finally {
      cancel()
      this.#elsewhere = null
    }
  }

  #orStopped(settled: Promise<unknown>): Promise<unknown> {
    return new Promise((resolve, reject) => {
      this.#endWait = () => resolve(undefined)
      settled.then(resolve, reject)
    })
  }
}
