/**
 * Codes of {@link ImageError}.
 *
 * | code | meaning |
 * |---|---|
 * | `ERR_OPTION` | an option is out of range |
 * | `ERR_OPEN` | the file is absent, may not be used, or is no regular file |
 * | `ERR_LOCKED` | another process or another image has the file open for writing |
 */
export type ImageErrorCode = 'ERR_OPTION' | 'ERR_OPEN' | 'ERR_LOCKED'

/** Reports a caller's mistake or a file that cannot be an image. Requests of an open image reject with a `BlockError`. */
export class ImageError extends Error {
  /** The class's name, for people. */
  override readonly name: string = 'ImageError'
  /** Says what went wrong. */
  readonly code: ImageErrorCode

  constructor(code: ImageErrorCode, message: string, options?: { readonly cause?: unknown }) {
    super(message, options)
    this.code = code
  }
}
