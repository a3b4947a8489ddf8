import { describeArgument } from '@retrap/basics'

/** Mistakes of a user of `@retrap/mapcache`. */
export type MapCacheErrorCode =
  /** An invalid guest-physical address, length or offset. */
  | 'ERR_RANGE'
  /** An argument of the wrong type. */
  | 'ERR_ARGUMENT'
  /** An invalid option, or combination of options. */
  | 'ERR_OPTION'
  /** A mapping was used after its scope ended. */
  | 'ERR_RELEASED'
  /** A write through a mapping that was made for reading. */
  | 'ERR_READ_ONLY'
  /** A mapping's bytes were requested in one piece, but are scattered. */
  | 'ERR_SCATTERED'
  /** A cache was used after it was closed. */
  | 'ERR_CLOSED'
  /** The guest's map names a machine frame without an owner: the map, or the party that frees frames, is wrong. */
  | 'ERR_UNOWNED'

/** Thrown for callers' mistakes. The guest's memory at an address is a result, not an error. */
export class MapCacheError extends Error {
  /** Name of the class. */
  override readonly name = 'MapCacheError'
  /** Code to switch on. */
  readonly code: MapCacheErrorCode
  /** The figures behind the message, by name; addresses and lengths in bytes. */
  readonly figures: Readonly<Record<string, number>>

  constructor(code: MapCacheErrorCode, message: string, figures: Record<string, number> = {}) {
    super(message)
    this.code = code
    this.figures = figures
  }
}

/** `0x…` form of a number, for messages. */
export function hex(value: number): string {
  return typeof value !== 'number' || value < 0 ? describeArgument(value) : `0x${value.toString(16)}`
}
