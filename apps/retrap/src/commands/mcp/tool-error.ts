import { plainLine } from '@retrap/basics'

/**
 * Why a tool has not done its work: `ERR_PATH` a file that is not in a named folder, or cannot be used, `ERR_MACHINE` there is
 * no such machine, `ERR_LIMIT` more than the server gives, `ERR_TIME` the call has not ended in time, `ERR_CANCELLED` its
 * caller has given it up, `ERR_ENDED` the machine has ended, `ERR_STATE` the machine cannot do that in its present state,
 * `ERR_ARGUMENT` a value is invalid, `ERR_GUEST` the guest does not answer, or not as an agent does.
 */
export type ToolErrorCode =
  | 'ERR_PATH'
  | 'ERR_MACHINE'
  | 'ERR_LIMIT'
  | 'ERR_TIME'
  | 'ERR_CANCELLED'
  | 'ERR_ENDED'
  | 'ERR_STATE'
  | 'ERR_ARGUMENT'
  | 'ERR_GUEST'

/** A failure of a tool. The message names a remedy. */
export class ToolError extends Error {
  readonly code: ToolErrorCode
  /** Lines that the guest has printed before, which follow the message; empty for none. */
  readonly printed: string

  constructor(code: ToolErrorCode, message: string, printed = '') {
    super(plainLine(message))
    this.name = 'ToolError'
    this.code = code
    this.printed = printed
  }
}
