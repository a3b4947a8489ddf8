import { plainLine as plain, printable } from '@retrap/basics'

/**
 * Codes of `DeviceError`.
 *
 * | code | meaning |
 * |---|---|
 * | `ERR_INVALID` | an argument is out of range or contradicts another |
 * | `ERR_EXISTS` | the range or function overlaps one that is there |
 * | `ERR_NOT_FOUND` | no such range, function or saved part |
 * | `ERR_PERMISSION` | the object may not be used in this way, or not from here |
 * | `ERR_NO_SPACE` | all ranges are taken |
 * | `ERR_DEVICE` | a device model broke its contract |
 * | `ERR_OPTION` | an option that a model was made with is out of range |
 * | `ERR_STATE` | `restore` was given a state that `save` of the same model cannot return |
 * | `ERR_DETACHED` | the model is not part of a machine |
 */
export type DeviceErrorCode =
  | 'ERR_INVALID'
  | 'ERR_EXISTS'
  | 'ERR_NOT_FOUND'
  | 'ERR_PERMISSION'
  | 'ERR_NO_SPACE'
  | 'ERR_DEVICE'
  | 'ERR_OPTION'
  | 'ERR_STATE'
  | 'ERR_DETACHED'

/** Reports a caller's mistake, or a device model's. Switch on `code`, never on the text. */
export class DeviceError extends Error {
  /** The class's name, for people. */
  override readonly name: string = 'DeviceError'
  /** Reason of the failure. */
  readonly code: DeviceErrorCode

  constructor(code: DeviceErrorCode, message: string, options?: { readonly cause?: unknown }) {
    super(plainLine(message), options)
    this.code = code
  }
}

/**
 * Returns a text from outside, such as a device program's or a server's, as a part of one line: without characters that give a
 * terminal orders. Of one longer than `most` characters, 2000 unless given, the middle is left out.
 */
export const plainLine: (text: string, most?: number) => string = plain

/** Formats a number the way messages of devices and their hosts show addresses. */
export function hex(value: number): string {
  return value < 0 ? `-0x${(-value).toString(16)}` : `0x${value.toString(16)}`
}

/**
 * Describes a thrown value in one line: an error by its message, and a value that has no text as such.
 *
 * @param stack - an error is described by its stack, in several lines
 */
export function describeThrown(thrown: unknown, stack = false): string {
  try {
    if (!(thrown instanceof Error)) return plainLine(String(thrown))
    return stack ? printable(String(thrown.stack ?? thrown.message)) : plainLine(String(thrown.message))
  } catch {
    return 'a value that cannot be printed'
  }
}
