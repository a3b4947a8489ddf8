import { describeArgument } from '@retrap/basics'

/** Codes of {@link ArmMmioError}. */
export type ArmMmioErrorCode = 'ERR_SYNDROME' | 'ERR_STATE' | 'ERR_SAVED' | 'ERR_OPTION'

/** A mistake of a caller. A guest cannot cause one. */
export class ArmMmioError extends Error {
  /** `ArmMmioError`. */
  override readonly name: string
  /** The kind of mistake; callers switch on it. */
  readonly code: ArmMmioErrorCode

  constructor(code: ArmMmioErrorCode, message: string) {
    super(message)
    this.name = 'ArmMmioError'
    this.code = code
  }
}

/** Throws if the value is not an object. */
export function requireObject(value: unknown, what: string, code: ArmMmioErrorCode): void {
  if (typeof value !== 'object' || value === null) {
    throw new ArmMmioError(code, `${what} is ${describeArgument(value)}, expected an object`)
  }
}

/** Throws `ERR_SYNDROME` for a value that is not a word, signed or unsigned, or an unknown format. */
export function requireSyndrome(value: unknown, format: unknown): void {
  if (!Number.isInteger(value) || (value as number) < -(2 ** 31) || (value as number) >= 2 ** 32) {
    throw new ArmMmioError('ERR_SYNDROME', `a syndrome is ${describeArgument(value)}, expected a number of 32 bits`)
  }
  if (format !== 'esr' && format !== 'hsr') {
    throw new ArmMmioError('ERR_SYNDROME', `a format is ${describeArgument(format)}, expected esr or hsr`)
  }
}

/** Throws `ERR_OPTION` for a value that is not a whole number from `least` to `most`. */
export function requireCount(value: unknown, what: string, least: number, most: number): void {
  if (!Number.isInteger(value) || (value as number) < least || (value as number) > most) {
    throw new ArmMmioError(
      'ERR_OPTION',
      `${what} is ${describeArgument(value)}, expected a whole number from ${least} to ${most}`,
    )
  }
}
