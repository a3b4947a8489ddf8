import { plainLine } from '@retrap/basics'

/** The kind of damage of a recording, for programs. */
export type RecordingErrorCode =
  /** The file is no recording. */
  | 'ERR_NOT_A_RECORDING'
  /** A later version of the format has written it. */
  | 'ERR_VERSION'
  /** The file's bytes were changed. */
  | 'ERR_DAMAGED'
  /** The events to record are out of order, or the recording has ended. */
  | 'ERR_STATE'

/** A recording that cannot be written or read. */
export class RecordingError extends Error {
  /** Stable code to switch on. */
  readonly code: RecordingErrorCode

  constructor(code: RecordingErrorCode, message: string, options?: { readonly cause?: unknown }) {
    super(plainLine(message), options)
    this.name = 'RecordingError'
    this.code = code
  }
}

/** @param bytes - of the file @param lacks - names the missing part */
export const cutAt = (bytes: number, lacks = 'the rest is missing'): RecordingError =>
  new RecordingError('ERR_DAMAGED', `the recording is cut: it ends at byte ${bytes}, and ${lacks}`)
