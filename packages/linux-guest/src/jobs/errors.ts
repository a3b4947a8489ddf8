import { plainLine } from '@retrap/basics'

/** Error of `retrap exec` outside the program, reported in one line. */
export class ExecError extends Error {
  /** The exit code: 124 a timeout, 125 an error of retrap's, 126 a program that cannot be executed, 127 a program that was not found. */
  readonly exitCode: 124 | 125 | 126 | 127

  constructor(exitCode: 124 | 125 | 126 | 127, message: string) {
    super(plainLine(message))
    this.name = 'ExecError'
    this.exitCode = exitCode
  }
}

/** Says why a folder is not mounted. */
export const NOT_MOUNTED: Readonly<Record<string, string>> = {
  link: "a link or a file is at this path in the program's root, or on the way to it; share a folder elsewhere",
  mount: 'the guest cannot mount it',
}

const WHYS: Readonly<Record<string, string>> = {
  'No such file or directory': 'not found, or its interpreter is not',
  'Permission denied': 'it may not be executed',
  'Exec format error': 'it is no program for this processor',
}
/** Says why a program cannot be executed. @param why - the C library's text */
export const explain = (why: string): string => WHYS[why] ?? why

/** Texts for a machine that ended before its program did. */
export const ENDS: Readonly<Record<string, string>> = {
  'power-off': 'it was powered off',
  reset: 'its kernel has panicked, or it was restarted',
  'triple-fault': 'its processor was shut down by a triple fault',
}
