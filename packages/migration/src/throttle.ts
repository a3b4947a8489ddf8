/** A machine that can be held back. */
interface Held {
  stop(): Promise<void>
  resume(): void
}

/** One time that the machine runs, and one that it stands still, together. */
const PERIOD_MS = 50

/** Has a machine stand still for a part of the time, so that it writes less memory. */
export class Throttle {
  readonly #machine: Held
  #running: Promise<void> | null = null
  #ended = false
  /** The part of time that it stands still, from 0 to below 1. */
  part = 0

  constructor(machine: Held) {
    this.#machine = machine
  }

  /** Changes the part. */
  set(part: number): void {
    this.part = part
    // Others report the error that has ended the machine.
    if (!this.#ended) this.#running ??= this.#run().catch(() => undefined)
  }

  /** Has the machine run freely. Resolves when it does. */
  async end(): Promise<void> {
    this.#ended = true
    await this.#running
    this.#running = null
  }

  async #run(): Promise<void> {
    while (!this.#ended) {
      // oxlint-disable-next-line no-await-in-loop -- one after the other
      await this.#machine.stop()
      try {
        // oxlint-disable-next-line no-await-in-loop
        await pause(PERIOD_MS * this.part)
      } finally {
        this.#machine.resume()
      }
      // oxlint-disable-next-line no-await-in-loop
      await pause(PERIOD_MS * (1 - this.part))
    }
  }
}

const pause = (ms: number): Promise<void> => new Promise((resolve) => void setTimeout(resolve, ms))
