/**
 * What went wrong on our side of the machine, by kind:
 * `ERR_USAGE` an option or a value that makes no sense, `ERR_INPUT` a file that cannot be used,
 * `ERR_FETCH` something that could not be had from the network.
 */
export type CliErrorCode = 'ERR_USAGE' | 'ERR_INPUT' | 'ERR_FETCH'

/** A mistake to report in one line, without a stack trace. The message says what to do about it. */
export class CliError extends Error {
  readonly code: CliErrorCode

  constructor(code: CliErrorCode, message: string) {
    super(message)
    this.name = 'CliError'
    this.code = code
  }
}
