/** Codes of a test machine's errors. */
export type TestErrorCode =
  /** An option is not valid. */
  | 'ERR_OPTION'
  /** The awaited output or end has not come in time. */
  | 'ERR_TIMEOUT'
  /** The machine has ended meanwhile. */
  | 'ERR_ENDED'
  /** The call is not possible now: something else waits for the machine, or the test is over. */
  | 'ERR_STATE'
  /** A driver fails with faults of its devices. */
  | 'ERR_FAULT'
  /** A folder has no recording that can be opened. */
  | 'ERR_REPLAY'

/** Error of a test's machine. */
export class TestError extends Error {
  /** Says why. */
  readonly code: TestErrorCode

  constructor(code: TestErrorCode, message: string, options?: { readonly cause?: unknown }) {
    super(message, options)
    this.name = 'TestError'
    this.code = code
  }
}
