import { plainLine } from '@retrap/basics'

/** An end of `retrap exec` that is not the program's, to report in one line. */
export class ExecError extends Error {
  /** The exit code: 124 a timeout, 125 ours, 126 a program that cannot be executed, 127 one that is not there. */
  readonly exitCode: 124 | 125 | 126 | 127

  constructor(exitCode: 124 | 125 | 126 | 127, message: string) {
    super(plainLine(message))
    this.name = 'ExecError'
    this.exitCode = exitCode
  }
}
