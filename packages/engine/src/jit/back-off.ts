/** Each time that compiled code is written, its frame waits twice as long to be compiled again, up to 2 to this power as long. */
const MOST_DOUBLINGS = 10

/** Frames whose code is written again and again: they are interpreted for longer and longer. */
export class BackOff {
  /** How often code of a frame has been written since it was compiled first. */
  readonly #deaths = new Map<number, number>()
  /** How often a frame has been hot while it was to wait. */
  readonly #waited = new Map<number, number>()

  /** Compiled code of a frame has been written. */
  noteDeath(frame: number): void {
    this.#deaths.set(frame, (this.#deaths.get(frame) ?? 0) + 1)
  }

  /** Returns whether a frame that is hot is to be interpreted for longer. */
  isToWait(frame: number): boolean {
    const deaths = this.#deaths.get(frame) ?? 0
    if (deaths === 0) return false
    const waited = (this.#waited.get(frame) ?? 0) + 1
    if (waited < 2 ** Math.min(deaths - 1, MOST_DOUBLINGS)) {
      this.#waited.set(frame, waited)
      return true
    }
    this.#waited.delete(frame)
    return false
  }

  /** Forgets all frames. */
  clear(): void {
    this.#deaths.clear()
    this.#waited.clear()
  }
}
