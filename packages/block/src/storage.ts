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
  /** Fills `into` before it returns, where that takes no wait. @returns false where it was not done. @throws as `read` */
  readInPlace?(offset: number, into: Uint8Array): boolean
  /** Writes all of `from` before it returns, where that takes no wait. Otherwise as `readInPlace`. @throws as `write` */
  writeInPlace?(offset: number, from: Uint8Array): boolean
  /** Makes all completed writes durable. @throws BlockError `ERR_MEDIUM`, `ERR_NO_SPACE` */
  flush(): Promise<void>
  /** Gives up the right to write, for another process to take. Absent: there is no such right. */
  release?(): Promise<void>
  /** Takes it again. @throws ImageError `ERR_LOCKED` where another one has it, or has written meanwhile */
  claim?(): Promise<void>
  /** Gives the storage up, with its lock. */
  close(): Promise<void>
}
