import { plainLine } from '@retrap/basics'

/** A place in a file; line and column count from 1. */
export interface ComposePlace {
  readonly file: string
  readonly line: number
  readonly column: number
}

/** Reasons of a {@link ComposeError}. */
export type ComposeErrorCode =
  | 'ERR_SYNTAX' // The text is not YAML, or is not an environment file.
  | 'ERR_VALUE' // A value has the wrong type or form, or is missing.
  | 'ERR_KEY' // With `strict`: a key that the model does not have.
  | 'ERR_UNKNOWN' // A service, network, volume, secret or config with this name does not exist.
  | 'ERR_CYCLE' // Services wait for each other, or files include or extend each other.
  | 'ERR_ADDRESS' // An address is outside of its network's subnets, or two services have it.
  | 'ERR_VARIABLE' // A required variable is not set, or `$` is not followed by a variable.
  | 'ERR_FILE' // A file does not exist.
  | 'ERR_LIMIT' // A file is larger, deeper or wider than the limits allow.

/** Thrown for Compose files that cannot be read. The message is one line: place, key, reason. */
export class ComposeError extends Error {
  /** The class's name. */
  override readonly name: string = 'ComposeError'
  /** Stable code to switch on. */
  readonly code: ComposeErrorCode
  /** The place of the mistake. */
  readonly place: ComposePlace
  /** The key with the mistake, such as `services.web.image`; empty for a whole file. */
  readonly key: string

  constructor(code: ComposeErrorCode, place: ComposePlace, key: string, reason: string) {
    super(plainLine([`${place.file}:${place.line}:${place.column}`, key, reason].filter(Boolean).join(': ')))
    this.code = code
    this.place = place
    this.key = key
  }
}
