/**
 * Mistakes of a caller: `ERR_MODE` no such mode, `ERR_OFFSET` outside the bytes, `ERR_BYTES` no bytes, `ERR_ADDRESS` no
 * bigint, `ERR_OPTION` an option of another kind than its type says, `ERR_TARGET` no decoded instruction.
 */
export type DecoderErrorCode = 'ERR_MODE' | 'ERR_OFFSET' | 'ERR_BYTES' | 'ERR_ADDRESS' | 'ERR_OPTION' | 'ERR_TARGET'

/** Thrown for a caller's mistake. No content of the bytes makes the decoder throw. */
export class DecoderError extends Error {
  /** `DecoderError`. */
  override readonly name = 'DecoderError'
  /** The kind of mistake; callers switch on it. */
  readonly code: DecoderErrorCode

  constructor(code: DecoderErrorCode, message: string) {
    super(message)
    this.code = code
  }
}

/** Formats any value for a message. */
export function shown(value: unknown): string {
  if (typeof value === 'object' && value !== null) return Object.prototype.toString.call(value)
  return typeof value === 'string' ? JSON.stringify(value) : typeof value === 'function' ? 'a function' : String(value)
}

/** Throws `ERR_ADDRESS` on what is no bigint. */
export function requireAddress(address: unknown): void {
  if (typeof address === 'bigint') return
  throw new DecoderError('ERR_ADDRESS', `address is ${shown(address)}, expected a bigint`)
}

/** Throws `ERR_OPTION` on options that are no object. */
export function requireOptions(options: unknown): void {
  if (typeof options === 'object' && options !== null) return
  throw new DecoderError('ERR_OPTION', `the options are ${shown(options)}, expected an object`)
}
