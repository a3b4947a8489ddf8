/** One state of a file on a web server. */
export interface HttpFileState {
  /** Strong `ETag`. Source: RFC 9110, section 8.8.3. */
  readonly tag: string
  /** Size. */
  readonly bytes: number
}

/**
 * Keeps chunks of one file of a web server for longer than an `HttpStorage` exists. All calls are synchronous and none
 * throws: a store that fails keeps less.
 */
export interface RangeStore {
  /** Bytes of a chunk; the file's last one may be shorter. */
  readonly chunkBytes: number
  /** The state that the kept chunks belong to; null: none. */
  readonly kept: HttpFileState | null
  /** Starts to keep chunks of this state, and drops chunks of another state. @returns false if nothing can be kept */
  use(state: HttpFileState): boolean
  /** Returns a chunk by number; null if missing or damaged. */
  read(index: number): Uint8Array | null
  /** Stores a chunk, if there is room. */
  write(index: number, content: Uint8Array): void
  /** Called once, and last. */
  close(): void
}
