import { BlockError } from '@retrap/device'

/**
 * Holds the bytes that an image lies in: a file of the host, or memory. Offsets are in bytes, of any alignment, and within
 * `bytes`. An image format checks ranges before it calls.
 */
export interface BlockStorage {
  /** Present size. A write behind the end makes it larger, where the storage can grow. */
  readonly bytes: number
  /** Whether writes are refused. */
  readonly readOnly: boolean
  /** Fills `into`. @throws BlockError `ERR_MEDIUM` where the bytes cannot be had */
  read(offset: number, into: Uint8Array): Promise<void>
  /** Writes all of `from`. @throws BlockError `ERR_NO_SPACE`, `ERR_READ_ONLY`, `ERR_MEDIUM` */
  write(offset: number, from: Uint8Array): Promise<void>
  /** Fills `into` synchronously, if no wait is needed. @returns false if nothing was read. @throws as `read` */
  readInPlace?(offset: number, into: Uint8Array): boolean
  /** Writes all of `from` synchronously, if no wait is needed; otherwise like `readInPlace`. @throws as `write` */
  writeInPlace?(offset: number, from: Uint8Array): boolean
  /** Makes all completed writes durable. @throws BlockError `ERR_MEDIUM`, `ERR_NO_SPACE` */
  flush(): Promise<void>
  /** Releases the write lock for another process. Absent: the storage has no lock. */
  release?(): Promise<void>
  /** Takes the storage's lock again. @throws ImageError `ERR_LOCKED` if another process has it, or has written meanwhile */
  claim?(): Promise<void>
  /** Closes the storage, and releases its lock. */
  close(): Promise<void>
}

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

  /** Does nothing: a blob cannot be written. */
  async flush(): Promise<void> {}

  /** Closes the storage. */
  async close(): Promise<void> {}
}

/** A `Blob` or a `File`, as far as used here. */
export interface BlobSource {
  /** Bytes of the storage. */
  readonly size: number
  /** A view of a part of the storage. */
  slice(
    start: number,
    end: number,
  ): {
    /** Reads the part. */
    arrayBuffer(): Promise<ArrayBuffer>
  }
}

/** Reads a `Blob` or a `File`, such as one that the user of a page has chosen. Read-only. */
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

  /** Does nothing: a blob cannot be written. */
  async flush(): Promise<void> {}

  /** Does nothing: a blob needs no closing. */
  async close(): Promise<void> {}
}
