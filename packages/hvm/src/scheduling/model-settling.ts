import { LONGEST_HOST_TIMER_MS } from '@retrap/device/host'
import type { RemoteServer } from '@retrap/device-hosting'
import { IoreqError } from '@retrap/ioreq'
import type { ScheduledDomain } from './run-state.ts'

type SettledModels = Pick<ScheduledDomain, 'servers' | 'devices' | 'deviceDeadlineMs'>

/**
 * The wait for models to finish what they were last given to do, which deterministic time does not pass. Models that take
 * longer than the deadline have failed.
 */
export class ModelSettling {
  readonly #domain: SettledModels
  /** A remote server whose models are settling; a stopped run leaves the wait to the next run. */
  #elsewhere: { readonly remote: RemoteServer; readonly settled: Promise<void> } | null = null
  /** Ends the wait, because the domain is stopped. */
  #endWait: (() => void) | null = null

  constructor(domain: SettledModels) {
    this.#domain = domain
  }

  /** Lets models finish. @returns a promise to wait for, or null if they have finished */
  begin(): Promise<unknown> | null {
    const { servers, devices } = this.#domain
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
    const { deviceDeadlineMs } = this.#domain
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

/** Calls back after host time; never if the time exceeds a host timer's limit. @returns a cancel function */
function afterHostTime(ms: number, callback: () => void): () => void {
  if (ms > LONGEST_HOST_TIMER_MS) return () => {}
  const timer = setTimeout(callback, ms)
  return () => clearTimeout(timer)
}
