/** Codes of {@link IrqchipError}: an argument out of range; a saved state that does not fit. */
export type IrqchipErrorCode = 'ERR_INVALID' | 'ERR_STATE'

/** Reports a caller's mistake. Switch on `code`, never on the text. */
export class IrqchipError extends Error {
  /** Name of the class. */
  override readonly name: string = 'IrqchipError'
  /** Code to switch on. */
  readonly code: IrqchipErrorCode

  constructor(code: IrqchipErrorCode, message: string) {
    super(message)
    this.code = code
  }
}
