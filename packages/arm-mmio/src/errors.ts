/** Codes of {@link ArmMmioError}. */
export type ArmMmioErrorCode = 'ERR_SYNDROME' | 'ERR_STATE' | 'ERR_SAVED' | 'ERR_OPTION'

/** A mistake of a caller. A guest cannot cause one. */
export class ArmMmioError extends Error {
  /** `ArmMmioError`. */
  override readonly name: string
  /** The kind of mistake; callers switch on it. */
  readonly code: ArmMmioErrorCode

  constructor(code: ArmMmioErrorCode, message: string) {
    super(message)
    this.name = 'ArmMmioError'
    this.code = code
  }
}
