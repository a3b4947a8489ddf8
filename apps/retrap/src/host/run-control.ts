/** Commands pause, resume or restart a session's run. Listeners receive QMP's events. */

/** The reported events; see QEMU's QMP reference, "Events". */
export const RUN_EVENTS = [
  'DEVICE_DELETED',
  'GUEST_CRASHLOADED',
  'GUEST_PANICKED',
  'POWERDOWN',
  'RESET',
  'RESUME',
  'SHUTDOWN',
  'STOP',
  'SUSPEND',
  'WAKEUP',
  'WATCHDOG',
] as const

export type RunEvent = [name: (typeof RUN_EVENTS)[number], data?: object]

/** Pauses and resumes the machines of a session. */
export class RunControl {
  readonly #listeners = new Set<(event: RunEvent) => void>()
  #held: PromiseWithResolvers<void> | undefined
  #hasRun: boolean
  #wantsReset = false
  /** Ends a wait for `release`. */
  #woken: (() => void) | undefined
  /** Interrupts the run, which then asks for a command. */
  interrupt: () => void = () => {}

  /** @param paused - the first machine waits for `release` */
  constructor(paused: boolean) {
    this.#hasRun = !paused
    if (paused) this.#held = Promise.withResolvers()
  }

  /** The state in QMP's words. */
  get status(): 'running' | 'paused' | 'prelaunch' {
    if (this.#held === undefined) return 'running'
    return this.#hasRun ? 'paused' : 'prelaunch'
  }

  /** Whether an interrupted run has to return for a pause or a restart. */
  get isAsked(): boolean {
    return this.#held !== undefined || this.#wantsReset
  }

  /** The machine is to stand still between two instructions. */
  hold(): void {
    if (this.#held !== undefined) return
    this.#held = Promise.withResolvers()
    this.interrupt()
    this.tell('STOP')
  }

  /** The machine goes on. */
  release(): void {
    const held = this.#held
    if (held === undefined) return
    this.#held = undefined
    this.#hasRun = true
    held.resolve()
    this.tell('RESUME')
  }

  /** Restarts the machine; a held machine stays held. */
  reset(): void {
    this.#wantsReset = true
    this.interrupt()
    // A machine that stands still is replaced at once.
    this.#woken?.()
  }

  /** Waits while the machine is held, unless it is to start anew or the wait is to end. */
  async released(signal: AbortSignal): Promise<void> {
    if (this.#held === undefined || this.#wantsReset || signal.aborted) return
    const ended = Promise.withResolvers<void>()
    this.#woken = ended.resolve
    signal.addEventListener('abort', () => ended.resolve(), { once: true })
    await Promise.race([this.#held.promise, ended.promise])
    this.#woken = undefined
  }

  /** Whether the machine is to start anew; asked once. */
  takesReset(): boolean {
    const wanted = this.#wantsReset
    this.#wantsReset = false
    return wanted
  }

  /** Tells the listeners of an event. */
  tell(...event: RunEvent): void {
    for (const listener of this.#listeners) listener(event)
  }

  /** Adds a listener. @returns a function that removes the listener */
  listen(listener: (event: RunEvent) => void): () => void {
    this.#listeners.add(listener)
    return () => void this.#listeners.delete(listener)
  }
}
