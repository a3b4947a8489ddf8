import type { BlockBackend } from '@retrap/device'

/** Most writes that wait at the same time. */
const ROOM = 256

/** A write in progress. */
interface Write {
  readonly offset: number
  readonly bytes: Uint8Array
  begun: boolean
}

/**
 * Carries changes of a memory to a medium one after the other, in the order in which the guest made them. A process that
 * is killed leaves a medium that the guest could have left by losing its power at some moment.
 *
 * Changes of one block that follow each other become one write. A medium that has failed is asked no more.
 */
export class OrderedWrites {
  readonly #memory: Uint8Array
  readonly #medium: BlockBackend
  readonly #blockBytes: number
  /** The largest write that the medium takes. */
  readonly #mostBytes: number
  readonly #waiting: Write[] = []
  #running: Promise<void> | null = null
  #failed = false

  /** @param memory - the bytes visible to the guest */
  constructor(memory: Uint8Array, medium: BlockBackend) {
    this.#memory = memory
    this.#medium = medium
    const { blockBytes, maximumBytes } = medium.properties
    this.#blockBytes = blockBytes
    this.#mostBytes = Math.max(blockBytes, maximumBytes - (maximumBytes % blockBytes))
  }

  /** Whether a write has failed. Later changes are not on the medium. */
  get failed(): boolean {
    return this.#failed
  }

  /** Takes note that bytes of the memory have changed. @returns a promise where the guest is to wait for the medium */
  changed(offset: number, length: number): void | Promise<void> {
    if (this.#failed) return
    const start = Math.floor(offset / this.#blockBytes) * this.#blockBytes
    const end = Math.ceil((offset + length) / this.#blockBytes) * this.#blockBytes
    for (let at = start; at < end; at += this.#mostBytes) this.#add(at, Math.min(end, at + this.#mostBytes))
    this.#running ??= this.#run()
    if (this.#waiting.length > ROOM) return this.#running
  }

  #add(start: number, end: number): void {
    const bytes = this.#memory.subarray(start, end)
    const last = this.#waiting.at(-1)
    if (last !== undefined && !last.begun && last.offset === start && last.bytes.length === bytes.length) {
      last.bytes.set(bytes)
    } else this.#waiting.push({ offset: start, bytes: bytes.slice(), begun: false })
  }

  async #run(): Promise<void> {
    // Changes of the guest in the same turn join the first write.
    await Promise.resolve()
    try {
      for (let write = this.#waiting[0]; write !== undefined; write = this.#waiting[0]) {
        write.begun = true
        await this.#medium.write(write.offset, write.bytes)
        this.#waiting.shift()
      }
      await this.#medium.flush()
    } catch {
      this.#failed = true
      this.#waiting.length = 0
    }
    this.#running = null
    // A change during the last flush has seen this run in progress.
    if (this.#waiting.length > 0) this.#running = this.#run()
  }

  /** Settles when the medium has all changes, or has failed. */
  async settled(): Promise<void> {
    while (this.#running !== null) await this.#running
  }
}
