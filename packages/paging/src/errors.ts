/** Mistakes of a caller of `@retrap/paging`. */
export type PagingErrorCode =
  /** Control registers that contradict each other, or a processor that cannot be. */
  | 'ERR_MODE'
  /** An argument of the wrong type. */
  | 'ERR_ARGUMENT'
  /** A linear address outside 64 bits. */
  | 'ERR_ADDRESS'
  /** The {@link TableReader} keeps refusing exchanges of the value that it has just read. */
  | 'ERR_READER'

/** Thrown for callers' mistakes; a guest's page faults are results. */
export class PagingError extends Error {
  /** Name of the class. */
  override readonly name = 'PagingError'
  /** Code to switch on. */
  readonly code: PagingErrorCode
  /** The figures behind the message, by name. */
  readonly figures: Readonly<Record<string, number>>

  constructor(code: PagingErrorCode, message: string, figures: Record<string, number> = {}) {
    super(message)
    this.code = code
    this.figures = figures
  }
}
