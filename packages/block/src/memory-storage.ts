import { BlockError } from '@retrap/device'
import type { BlockStorage } from './storage.ts'

/** Keeps an image in memory. It is the caller's array: writes of the guest show in it. */
export class MemoryStorage implements BlockStorage {
  /** Whether writes are refused. */
  readonly readOnly: boolean
  readonly #bytes: Uint8Array

  constructor(bytes: Uint8Array, options: { readonly readOnly?: boolean } = {}) {
    this.#bytes = bytes
    this.readOnly = options.readOnly ?? false
  }

  /** Present size. */
  get bytes(): number {
    return this.#bytes.length
  }

  /** Fills `into`. */
  async read(offset: number, into: Uint8Array): Promise<void> {
    into.set(this.#bytes.subarray(offset, offset + into.length))
  }

  /** Writes `from`. @throws BlockError `ERR_NO_SPACE` behind the end: an array cannot grow */
  async write(offset: number, from: Uint8Array): Promise<void> {
    if (offset + from.length > this.#bytes.length) {
      throw new BlockError('ERR_NO_SPACE', `${from.length} bytes at ${offset}: memory holds ${this.#bytes.length}`)
    }
    this.#bytes.set(from, offset)
  }

  /** Has nothing to do. */
  async flush(): Promise<void> {}

  /** Gives the storage up. */
  async close(): Promise<void> {}
}
