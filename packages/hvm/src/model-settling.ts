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
  /** A server whose models settle; a run that was stopped meanwhile leaves that to the next. */
  #elsewhere: { readonly remote: RemoteServer; readonly settled: Promise<void> } | null = null
  /** Ends the wait: the domain is stopped. */
  #endWait: (() => void) | null = null

  constructor(parts: ModelSettlingParts) {
    this.#parts = parts
  }

  /** Lets models finish. @returns what is to be awaited, or null: they have */
  begin(): Promise<unknown> | null {
    const { servers, devices } = this.#parts
    for (const server of servers) {
      server.pump?.()
      const { remote } = server
      if (this.#elsewhere === null && remote.unsettled)
        this.#elsewhere = { remote, settled: this.#settleServer(remote) }
      if (this.#elsewhere !== null) {
        const { remote: awaited, settled } = this.#elsewhere
        return this.#wait(settled, 'its models have', (error) => awaited.failed(error))
      }
    }
    const settled = devices.settle()
    return settled === null ? null : this.#wait(settled, 'it has', (error) => devices.failUnsettled(error))
  }

  /** Ends the wait that is under way: a model that never settles must not hold a domain that is stopped. */
  stop(): void {
    this.#endWait?.()
  }

  async #settleServer(remote: RemoteServer): Promise<void> {
    try {
      await remote.settle()
    } catch {
      // The server has failed, and the domain has been told.
    } finally {
      this.#elsewhere = null
    }
  }

  /**
   * Waits for models, or for the domain to be stopped. The deadline begins again with each wait, and a stopped domain has
   * none.
   *
   * @param who - the subject of the error's message
   */
  async #wait(settled: Promise<unknown>, who: string, fail: (error: IoreqError) => void): Promise<void> {
    const { deviceDeadlineMs } = this.#parts
    const ended = Promise.withResolvers<void>()
    this.#endWait = ended.resolve
    const cancel = afterHostTime(deviceDeadlineMs, () => {
      fail(new IoreqError('ERR_DEVICE', `${who} not settled within ${deviceDeadlineMs} ms`))
      ended.resolve()
    })
    try {
      await Promise.race([settled, ended.promise])
    } finally {
      cancel()
    }
  }
}
