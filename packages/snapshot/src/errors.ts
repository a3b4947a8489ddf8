import { plainLine } from '@retrap/basics'

/** The kind of damage of a snapshot file, for programs. */
export type SnapshotErrorCode =
  /** The file is no snapshot. */
  | 'ERR_NOT_A_SNAPSHOT'
  /** A later version of the format has written it. */
  | 'ERR_VERSION'
  /** The file ends too early. */
  | 'ERR_TRUNCATED'
  /** The file's bytes were changed. */
  | 'ERR_DAMAGED'
  /** A state has a value that a file cannot hold. */
  | 'ERR_STATE'
  /** The host cannot compress. */
  | 'ERR_HOST'

/** A snapshot that cannot be written or read. */
export class SnapshotError extends Error {
  /** Stable code to switch on. */
  readonly code: SnapshotErrorCode

  constructor(code: SnapshotErrorCode, message: string, options?: { readonly cause?: unknown }) {
    super(plainLine(message), options)
    this.name = 'SnapshotError'
    this.code = code
  }
}
