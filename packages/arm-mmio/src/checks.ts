/** Checks of arguments at the edge of the package, where plain JavaScript hands over anything. */
import { describeArgument } from '@retrap/basics'
import { ArmMmioError, type ArmMmioErrorCode } from './errors.ts'

/** Throws on what is no object. */
export function requireObject(value: unknown, what: string, code: ArmMmioErrorCode): void {
  if (typeof value !== 'object' || value === null) {
    throw new ArmMmioError(code, `${what} is ${describeArgument(value)}, expected an object`)
  }
}

/** Throws `ERR_SYNDROME` on what is no word, signed or unsigned, or no format. */
export function requireSyndrome(value: unknown, format: unknown): void {
  if (!Number.isInteger(value) || (value as number) < -(2 ** 31) || (value as number) >= 2 ** 32) {
    throw new ArmMmioError('ERR_SYNDROME', `a syndrome is ${describeArgument(value)}, expected a number of 32 bits`)
  }
  if (format !== 'esr' && format !== 'hsr') {
    throw new ArmMmioError('ERR_SYNDROME', `a format is ${describeArgument(format)}, expected esr or hsr`)
  }
}

/** Throws `ERR_OPTION` on what is no whole number from `least` to `most`. */
export function requireCount(value: unknown, what: string, least: number, most: number): void {
  if (!Number.isInteger(value) || (value as number) < least || (value as number) > most) {
    throw new ArmMmioError(
      'ERR_OPTION',
      `${what} is ${describeArgument(value)}, expected a whole number from ${least} to ${most}`,
    )
  }
}
