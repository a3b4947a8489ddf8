/** Codes of {@link VapicError}. */
export type VapicErrorCode = 'ERR_STATE' | 'ERR_SAVED' | 'ERR_OPTION'

/** A mistake of a caller. A guest cannot cause one. */
export class VapicError extends Error {
  /** Name of the class. */
  override readonly name: string
  /** Code to switch on. */
  readonly code: VapicErrorCode

  constructor(code: VapicErrorCode, message: string) {
    super(message)
    this.name = 'VapicError'
    this.code = code
  }
}
