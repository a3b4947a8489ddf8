import { plainLine } from '@retrap/device/host'

/**
 * Codes of {@link NetworkError}.
 *
 * | code | meaning |
 * |---|---|
 * | `ERR_OPTION` | an option is invalid |
 * | `ERR_LISTEN` | the host does not let us listen on the port: it is taken, or needs privileges |
 * | `ERR_OPEN` | a file or an address of the host cannot be opened |
 * | `ERR_CONNECTED` | a network was given to a second card |
 */
export type NetworkErrorCode = 'ERR_OPTION' | 'ERR_LISTEN' | 'ERR_OPEN' | 'ERR_CONNECTED'

/** Reports a caller's mistake, or a host that refuses. Guests and peers cause no exceptions. */
export class NetworkError extends Error {
  /** The class's name, for people. */
  override readonly name: string = 'NetworkError'
  /** Reason of the failure. */
  readonly code: NetworkErrorCode

  constructor(code: NetworkErrorCode, message: string, options?: { readonly cause?: unknown }) {
    super(plainLine(message), options)
    this.code = code
  }
}
