/** Runs one body at a time, in the order of the calls. */
export class Mutex {
  #last: Promise<unknown> = Promise.resolve()

  /** Runs `body` when all earlier ones have ended. */
  run<T>(body: () => Promise<T>): Promise<T> {
    const result = this.#last.then(body)
    this.#last = result.catch(() => {})
    return result
  }
}
