import { plainLine } from '@retrap/basics'

/**
 * Codes of {@link DisplayError}.
 *
 * | code | meaning |
 * |---|---|
 * | `ERR_OPTION` | an option is out of range |
 * | `ERR_LISTEN` | a port cannot be listened on |
 * | `ERR_OFF` | the display is off and has no picture |
 */
export type DisplayErrorCode = 'ERR_OPTION' | 'ERR_LISTEN' | 'ERR_OFF'

/** Reports a caller's mistake. Switch on `code`, never on the text. */
export class DisplayError extends Error {
  /** The class's name, for people. */
  override readonly name: string = 'DisplayError'
  /** Reason of the failure. */
  readonly code: DisplayErrorCode

  constructor(code: DisplayErrorCode, message: string, options?: { readonly cause?: unknown }) {
    super(plainLine(message), options)
    this.code = code
  }
}
