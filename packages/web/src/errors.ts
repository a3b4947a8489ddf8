import { plainLine } from '@retrap/basics'

/** The kind of failure, for programs. */
export type WebErrorCode = 'ERR_OPTION' | 'ERR_SOURCE' | 'ERR_MACHINE' | 'ERR_WORKER' | 'ERR_DISPOSED'

/** Error of an operation on a machine in a page. */
export class WebError extends Error {
  /** Always `WebError`. */
  override readonly name: string = 'WebError'
  /**
   * `ERR_OPTION`: an option is wrong. `ERR_SOURCE`: a kernel, disk or other image cannot be read. `ERR_MACHINE`: the machine
   * refuses. `ERR_WORKER`: its Worker does not start, or has failed. `ERR_DISPOSED`: the machine was disposed.
   */
  readonly code: WebErrorCode

  constructor(code: WebErrorCode, message: string, options?: { readonly cause?: unknown }) {
    super(plainLine(message), options)
    this.code = code
  }
}
