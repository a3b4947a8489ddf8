import { plainLine } from '@retrap/basics'
import { CliError, troubleWith } from '@retrap/linux-guest/errors'
import { ExitCode } from './exit-codes.ts'

/** Removes names and passwords from URLs in a text, because messages quote the user's input. */
export function withoutPasswords(text: string): string {
  return text.replaceAll(/\b(https?:\/\/)[^\s/?#]*@/gi, '$1')
}

/** Returns the message for an error that the user can correct; undefined for a defect of retrap. */
export function explainError(error: unknown): { readonly message: string; readonly code: number } | undefined {
  if (error instanceof CliError) {
    const code = error.code === 'ERR_USAGE' ? ExitCode.Usage : ExitCode.Input
    return { message: withoutPasswords(error.message), code }
  }
  // Packages report a caller's mistakes with a code of this form: here, that an image or a size will not do.
  if (
    error instanceof Error &&
    'code' in error &&
    /^ERR_[A-Z_]+$/.test(String(error.code)) &&
    OURS.includes(error.name)
  ) {
    const file =
      ['LoaderError', 'ImageError', 'RecordingError', 'MigrationError'].includes(error.name) ||
      ['ERR_OPTION_ROM', 'ERR_LISTEN', 'ERR_OPEN'].includes(String(error.code))
    return { message: withoutPasswords(plainLine(inOurWords(error))), code: file ? ExitCode.Input : ExitCode.Usage }
  }
  return undefined
}

/** A package's message that has Node's words for trouble with a file, in ours. */
function inOurWords({ name, message, cause }: Error): string {
  if (!(cause instanceof Error) || !message.includes(cause.message)) return message
  // The file of a network is its capture.
  const trouble = troubleWith(cause, name === 'NetworkError' ? 'write' : 'read')
  return message.replace(String(cause), cause.message).replace(cause.message, trouble)
}

const OURS = [
  'LoaderError',
  'MachineError',
  'DeviceError',
  'MemoryError',
  'IoreqError',
  'ImageError',
  'NetworkError',
  'RecordingError',
  'MigrationError',
]
