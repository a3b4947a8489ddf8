import { plainLine } from '@retrap/device/host'

/**
 * Codes of `IoreqError`. They stand for what the corresponding `dm_op` returns in Xen's interface.
 *
 * | code | errno | meaning |
 * |---|---|---|
 * | `ERR_INVALID` | `EINVAL` | an argument is out of range or contradicts another |
 * | `ERR_EXISTS` | `EEXIST` | the range overlaps one that is already there |
 * | `ERR_NOT_FOUND` | `ENOENT` | no such server, range, function or request |
 * | `ERR_PERMISSION` | `EPERM` | the object is not the caller's to use in this way |
 * | `ERR_NO_SPACE` | `ENOSPC` | all servers or all ranges are taken |
 * | `ERR_BUSY` | `EBUSY` | the slot or object is in use |
 * | `ERR_DEVICE` | `EIO` | a device model broke its contract |
 * | `ERR_PROTOCOL` | `EPROTO` | the other side of a transport sent what it may not |
 */
export type IoreqErrorCode =
  | 'ERR_INVALID'
  | 'ERR_EXISTS'
  | 'ERR_NOT_FOUND'
  | 'ERR_PERMISSION'
  | 'ERR_NO_SPACE'
  | 'ERR_BUSY'
  | 'ERR_DEVICE'
  | 'ERR_PROTOCOL'

/** A mistake of a caller of this package. Switch on `code`, never on the text. */
export class IoreqError extends Error {
  /** The class's name, for people. */
  override readonly name: string = 'IoreqError'
  /** Says what went wrong. */
  readonly code: IoreqErrorCode

  constructor(code: IoreqErrorCode, message: string, options?: { readonly cause?: unknown }) {
    super(plainLine(message), options)
    this.code = code
  }
}
