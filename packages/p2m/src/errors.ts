import { describeArgument } from '@retrap/basics'

/** Mistakes of a caller of `@retrap/p2m`. */
export type P2mErrorCode =
  /** An argument of the wrong type. */
  | 'ERR_ARGUMENT'
  /** An order other than 0, 9 or 18. */
  | 'ERR_ORDER'
  /** A frame number that is not aligned to the given order. */
  | 'ERR_ALIGN'
  /** A guest frame beyond 48-bit addresses, a machine frame outside machine memory, or a count below 1. */
  | 'ERR_RANGE'
  /** A type that cannot be given or changed this way. */
  | 'ERR_TYPE'
  /** A removal that names other frames than the mapped ones; nothing has changed. */
  | 'ERR_MISMATCH'
  /** No machine frame for a table, or for RAM; nothing has changed but the sizes of leaves. */
  | 'ERR_NO_MEMORY'
  /** A frame adopted twice, or dropped by more than hold it. */
  | 'ERR_COUNT'
  /** Saved data of another version, or that no map saved; a map that was destroyed. Nothing has changed. */
  | 'ERR_STATE'
  /** The frame is in use, a claim is another's, or the map is being changed (Xen's `-EBUSY`); nothing has changed. */
  | 'ERR_BUSY'
  /** A foreign, granted or real device's frame is in the way of a change to the guest's own map. */
  | 'ERR_FOREIGN'

/** Thrown for callers' mistakes. A guest's access to a hole is a result. */
export class P2mError extends Error {
  /** Name of the class. */
  override readonly name = 'P2mError'
  /** Code to switch on. */
  readonly code: P2mErrorCode
  /** The figures behind the message, by name; frame numbers and orders. */
  readonly figures: Readonly<Record<string, number>>

  constructor(code: P2mErrorCode, message: string, figures: Record<string, number> = {}) {
    super(message)
    this.code = code
    this.figures = figures
  }
}

/** Formats a number as `0x…` for messages; other values as text. */
export function hex(value: number): string {
  return typeof value !== 'number' || value < 0 ? describeArgument(value) : `0x${value.toString(16)}`
}
