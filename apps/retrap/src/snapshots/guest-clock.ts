import type { Machine } from '../machine/machine-contract.ts'

/** How long a guest may take to fall asleep, in milliseconds: it brings its programs and devices to rest. */
const PATIENCE_MS = 60_000

/**
 * Has a guest take the time from its machine's clock: it is asked to sleep by the sleep button, and woken at once. A kernel that
 * wakes from S3 reads that clock; nothing else makes one do so while it runs.
 */
export class GuestClock {
  readonly #tell: (text: string) => void
  #machine: Machine | undefined
  #patience: ReturnType<typeof setTimeout> | undefined

  /** @param tell - tells the user how it went */
  constructor(tell: (text: string) => void) {
    this.#tell = tell
  }

  /** Asks the guest. @param machine - which is about to run */
  async ask(machine: Machine): Promise<void> {
    this.#machine = machine
    this.#patience = setTimeout(() => this.#end('the guest has not gone to sleep'), PATIENCE_MS).unref()
    if ((await machine.sleepButton?.()) !== true) this.#end('the guest has no driver for the sleep button')
  }

  /** The guest sleeps, or has been woken. @returns whether that was for its clock */
  slept(asleep: boolean): boolean {
    if (this.#machine === undefined) return false
    if (asleep) void this.#machine.powerButton()
    else this.#end(undefined)
    return true
  }

  #end(problem: string | undefined): void {
    clearTimeout(this.#patience)
    if (this.#machine === undefined) return
    this.#machine = undefined
    this.#tell(
      problem === undefined
        ? 'the guest has slept for a moment, and has the time now'
        : `${problem}: its clock stays as late as it is; hwclock --hctosys there sets it`,
    )
  }
}
