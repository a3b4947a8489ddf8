/** Codes of {@link IrqchipError}: an argument out of range; a saved state that does not fit. */
export type IrqchipErrorCode = 'ERR_INVALID' | 'ERR_STATE'

/** What a caller of this package did wrong. Switch on `code`, never on the text. */
export class IrqchipError extends Error {
  override readonly name: string = 'IrqchipError'
  readonly code: IrqchipErrorCode

  constructor(code: IrqchipErrorCode, message: string) {
    super(message)
    this.code = code
  }
}
