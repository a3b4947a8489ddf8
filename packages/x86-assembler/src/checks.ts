import { describeArgument } from '@retrap/basics'

/**
 * The kind of mistake; callers switch on it. The message is for people and may change.
 *
 * - `ERR_NO_FORM`: no form of the mnemonic takes these operands in this mode; the message lists the nearest ones
 * - `ERR_AMBIGUOUS_SIZE`: a memory operand needs a size (`byte`, `word`, `dword`, ...) for the form to be known
 * - `ERR_OPERAND`: an operand contradicts itself (a scale of 3, a 16-bit base with a scale, AH with a REX prefix)
 * - `ERR_RANGE`: a value, displacement or distance does not fit where it must go
 * - `ERR_LABEL`: a label was bound twice, never bound, or belongs to another assembler
 * - `ERR_LAYOUT`: sections overlap, `org` goes backwards, or an image is too small
 * - `ERR_PREFIX`: a prefix was asked for that the instruction cannot have
 */
export type AssemblerErrorCode =
  | 'ERR_NO_FORM'
  | 'ERR_AMBIGUOUS_SIZE'
  | 'ERR_OPERAND'
  | 'ERR_RANGE'
  | 'ERR_LABEL'
  | 'ERR_LAYOUT'
  | 'ERR_PREFIX'

/** A mistake of the caller of this package. */
export class AssemblerError extends Error {
  /** The name of the class. */
  override readonly name: string = 'AssemblerError'
  /** Stable reason; see `AssemblerErrorCode`. */
  readonly code: AssemblerErrorCode

  constructor(code: AssemblerErrorCode, message: string) {
    super(message)
    this.code = code
  }
}

/** Throws `ERR_OPERAND` on options that are no object. */
export function requireOptions(options: unknown, what: string): void {
  if (typeof options === 'object' && options !== null) return
  throw new AssemblerError('ERR_OPERAND', `${what} must be an object, not ${describeArgument(options)}`)
}

/** Throws `ERR_RANGE` unless the value is a whole number from `least` to `most`. */
export function requireWhole(
  value: unknown,
  what: string,
  least: number,
  most: number = Number.MAX_SAFE_INTEGER,
): void {
  if (Number.isSafeInteger(value) && (value as number) >= least && (value as number) <= most) return
  const range = most === Number.MAX_SAFE_INTEGER ? `from ${least} on` : `from ${least} to ${most}`
  throw new AssemblerError('ERR_RANGE', `${what} is ${describeArgument(value)}; it must be a whole number ${range}`)
}

/** Throws `ERR_OPERAND` unless the value is a string. */
export function requireText(value: unknown, what: string): void {
  if (typeof value !== 'string')
    throw new AssemblerError('ERR_OPERAND', `${what} is ${describeArgument(value)}, not a string`)
}

/** Throws `ERR_OPERAND` for a value outside `allowed`. */
export function requireOneOf(value: unknown, what: string, allowed: readonly unknown[]): void {
  if (allowed.includes(value)) return
  throw new AssemblerError(
    'ERR_OPERAND',
    `${what} is ${describeArgument(value)}; it must be one of ${allowed.join(', ')}`,
  )
}

/** Throws `ERR_OPERAND` unless the value is a register, of one of the classes. */
export function requireRegister(value: unknown, what: string, ...classes: readonly string[]): void {
  const isRegister =
    typeof value === 'object' && value !== null && 'type' in value && value.type === 'register' && 'class' in value
  if (isRegister && (classes.length === 0 || classes.includes(String(value.class)))) return
  throw new AssemblerError('ERR_OPERAND', `${what} is ${describeArgument(value)}, not such a register`)
}
