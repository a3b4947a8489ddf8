import { describeArgument, hasMethods } from '@retrap/memory'
import { MapCacheError } from './errors.ts'

/** The error for an argument of the wrong type. */
function wrong(name: string, value: unknown, expected: string): MapCacheError {
  return new MapCacheError('ERR_ARGUMENT', `${name} is ${describeArgument(value)}: expected ${expected}`)
}

/** @throws MapCacheError `ERR_ARGUMENT` unless `value` is a Uint8Array */
export function checkBytes(value: unknown): void {
  if (!(value instanceof Uint8Array)) throw wrong('bytes', value, 'a Uint8Array')
}

/** @throws MapCacheError `ERR_ARGUMENT` unless `value` is a number */
export function checkNumber(name: string, value: unknown): void {
  if (typeof value !== 'number') throw wrong(name, value, 'a number')
}

/** @throws MapCacheError `ERR_ARGUMENT` unless `value` is a function */
export function checkFunction(name: string, value: unknown): void {
  if (typeof value !== 'function') throw wrong(name, value, 'a function')
}

/** @throws MapCacheError `ERR_ARGUMENT` unless `value` is an array */
export function checkList(name: string, value: unknown): void {
  if (!Array.isArray(value)) throw wrong(name, value, 'an array')
}

/** @throws MapCacheError `ERR_ARGUMENT` unless `value` has these methods */
export function checkMethods(name: string, value: unknown, ...methods: readonly string[]): void {
  if (hasMethods(value, ...methods)) return
  throw wrong(name, value, methods.length === 0 ? 'an object' : `an object with ${methods.join(' and ')}`)
}
