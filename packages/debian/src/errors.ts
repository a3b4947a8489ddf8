/**
 * Why a file of Debian could not be had:
 * `ERR_NO_APT` this host has no apt, `ERR_FETCH` apt or the network failed, `ERR_CACHE` the cache folder cannot be used.
 */
export type DebianErrorCode = 'ERR_NO_APT' | 'ERR_FETCH' | 'ERR_CACHE'

/** A file that could not be fetched or kept. The message is one sentence for the user. */
export class DebianError extends Error {
  readonly code: DebianErrorCode

  constructor(code: DebianErrorCode, message: string) {
    super(message)
    this.name = 'DebianError'
    this.code = code
  }
}
