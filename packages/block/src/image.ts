import type { BlockBackend } from '@retrap/device'

/** An open disk image: the back end of a disk, and the end of it. */
export interface BlockImage extends BlockBackend {
  /**
   * Settles when no request is under way. A machine that was reset may have left requests behind: the next one must not
   * overtake them.
   */
  idle(): Promise<void>
  /**
   * Waits for requests that are under way, and writes also what `flush` leaves for the next one: then the file stays as it is
   * until there is another request. Absent: `flush` leaves nothing.
   */
  settle?(): Promise<void>
  /**
   * Settles the image, and gives up the right to write, for another process
   * to take. Absent: the image has none.
   */
  release?(): Promise<void>
  /** Takes the image's lock again. @throws ImageError `ERR_LOCKED` where another one has it, or has written the image meanwhile */
  claim?(): Promise<void>
  /** Waits for requests that are under way, flushes, and gives the image up. Later requests reject. */
  close(): Promise<void>
}
