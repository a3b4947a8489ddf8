/** Checks of arguments at the edge of the package, where plain JavaScript hands over anything. */
import { describeArgument } from '@retrap/basics'
import { AssemblerError } from './errors.ts'

/** Throws `ERR_OPERAND` on options that are no object. */
export function requireOptions(options: unknown, what: string): void {
  if (typeof options === 'object' && options !== null) return
  throw new AssemblerError('ERR_OPERAND', `${what} must be an object, not ${describeArgument(options)}`)
}

/** Throws `ERR_RANGE` on what is no whole number from `least` to `most`. */
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

/** Throws `ERR_OPERAND` on what is no string. */
export function requireText(value: unknown, what: string): void {
  if (typeof value !== 'string')
    throw new AssemblerError('ERR_OPERAND', `${what} is ${describeArgument(value)}, not a string`)
}

/** Throws `ERR_OPERAND` on what is none of `allowed`. */
export function requireOneOf(value: unknown, what: string, allowed: readonly unknown[]): void {
  if (allowed.includes(value)) return
  throw new AssemblerError(
    'ERR_OPERAND',
    `${what} is ${describeArgument(value)}; it must be one of ${allowed.join(', ')}`,
  )
}

/** Throws `ERR_OPERAND` on what is no register, or of none of the classes. */
export function requireRegister(value: unknown, what: string, ...classes: readonly string[]): void {
  const isRegister =
    typeof value === 'object' && value !== null && 'type' in value && value.type === 'register' && 'class' in value
  if (isRegister && (classes.length === 0 || classes.includes(String(value.class)))) return
  throw new AssemblerError('ERR_OPERAND', `${what} is ${describeArgument(value)}, not such a register`)
}
