import { CliError } from './cli-error.ts'
import { ExitCode } from './exit-codes.ts'
import { troubleWith } from './files/files.ts'

/** Text without the names and passwords of the URLs in it: a message quotes what the user has typed. */
export function withoutPasswords(text: string): string {
  return text.replaceAll(/\b(https?:\/\/)[^\s/?#]*@/gi, '$1')
}

/** What to say of an error that is the user's to mend; undefined for one that is ours. */
export function explainError(error: unknown): { readonly message: string; readonly code: number } | undefined {
  if (error instanceof CliError) {
    const code = error.code === 'ERR_USAGE' ? ExitCode.Usage : ExitCode.Input
    return { message: withoutPasswords(error.message), code }
  }
  // Packages report a caller's mistakes with a code of this form: here, that an image or a size will not do.
  if (error instanceof Error && 'code' in error && /^ERR_[A-Z_]+$/.test(String(error.code)) && isOurs(error)) {
    const file =
      ['LoaderError', 'ImageError', 'RecordingError', 'MigrationError'].includes(error.name) ||
      ['ERR_OPTION_ROM', 'ERR_LISTEN', 'ERR_OPEN'].includes(String(error.code))
    return { message: withoutPasswords(inOurWords(error)), code: file ? ExitCode.Input : ExitCode.Usage }
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

function isOurs(error: Error): boolean {
  return OURS.includes(error.name)
}
