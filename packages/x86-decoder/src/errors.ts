/**
 * What a caller can do wrong: `ERR_MODE` no such mode, `ERR_OFFSET` outside the bytes, `ERR_BYTES` no bytes, `ERR_ADDRESS` no
 * bigint, `ERR_OPTION` no such vendor, or features that are no set.
 */
export type DecoderErrorCode = 'ERR_MODE' | 'ERR_OFFSET' | 'ERR_BYTES' | 'ERR_ADDRESS' | 'ERR_OPTION'

/** Thrown for a caller's mistake. What the bytes hold never throws. */
export class DecoderError extends Error {
  /** `DecoderError`. */
  override readonly name = 'DecoderError'
  /** What was wrong; callers switch on it. */
  readonly code: DecoderErrorCode

  constructor(code: DecoderErrorCode, message: string) {
    super(message)
    this.code = code
  }
}
