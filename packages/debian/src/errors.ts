/**
 * Why a file of Debian could not be had: `ERR_NETWORK` no server can be reached, `ERR_GONE` the archive does not have this version
 * any more, `ERR_FETCH` the file is not as it should be, or apt failed, `ERR_NO_APT` this host has no apt, `ERR_CACHE` the cache
 * folder cannot be used.
 */
export type DebianErrorCode = 'ERR_NETWORK' | 'ERR_GONE' | 'ERR_FETCH' | 'ERR_NO_APT' | 'ERR_CACHE'

/** A file that could not be fetched or kept. The message is one sentence for the user. */
export class DebianError extends Error {
  readonly code: DebianErrorCode

  constructor(code: DebianErrorCode, message: string) {
    super(message)
    this.name = 'DebianError'
    this.code = code
  }
}
