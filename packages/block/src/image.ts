import { plainLine } from '@retrap/basics'
import type { BlockBackend } from '@retrap/device'

/** An open disk image: the back end of a disk, with its methods to flush and close. */
export interface BlockImage extends BlockBackend {
  /**
   * Resolves when no request is pending. A reset machine may leave pending requests, which the next machine's requests
   * must not overtake.
   */
  idle(): Promise<void>
  /**
   * Waits for pending requests, and also writes data that `flush` defers: then the file stays unchanged until the next
   * request. Absent: `flush` defers nothing.
   */
  settle?(): Promise<void>
  /** Settles the image, and gives up the right to write, for another process to take. Absent: the image has none. */
  release?(): Promise<void>
  /** Takes the image's lock again. @throws ImageError `ERR_LOCKED` if another process has it, or has written the image meanwhile */
  claim?(): Promise<void>
  /** Waits for requests that are under way, flushes, and gives the image up. Later requests reject. */
  close(): Promise<void>
}

/**
 * Codes of {@link ImageError}.
 *
 * | code | meaning |
 * |---|---|
 * | `ERR_OPTION` | an option is out of range |
 * | `ERR_OPEN` | the file is absent, may not be used, or is no regular file |
 * | `ERR_LOCKED` | another process or another image has the file open, one of both for writing |
 * | `ERR_FORMAT` | the file is no image of its format, or is damaged |
 * | `ERR_UNSUPPORTED` | the image uses a feature that is not supported |
 * | `ERR_BACKING` | a backing file cannot be opened, or the files form a loop |
 */
export type ImageErrorCode = 'ERR_OPTION' | 'ERR_OPEN' | 'ERR_LOCKED' | 'ERR_FORMAT' | 'ERR_UNSUPPORTED' | 'ERR_BACKING'

/** Reports a caller's mistake or a file that cannot be an image. Requests of an open image reject with a `BlockError`. */
export class ImageError extends Error {
  /** The class's name, for people. */
  override readonly name: string = 'ImageError'
  /** Reason of the failure. */
  readonly code: ImageErrorCode

  constructor(code: ImageErrorCode, message: string, options?: { readonly cause?: unknown }) {
    super(plainLine(message), options)
    this.code = code
  }
}
