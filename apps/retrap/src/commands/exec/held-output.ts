import type { ByteStreamBackend } from '@retrap/device'
import type { MachineExit } from '@retrap/machine'

/**
 * Stops a recorded machine while one of its outputs has no room. The guest of a recording is not told of room and would go on sending:
 * the recording's streams keep so many bytes for a reader that stalls, and lose what comes behind them.
 */
export class HeldOutput {
  #full = 0
  #stop = new AbortController()
  #drained = Promise.withResolvers<void>()

  /** Passes on a stream, and looks at its room. */
  watch(stream: ByteStreamBackend): ByteStreamBackend {
    let isFull = false
    return {
      send: (bytes) => {
        const has = stream.send(bytes)
        if (has === false && !isFull) {
          isFull = true
          this.#full++
          this.#stop.abort()
        }
        return has
      },
      connect: (client) =>
        stream.connect?.({
          ...client,
          drained: () => {
            if (isFull) this.#full--
            isFull = false
            // These bytes may fill the stream again.
            client.drained()
            if (this.#full === 0) this.#drained.resolve()
          },
        }),
      ready: () => stream.ready?.(),
      left: () => stream.left?.(),
    }
  }

  /**
   * Runs a machine, and waits for its outputs.
   *
   * @param over - ends it
   * @param isDone - whether the program's last outputs are still expected after `over` has been signalled
   */
  async run(
    machine: { run(signal: AbortSignal, timeoutMs: number): Promise<MachineExit> },
    over: AbortSignal,
    timeoutMs: number,
    isDone: () => boolean,
  ): Promise<MachineExit> {
    const end = performance.now() + timeoutMs
    for (;;) {
      this.#stop = new AbortController()
      this.#drained = Promise.withResolvers()
      if (this.#full > 0 && !(await this.#room(over, end, isDone)))
        return { reason: over.aborted ? 'stopped' : 'timeout' }
      const left = end - performance.now()
      const exit = over.aborted
        ? ({ reason: 'stopped' } as const)
        : await machine.run(AbortSignal.any([over, this.#stop.signal]), Math.max(0, left))
      if (exit.reason !== 'stopped' || (over.aborted && (this.#full === 0 || !isDone()))) return exit
    }
  }

  /** Waits for room. @returns whether there is any */
  async #room(over: AbortSignal, end: number, isDone: () => boolean): Promise<boolean> {
    const { promise, resolve } = Promise.withResolvers<boolean>()
    const late = end === Infinity ? undefined : setTimeout(() => resolve(false), end - performance.now())
    const ended = (): void => {
      if (!isDone()) resolve(false)
    }
    over.addEventListener('abort', ended)
    if (over.aborted) ended()
    void this.#drained.promise.then(() => resolve(true))
    try {
      return await promise
    } finally {
      clearTimeout(late)
      over.removeEventListener('abort', ended)
    }
  }
}
