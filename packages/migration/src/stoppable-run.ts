import { MigrationError } from './errors.ts'

/** A machine that runs until it ends or is stopped: a `Pc`. */
export interface RunnableMachine<
  Exit extends { readonly reason: string },
  Options extends { readonly signal?: AbortSignal | undefined },
> {
  /** Runs until it ends, or `signal` stops it: then with the reason `stopped`, and it can be run on. */
  run(options: Options): Promise<Exit>
}

/** The run of a machine that a migration can stop and resume, without its owner noticing. */
export class StoppableRun {
  /** Ends the run of the machine that is under way. */
  #interrupt: (() => void) | null = null
  /** Why the machine has ended by itself. */
  #ended: string | null = null
  #stopped: PromiseWithResolvers<void> | null = null
  #resumed: PromiseWithResolvers<void> | null = null

  /** Whether the machine is stopped, or about to be. */
  get isStopped(): boolean {
    return this.#resumed !== null
  }

  /**
   * Runs a machine like its `run`. While {@link StoppableRun.stop} has stopped the machine, the call keeps waiting;
   * `signal` also ends it.
   *
   * @param stopped - result for a stopped run
   */
  async run<Exit extends { readonly reason: string }, Options extends { readonly signal?: AbortSignal | undefined }>(
    machine: RunnableMachine<Exit, Options>,
    options: Options,
    stopped: Exit,
  ): Promise<Exit> {
    const { signal } = options
    this.#ended = null
    for (;;) {
      if (this.#resumed !== null) {
        this.#stopped?.resolve()
        await Promise.race([this.#resumed.promise, aborted(signal)])
        if (signal?.aborted === true) return stopped
      }
      const interrupt = new AbortController()
      const both = signal === undefined ? interrupt.signal : AbortSignal.any([signal, interrupt.signal])
      this.#interrupt = () => interrupt.abort()
      const exit = await machine.run({ ...options, signal: both }).catch((error: unknown) => this.#fail(error))
      this.#interrupt = null
      if (exit.reason === 'stopped' && this.#resumed !== null && signal?.aborted !== true) continue
      if (exit.reason !== 'stopped') this.#ended = exit.reason
      this.#over(exit.reason)
      return exit
    }
  }

  /** The run has failed: any party that waits for the machine to stop is notified of that. @throws `error` */
  #fail(error: unknown): never {
    this.#interrupt = null
    this.#ended = 'an error'
    this.#over(this.#ended)
    throw error
  }

  /** Handles the end of the run, by itself or by its `signal`. */
  #over(reason: string): void {
    this.#stopped?.reject(hasEnded(reason))
    this.resume()
  }

  /** Stops the machine. Resolves when it has stopped. @throws MigrationError `ERR_MACHINE` if the machine ends first */
  stop(): Promise<void> {
    if (this.#stopped !== null) return this.#stopped.promise
    if (this.#ended !== null) return Promise.reject(hasEnded(this.#ended))
    const stopped = Promise.withResolvers<void>()
    this.#stopped = stopped
    this.#resumed = Promise.withResolvers<void>()
    // Between two runs nothing has to be waited for.
    if (this.#interrupt === null) stopped.resolve()
    else this.#interrupt()
    return stopped.promise
  }

  /** Lets the machine execute again. */
  resume(): void {
    this.#resumed?.resolve()
    this.#resumed = null
    this.#stopped = null
  }
}

function aborted(signal: AbortSignal | undefined): Promise<void> {
  return new Promise((resolve) => {
    if (signal?.aborted === true) resolve()
    else signal?.addEventListener('abort', () => resolve(), { once: true })
  })
}

const hasEnded = (reason: string): MigrationError =>
  new MigrationError('ERR_MACHINE', `the machine has ended: ${reason}`)
