/** Why a trace cannot be made. */
export type TraceErrorCode =
  /** A trace that is not described as it should be. */
  'ERR_TRACE'

/** A caller's mistake with a trace. */
export class TraceError extends Error {
  /** Says which mistake. */
  readonly code: TraceErrorCode

  constructor(code: TraceErrorCode, message: string) {
    super(message)
    this.name = 'TraceError'
    this.code = code
  }
}
