import { ArgumentChecks, hasMethods } from '@retrap/basics'
import { PagingError } from './errors.ts'
import type { TableReader } from './table-reader.ts'

/** Throws a PagingError `ERR_ARGUMENT` for an argument of the wrong type. */
export const check: ArgumentChecks = /*#__PURE__*/ new ArgumentChecks(
  (message) => new PagingError('ERR_ARGUMENT', message),
)

/** @throws PagingError `ERR_ARGUMENT` unless `value` is a TableReader, as far as reading goes */
export function checkReader(value: TableReader): void {
  if (!hasMethods(value, 'read32', 'read64')) throw check.wrong('reader', value, 'a TableReader with read32 and read64')
}
