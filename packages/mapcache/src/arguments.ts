import { ArgumentChecks } from '@retrap/basics'
import { MapCacheError } from './errors.ts'

/** Throws a MapCacheError `ERR_ARGUMENT` for an argument of the wrong type. */
export const check: ArgumentChecks = /*#__PURE__*/ new ArgumentChecks(
  (message) => new MapCacheError('ERR_ARGUMENT', message),
)
