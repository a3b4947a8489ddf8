import { BlockError } from '@retrap/device'
import type { BlockStorage } from './storage.ts'

/** A `Blob` or a `File`, as far as it matters here. */
export interface BlobSource {
  /** Bytes in it. */
  readonly size: number
  /** A part of it. */
  slice(
    start: number,
    end: number,
  ): {
    /** Reads the part. */
    arrayBuffer(): Promise<ArrayBuffer>
  }
}

/** Reads a `Blob` or a `File`, such as one that the user of a page has chosen. It cannot be written. */
export class BlobStorage implements BlockStorage {
  /** Writes are refused. */
  readonly readOnly = true
  readonly #blob: BlobSource

  constructor(blob: BlobSource) {
    this.#blob = blob
  }

  /** Size of the blob. */
  get bytes(): number {
    return this.#blob.size
  }

  /** Fills `into`. @throws BlockError `ERR_MEDIUM` where the file has changed since it was chosen */
  async read(offset: number, into: Uint8Array): Promise<void> {
    let part: ArrayBuffer
    try {
      part = await this.#blob.slice(offset, offset + into.length).arrayBuffer()
    } catch (error) {
      throw new BlockError('ERR_MEDIUM', `the file cannot be read: ${String(error)}`, { cause: error })
    }
    if (part.byteLength !== into.length) throw new BlockError('ERR_MEDIUM', `the file ends at ${this.#blob.size}`)
    into.set(new Uint8Array(part))
  }

  /** Refuses. */
  write(): Promise<void> {
    return Promise.reject(new BlockError('ERR_READ_ONLY', 'a blob cannot be written'))
  }

  /** Has nothing to do. */
  async flush(): Promise<void> {}

  /** Has nothing to give up. */
  async close(): Promise<void> {}
}
