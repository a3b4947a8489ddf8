/** What the programs of the command line share: how they print, and how an error becomes a message and an exit code. */
import { Command, CommanderError } from 'commander'
import { ExitCode } from './exit-codes.ts'
import { explainError, withoutPasswords } from './explain-error.ts'
import { replacementOf } from './foreign-options.ts'
import { didYouMean } from './nearest.ts'

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
      outputError: (text, write) => write(withoutPasswords(describeMistake(text))),
    })
    .exitOverride()
}

/** A mistake in one line, also where there is a suggestion on a second. */
function describeMistake(text: string): string {
  const [, option = ''] = /^error: unknown option '([^'=]+)/.exec(text) ?? []
  const instead = replacementOf(option)
  if (instead !== undefined) return `retrap: there is no ${option}; ${instead}\n`
  const line = text.replace(/^error: /, 'retrap: ').replace('\n(', ' (')
  const [, given, choices] = /argument '([^']*)' is invalid\. Allowed choices are (.*)\.\n$/.exec(line) ?? []
  if (given === undefined || choices === undefined) return line
  return `${line.trimEnd().slice(0, -1)}${didYouMean(given, choices.split(', '))}\n`
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
    const known = explainError(error)
    if (known === undefined) throw error
    outputs.stderr.write(`retrap: ${known.message}\n`)
    return known.code
  }
}
