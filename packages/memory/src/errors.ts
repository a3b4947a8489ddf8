import { describeArgument } from '@retrap/basics'

/** Mistakes of a caller of `@retrap/memory`. Switch on it, never on a message. */
export type MemoryErrorCode =
  /** Not enough free machine memory; `requestedBytes` and `freeBytes` say how far off. */
  | 'ERR_NO_MEMORY'
  /** More memory asked for than a 32-bit WebAssembly memory can hold. */
  | 'ERR_TOO_LARGE'
  /** A machine address or length outside machine memory. */
  | 'ERR_RANGE'
  /** A misaligned address, size or alignment. */
  | 'ERR_ALIGN'
  /** An allocation order other than 0, 9 or 18. */
  | 'ERR_ORDER'
  /** A frame was freed that is not allocated. */
  | 'ERR_NOT_ALLOCATED'
  /** `attach` was given a memory that holds no machine. */
  | 'ERR_HEADER'
  /** An argument of the wrong type. */
  | 'ERR_ARGUMENT'
  /** The host stores integers big-endian; guest words could not be plain typed-array elements. */
  | 'ERR_HOST'

/** Thrown for callers' mistakes; carries the numbers it speaks of. */
export class MemoryError extends Error {
  /** Name of the class. */
  override readonly name = 'MemoryError'
  /** Code to switch on. */
  readonly code: MemoryErrorCode
  /** The figures behind the message, by name; addresses and sizes in bytes. */
  readonly figures: Readonly<Record<string, number>>

  constructor(code: MemoryErrorCode, message: string, figures: Record<string, number> = {}) {
    super(message)
    this.code = code
    this.figures = figures
  }
}

/** Formats a number as `0x…` for messages; other values as text. */
export function hex(value: number): string {
  return typeof value === 'number' ? `0x${value.toString(16)}` : describeArgument(value)
}
