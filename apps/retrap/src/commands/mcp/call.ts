import { ToolError } from './tool-error.ts'

/** One call of a tool: its time limit, and whether its caller still waits. */
export class Call {
  /** Aborted when the caller has cancelled the call, or the server ends. */
  readonly cancelled: AbortSignal
  /** Aborted with `cancelled`, and when the call's time is over. */
  readonly over: AbortSignal
  readonly #endMs: number
  readonly #seconds: number
  readonly #timer: unknown

  /** @param seconds - host time from now on */
  constructor(seconds: number, cancelled: AbortSignal) {
    const time = new AbortController()
    this.#timer = setTimeout(() => time.abort(), 1000 * seconds)
    this.cancelled = cancelled
    this.over = AbortSignal.any([cancelled, time.signal])
    this.#endMs = performance.now() + 1000 * seconds
    this.#seconds = seconds
  }

  /** Milliseconds left, at least one. */
  get leftMs(): number {
    return Math.max(1, Math.ceil(this.#endMs - performance.now()))
  }

  /** Returns the error of a call that has ended. @param what - names the awaited event */
  reason(what: string): ToolError {
    return this.cancelled.aborted
      ? new ToolError('ERR_CANCELLED', `the call was cancelled while it waited for ${what}`)
      : new ToolError(
          'ERR_TIME',
          `${what} has not come within ${this.#seconds} s; give more timeoutSeconds, or look at the console`,
        )
  }

  /**
   * Waits for a promise no longer than the call lasts, and `patienceMs` longer.
   *
   * @param what - names the awaited event
   * @throws ToolError `ERR_TIME`, `ERR_CANCELLED`; the promise's rejection
   */
  async wait<T>(promise: Promise<T>, what: string, patienceMs = 0): Promise<T> {
    const { promise: late, reject } = Promise.withResolvers<never>()
    let timer: unknown
    const ended = (): void => {
      timer = setTimeout(() => reject(this.reason(what)), patienceMs)
    }
    this.over.addEventListener('abort', ended)
    if (this.over.aborted) ended()
    try {
      return await Promise.race([promise, late])
    } finally {
      this.over.removeEventListener('abort', ended)
      clearTimeout(timer as NodeJS.Timeout)
      // The call has ended: a late failure must not end the process as an unhandled rejection.
      promise.catch(() => {})
    }
  }

  /** Ends the call's timer. */
  end(): void {
    clearTimeout(this.#timer as NodeJS.Timeout)
  }
}
