import { plainLine } from '@retrap/basics'

/**
 * Codes of {@link LoaderError}.
 *
 * - `ERR_FORMAT`: the image has no known format
 * - `ERR_TRUNCATED`: the image ends before the end that its header describes
 * - `ERR_FIELD`: a header field has a value that cannot be booted
 * - `ERR_NO_ROOM`: guest RAM is too small for the images
 * - `ERR_COMMAND_LINE`: the command line is longer than the kernel takes, or holds a NUL
 * - `ERR_MEMORY_SIZE`: the machine's memory size cannot be laid out
 */
export type LoaderErrorCode =
  | 'ERR_FORMAT'
  | 'ERR_TRUNCATED'
  | 'ERR_FIELD'
  | 'ERR_NO_ROOM'
  | 'ERR_COMMAND_LINE'
  | 'ERR_MEMORY_SIZE'

/** An image that cannot be booted, with the header field that says why. */
export class LoaderError extends Error {
  /** The class’s name. */
  override readonly name: string = 'LoaderError'
  /** Stable code to switch on. */
  readonly code: LoaderErrorCode
  /** Field of the image's header, by its name in the boot protocol, or another name of the checked value. */
  readonly field: string
  /** The value, as shown in the message. */
  readonly value: string
  /** The expected value. */
  readonly expected: string

  constructor(code: LoaderErrorCode, field: string, value: string | number, expected: string) {
    const shown = typeof value === 'number' ? hex(value) : value
    super(plainLine(`${field}: ${shown}, expected ${expected}`))
    this.code = code
    this.field = field
    this.value = shown
    this.expected = expected
  }
}

/** Formats a number for messages. */
export const hex = (value: number): string => `0x${value.toString(16)}`
