/** What the programs of the command line share: how they print, and how an error becomes a message and an exit code. */
import { Command, CommanderError } from 'commander'
import { CliError } from './cli-error.ts'
import { ExitCode } from './exit-codes.ts'
import { replacementOf } from './foreign-options.ts'

/** Where a program writes, as far as it matters here. */
interface Outputs {
  readonly stdout: { write(text: string): unknown }
  readonly stderr: { write(text: string): unknown }
}

/** A program without commands yet. */
export function newProgram(outputs: Outputs): Command {
  return new Command('retrap')
    .configureOutput({
      writeOut: (text) => outputs.stdout.write(text),
      writeErr: (text) => outputs.stderr.write(text),
      outputError: (text, write) => write(describeMistake(text)),
    })
    .exitOverride()
}

/** A mistake in one line, also where there is a suggestion on a second. */
function describeMistake(text: string): string {
  const [, option = ''] = /^error: unknown option '([^'=]+)/.exec(text) ?? []
  const instead = replacementOf(option)
  if (instead !== undefined) return `retrap: there is no ${option}; ${instead}\n`
  return text.replace(/^error: /, 'retrap: ').replace('\n(', ' (')
}

/**
 * Parses the arguments and runs the command that they name.
 *
 * @returns the exit code; 0 also where the command set another one for itself
 */
export async function runProgram(program: Command, args: readonly string[], outputs: Outputs): Promise<number> {
  try {
    await program.parseAsync([...args], { from: 'user' })
    return ExitCode.PowerOff
  } catch (error) {
    if (error instanceof CommanderError) return error.exitCode === 0 ? ExitCode.PowerOff : ExitCode.Usage
    const known = explain(error)
    if (known === undefined) throw error
    outputs.stderr.write(`retrap: ${known.message}\n`)
    return known.code
  }
}

/** What to say of an error that is the user's to mend; undefined for one that is ours. */
function explain(error: unknown): { readonly message: string; readonly code: number } | undefined {
  if (error instanceof CliError) {
    return { message: error.message, code: error.code === 'ERR_USAGE' ? ExitCode.Usage : ExitCode.Input }
  }
  // Packages report a caller's mistakes with a code of this form: here, that an image or a size will not do.
  if (error instanceof Error && 'code' in error && /^ERR_[A-Z_]+$/.test(String(error.code)) && isOurs(error)) {
    const file = error.name === 'LoaderError' || error.code === 'ERR_OPTION_ROM'
    return { message: error.message, code: file ? ExitCode.Input : ExitCode.Usage }
  }
  return undefined
}

function isOurs(error: Error): boolean {
  return ['LoaderError', 'MachineError', 'DeviceError', 'MemoryError', 'IoreqError'].includes(error.name)
}
