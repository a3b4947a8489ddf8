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
  /** Says what went wrong. */
  readonly code: ImageErrorCode

  constructor(code: ImageErrorCode, message: string, options?: { readonly cause?: unknown }) {
    super(message, options)
    this.code = code
  }
}
