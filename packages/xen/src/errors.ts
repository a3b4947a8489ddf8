import { plainLine } from '@retrap/basics'

/** The kind of failure, for programs. */
export type XenErrorCode =
  /** A path or permission that the store cannot have. */
  | 'ERR_STORE'
  /** A saved state of another version. */
  | 'ERR_STATE'

/** A caller asked for something that cannot be done. */
export class XenError extends Error {
  /** The kind of failure. */
  readonly code: XenErrorCode

  /** @param message - states the value, and what was expected */
  constructor(code: XenErrorCode, message: string) {
    super(plainLine(message))
    this.name = 'XenError'
    this.code = code
  }
}
