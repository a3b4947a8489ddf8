import { BlockError } from '@retrap/device'
import type { BlockStorage } from '../../src/index.ts'

/** No test needs a larger file; a damaged image may ask for one. */
const MAX_BYTES = 2 ** 31

/** A write to a storage, or null for a flush. */
export type Logged = { readonly offset: number; readonly bytes: Uint8Array } | null

/** Keeps bytes in memory, grows like a file, and can keep a log of what changed it. */
export class LoggingStorage implements BlockStorage {
  readonly readOnly = false
  readonly log: Logged[] = []
  isLogging = false
  #content: Uint8Array
  #bytes: number

  constructor(content: Uint8Array = new Uint8Array(0)) {
    this.#content = content.slice()
    this.#bytes = content.length
  }

  get bytes(): number {
    return this.#bytes
  }

  get content(): Uint8Array {
    return this.#content.slice(0, this.#bytes)
  }

  async read(offset: number, into: Uint8Array): Promise<void> {
    if (offset + into.length > this.#bytes) throw new Error(`read behind the end: ${offset} + ${into.length}`)
    into.set(this.#content.subarray(offset, offset + into.length))
  }

  async write(offset: number, from: Uint8Array): Promise<void> {
    if (this.isLogging) this.log.push({ offset, bytes: from.slice() })
    this.apply(offset, from)
  }

  /** Writes without a note in the log. */
  apply(offset: number, from: Uint8Array): void {
    const end = offset + from.length
    if (!Number.isSafeInteger(end)) throw new RangeError(`a write at ${offset}, which is no place in a file`)
    if (end > MAX_BYTES) throw new BlockError('ERR_NO_SPACE', 'the disk of the test is full')
    if (end > this.#content.length) {
      const grown = new Uint8Array(Math.max(end, this.#content.length * 2))
      grown.set(this.#content)
      this.#content = grown
    }
    this.#content.set(from, offset)
    this.#bytes = Math.max(this.#bytes, end)
  }

  async flush(): Promise<void> {
    if (this.isLogging) this.log.push(null)
  }

  async close(): Promise<void> {}
}
