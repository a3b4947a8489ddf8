import { plainLine } from '@retrap/basics'

/** Codes of a sandbox's errors. */
export type SandboxErrorCode =
  /** An option is not valid. */
  | 'ERR_SANDBOX_OPTION'
  /** The sandbox is closed. */
  | 'ERR_SANDBOX_CLOSED'
  /** A kernel or an image cannot be fetched, read or started; see `cause`. */
  | 'ERR_SANDBOX_SYSTEM'
  /** The sandbox's Linux has ended. */
  | 'ERR_SANDBOX_ENDED'
  /** There is no room for another fork. */
  | 'ERR_SANDBOX_ROOM'
  /** A command cannot be started. */
  | 'ERR_SANDBOX_COMMAND'
  /** A command has not ended in its time. */
  | 'ERR_SANDBOX_TIMEOUT'
  /** A command has printed too much. */
  | 'ERR_SANDBOX_OUTPUT'
  /** A file cannot be read, written or listed. */
  | 'ERR_SANDBOX_FILE'

/** Further information of a {@link SandboxError}. */
export interface SandboxErrorDetails {
  /** The name of the system's error, such as `ENOENT`. */
  readonly errno?: string | undefined
  /** Standard output of a command that was ended. */
  readonly stdout?: string | undefined
  /** Standard error of a command that was ended. */
  readonly stderr?: string | undefined
  /** The error behind this one. */
  readonly cause?: unknown
}

/** Error of a sandbox. */
export class SandboxError extends Error {
  /** The kind of error. */
  readonly code: SandboxErrorCode
  /** The name of the system's error, such as `ENOENT`. */
  readonly errno: string | undefined
  /** Standard output of a command that was ended. */
  readonly stdout: string | undefined
  /** Standard error of a command that was ended. */
  readonly stderr: string | undefined

  constructor(code: SandboxErrorCode, message: string, details: SandboxErrorDetails = {}) {
    super(plainLine(message), { cause: details.cause })
    this.name = 'SandboxError'
    this.code = code
    this.errno = details.errno
    this.stdout = details.stdout
    this.stderr = details.stderr
  }
}
