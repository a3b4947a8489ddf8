import { ArgumentChecks, hasMethods } from '@retrap/basics'
import type { TableReader } from './table-reader.ts'

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

/** Throws a PagingError `ERR_ARGUMENT` for an argument of the wrong type. */
export const check: ArgumentChecks = /*#__PURE__*/ new ArgumentChecks(
  (message) => new PagingError('ERR_ARGUMENT', message),
)

/** @throws PagingError `ERR_ARGUMENT` unless `value` is a TableReader, as far as reading goes */
export function checkReader(value: TableReader): void {
  if (!hasMethods(value, 'read32', 'read64')) throw check.wrong('reader', value, 'a TableReader with read32 and read64')
}
