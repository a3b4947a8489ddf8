import { CliError } from './cli-error.ts'
import { ExitCode } from './exit-codes.ts'

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
    return { message: withoutPasswords(error.message), code: file ? ExitCode.Input : ExitCode.Usage }
  }
  return undefined
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
