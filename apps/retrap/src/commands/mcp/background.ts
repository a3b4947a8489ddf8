/** Runs a machine between calls while there is a reason. Calls pause it. */
export class Background {
  readonly #run: (signal: AbortSignal) => Promise<void>
  readonly #admit: () => void
  readonly #reasons = new Set<object>()
  #isHeld = false
  #stop: AbortController | undefined
  #ended: Promise<void> = Promise.resolve()

  /**
   * @param run - runs the machine until the signal is given, or until its guest ends it; never rejects
   * @param admit - throws where the server runs no more machines
   */
  constructor(run: (signal: AbortSignal) => Promise<void>, admit: () => void) {
    this.#run = run
    this.#admit = admit
  }

  /** Whether the machine has a reason to run, apart from calls that pause it. */
  get isWanted(): boolean {
    return this.#reasons.size > 0
  }

  /** Adds a reason to run. @throws whatever `admit` throws */
  want(reason: object): void {
    if (!this.isWanted) this.#admit()
    this.#reasons.add(reason)
    this.#go()
  }

  /** Takes a reason back; without any the machine stands still. */
  unwant(reason: object): void {
    this.#reasons.delete(reason)
    if (!this.isWanted) this.#stop?.abort()
  }

  /** Stops the machine until {@link Background.release}. @returns a promise that it stands still */
  hold(): Promise<void> {
    this.#isHeld = true
    this.#stop?.abort()
    return this.#ended
  }

  /** Resumes the machine, if there is a reason. */
  release(): void {
    this.#isHeld = false
    this.#go()
  }

  /** Removes all reasons. @returns resolves when the machine stands still */
  end(): Promise<void> {
    this.#reasons.clear()
    this.#stop?.abort()
    return this.#ended
  }

  #go(): void {
    if (this.#isHeld || !this.isWanted || this.#stop !== undefined) return
    const stop = new AbortController()
    this.#stop = stop
    this.#ended = this.#run(stop.signal).finally(() => {
      this.#stop = undefined
      // A new reason to run may have come meanwhile.
      this.#go()
    })
  }
}
