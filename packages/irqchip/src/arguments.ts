import { describeArgument } from '@retrap/basics'

/** Codes of {@link IrqchipError}: an argument out of range; a saved state that does not fit. */
export type IrqchipErrorCode = 'ERR_INVALID' | 'ERR_STATE'

/** Reports a caller's mistake. Switch on `code`, never on the text. */
export class IrqchipError extends Error {
  /** Name of the class. */
  override readonly name: string = 'IrqchipError'
  /** Code to switch on. */
  readonly code: IrqchipErrorCode

  constructor(code: IrqchipErrorCode, message: string) {
    super(message)
    this.code = code
  }
}

/** Memory of a chip's state: in machine memory, or in a separate buffer. */
export interface StateRegion {
  /** Buffer that holds the state. */
  readonly buffer: ArrayBufferLike
  /** A multiple of 8. */
  readonly byteOffset: number
}

/** The error for an argument. */
function invalid(name: string, value: unknown, expected: string): IrqchipError {
  return new IrqchipError('ERR_INVALID', `${name} is ${describeArgument(value)}: expected ${expected}`)
}

/** @throws IrqchipError `ERR_INVALID` unless `value` is an object */
export function checkObject(name: string, value: unknown): void {
  if (typeof value !== 'object' || value === null) throw invalid(name, value, 'an object')
}

/** @throws IrqchipError `ERR_INVALID` unless `value` is a function */
export function checkFunction(name: string, value: unknown): void {
  if (typeof value !== 'function') throw invalid(name, value, 'a function')
}

/** @throws IrqchipError `ERR_INVALID` unless the object has the method, or may lack it and does */
export function checkMethod(owner: object, name: string, optional: 'optional' | 'required' = 'required'): void {
  const value = (owner as Readonly<Record<string, unknown>>)[name]
  if (optional === 'required' || value !== undefined) checkFunction(name, value)
}

/** @throws IrqchipError `ERR_INVALID` unless `value` is an integer in a range */
export function checkInteger(name: string, value: unknown, least: number, most: number): void {
  if (Number.isInteger(value) && (value as number) >= least && (value as number) <= most) return
  throw invalid(name, value, `an integer from ${least} to ${most}`)
}

/** Times are computed exactly for frequencies up to this one; see `Ratio`. */
const HIGHEST_HZ = 2 ** 33

/** @throws IrqchipError `ERR_INVALID` unless `value` is a whole frequency from 1 Hz to 2^33 Hz, or is left out */
export function checkFrequency(name: string, value: unknown): void {
  if (value === undefined || (Number.isInteger(value) && Number(value) > 0 && Number(value) <= HIGHEST_HZ)) return
  throw invalid(name, value, 'a frequency in whole Hz, up to 2^33')
}

/**
 * Returns the given state region, or a new buffer of that size.
 *
 * @throws IrqchipError `ERR_INVALID` for a given region that is too small, or not at a multiple of 8
 */
export function regionFor(bytes: number, given: StateRegion | undefined): StateRegion {
  if (given === undefined) return { buffer: new ArrayBuffer(bytes), byteOffset: 0 }
  checkObject('state', given)
  const { buffer, byteOffset } = given
  checkObject('buffer of state', buffer)
  const size = buffer.byteLength
  if (typeof size !== 'number') throw invalid('buffer of state', buffer, 'a buffer')
  checkInteger('byteOffset of state', byteOffset, 0, Number.MAX_SAFE_INTEGER)
  if (byteOffset % 8 !== 0) throw invalid('byteOffset of state', byteOffset, 'a multiple of 8')
  if (byteOffset + bytes > size) {
    throw new IrqchipError('ERR_INVALID', `state of ${bytes} bytes at ${byteOffset} does not fit ${size}`)
  }
  return given
}
