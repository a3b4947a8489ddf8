import { plainLine, printable } from '@retrap/basics'

/**
 * The kind of failure on our side of the machine: `ERR_USAGE` an option or a value that is invalid, `ERR_INPUT` a file
 * that cannot be used, `ERR_FETCH` a file that could not be fetched.
 */
export type CliErrorCode = 'ERR_USAGE' | 'ERR_INPUT' | 'ERR_FETCH'

/** A user's error, reported in one line without a stack trace. The message names a remedy. */
export class CliError extends Error {
  readonly code: CliErrorCode

  constructor(code: CliErrorCode, message: string) {
    // A command line may have several mistakes, each an indented line that quotes the typed text.
    super(code === 'ERR_USAGE' ? printable(message.replaceAll(/\r?\n(?! {2})/g, ' ')) : plainLine(message))
    this.name = 'CliError'
    this.code = code
  }
}

/** The meaning of Node's error codes for a file, and for everything else that is opened. */
export const TROUBLES: Readonly<Record<string, string>> = {
  ENOENT: 'there is no such file',
  EISDIR: 'it is a directory',
  ENOTDIR: 'a part of its name is a file, not a folder',
  EACCES: 'it may not be read',
  EPERM: 'it may not be read',
  ENOSPC: 'there is no room for it',
  EROFS: 'it is on a read-only file system',
  ERR_FS_FILE_TOO_LARGE: 'it is larger than 2 GiB',
  EADDRINUSE: 'it is in use already',
  ECONNREFUSED: 'nothing listens there',
}

/** Reasons why a file cannot be written, by the system's code. */
const WRITE_TROUBLES: Readonly<Record<string, string>> = {
  ENOENT: 'its folder is not there',
  EACCES: 'it may not be written',
  EPERM: 'it may not be written',
}

/** Why a file could not be opened, read or written, without Node's words for it. */
export function troubleWith(error: unknown, wanted: 'read' | 'write' = 'read'): string {
  if (error instanceof CliError) return error.message
  const code = error instanceof Error && 'code' in error ? String(error.code) : ''
  const trouble = (wanted === 'write' ? WRITE_TROUBLES[code] : undefined) ?? TROUBLES[code]
  return trouble ?? (error instanceof Error ? error.message : String(error))
}

/** Returns a function that throws an error as a mistake of the user's: a label, and the trouble. @throws CliError `ERR_INPUT` */
export const troubled =
  (label: string, wanted: 'read' | 'write' = 'read') =>
  (error: unknown): never => {
    throw new CliError('ERR_INPUT', `${label}: ${troubleWith(error, wanted)}`)
  }

/** Returns a function's result. @throws CliError as {@link troubled} in place of its error */
export function attempt<T>(label: string, act: () => T, wanted: 'read' | 'write' = 'read'): T {
  try {
    return act()
  } catch (error) {
    return troubled(label, wanted)(error)
  }
}
