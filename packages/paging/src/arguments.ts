import { describeArgument, hasMethods } from '@retrap/memory'
import { PagingError } from './errors.ts'
import type { TableReader } from './table-reader.ts'

/** @throws PagingError `ERR_ARGUMENT` unless `value` is a number */
export function checkNumber(name: string, value: unknown): void {
  if (typeof value === 'number') return
  throw new PagingError('ERR_ARGUMENT', `${name} is ${describeArgument(value)}: expected a number`)
}

/** @throws PagingError `ERR_ARGUMENT` unless `value` is a bigint */
export function checkBigint(name: string, value: unknown): void {
  if (typeof value === 'bigint') return
  throw new PagingError('ERR_ARGUMENT', `${name} is ${describeArgument(value)}: expected a bigint`)
}

/** @throws PagingError `ERR_ARGUMENT` unless `value` is an object */
export function checkObject(name: string, value: unknown): void {
  if (typeof value === 'object' && value !== null) return
  throw new PagingError('ERR_ARGUMENT', `${name} is ${describeArgument(value)}: expected an object`)
}

/** @throws PagingError `ERR_ARGUMENT` unless `value` is a TableReader, as far as reading goes */
export function checkReader(value: TableReader): void {
  if (hasMethods(value, 'read32', 'read64')) return
  const given = describeArgument(value)
  throw new PagingError('ERR_ARGUMENT', `reader is ${given}: expected a TableReader with read32 and read64`)
}
