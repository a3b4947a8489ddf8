import type { RangeHandler, RegionOptions, Word64 } from '../access.ts'
import { DeviceError } from '../errors.ts'

/** A range's facts for an access: its access sizes, and the caller of its handlers. */
export interface AccessedRange {
  /** Makes the accesses. */
  readonly handler: RangeHandler
  /** Ports or bytes. */
  readonly length: number
  /** Larger accesses are split. */
  readonly maximumAccess: number
  /** Smaller accesses are widened. */
  readonly minimumAccess: number
}

/** Makes the error for a read that did not return a number. Objects are not inspected, because that might throw. */
export function notNumber(value: unknown): DeviceError {
  const object = typeof value === 'function' || (typeof value === 'object' && value !== null)
  const what = object ? `a ${typeof value}` : `${typeof value} ${String(value as string | symbol)}`
  return new DeviceError('ERR_DEVICE', `a read was answered with ${what}: expected an integer from -2^31 to 2^32-1`)
}

/** Whether a value may be a handler's answer: an integer that 32 bits hold, signed or not. */
export function isWord(value: unknown): value is number {
  return typeof value === 'number' && ((value | 0) === value || value >>> 0 === value)
}

/** Checks the result of an 8-byte read, and makes it unsigned. */
export function checkWord64(into: Word64): void {
  if (!isWord(into.lo)) throw notNumber(into.lo)
  if (!isWord(into.hi)) throw notNumber(into.hi)
  into.lo >>>= 0
  into.hi >>>= 0
}

/**
 * Checks the handler and the options that a model claims a range with: JavaScript may hand over any value.
 *
 * @throws DeviceError `ERR_INVALID`
 */
export function checkRegion(device: string, handler: RangeHandler, options: RegionOptions): void {
  const bad = (what: string): DeviceError => new DeviceError('ERR_INVALID', `${device}: ${what}`)
  const given = handler as Partial<RangeHandler> | null | undefined
  if (typeof given?.read !== 'function' || typeof given.write !== 'function') {
    throw bad('a range without a handler: expected an object with read and write')
  }
  const { maximumAccess = 4, minimumAccess = 1, priority = 0 } = options
  if (![1, 2, 4, 8].includes(maximumAccess)) throw bad(`maximumAccess ${String(maximumAccess)}: expected 1, 2, 4 or 8`)
  if (![1, 2, 4].includes(minimumAccess)) throw bad(`minimumAccess ${String(minimumAccess)}: expected 1, 2 or 4`)
  if (!Number.isFinite(priority)) throw bad(`priority ${String(priority)}: expected a number`)
}

/** Cuts a handler's answer to its size; a size of 4 yields an unsigned word. */
export function cut(value: number, size: number): number {
  return size === 4 ? value >>> 0 : size === 1 ? value & 0xff : value & 0xffff
}

/** Makes the error for a synchronous model's answer to a read that is no word. */
export function badRead(answer: unknown): DeviceError {
  return isPromise(answer) ? promised(answer) : notNumber(answer)
}

function promised(answer: PromiseLike<unknown>): DeviceError {
  // The model broke its word; a rejection of its promise must not reach the process as well.
  Promise.resolve(answer).catch(() => {})
  return new DeviceError('ERR_DEVICE', 'a model that is declared synchronous returned a promise')
}

/** Checks the result of a synchronous read; throws the error of {@link badRead}. */
export function checkedNumber(value: number | Promise<number>): number {
  if (isWord(value)) return value
  throw badRead(value)
}

/** Checks the answer to a synchronous write: any value but a promise. */
export function checkedVoid(value: void | Promise<void>): void {
  if (value !== undefined && isPromise(value)) throw promised(value)
}

/** Whether a handler's answer is still to come. */
export function isPromise(value: unknown): value is PromiseLike<unknown> {
  return typeof value === 'object' && value !== null && typeof (value as { then?: unknown }).then === 'function'
}

/** Whether a region takes an access as one call of `read` or `write`. */
export function isOneCall(region: AccessedRange, offset: number, size: number): boolean {
  const { length, minimumAccess, maximumAccess } = region
  return size <= maximumAccess && size >= minimumAccess && size <= 4 && size !== 3 && offset + size <= length
}
