/** The common part of the command line's programs: how they print, and how an error becomes a message and an exit code. */
import { Command, CommanderError } from 'commander'
import { ExitCode } from '../exit-codes.ts'
import { explainError, withoutPasswords } from '../errors.ts'
import { didYouMean } from '../options/values.ts'
import { type ListingOutput, plainText, printText } from '../print-lines.ts'

/** The output streams of a program, as far as used here. */
interface Outputs {
  readonly stdout: ListingOutput
  readonly stderr: { write(text: string): unknown }
}

/** A program without commands yet. */
export class Program extends Command {
  /** Text that was asked for, such as help. It is written at the end of the run, which can wait for an output that fails. */
  readonly asked: string[] = []
  /** Options of other programs by name, each with its replacement here. */
  instead: Readonly<Record<string, string>> = {}
  /** The command line. */
  given: readonly string[] = []
  /** Commander's text for a mistake in it. */
  #mistake = ''

  constructor(outputs: Outputs) {
    super('retrap')
    this.configureOutput({
      writeOut: (text) => this.asked.push(text),
      writeErr: (text) => outputs.stderr.write(plainText(text)),
      outputError: (text) => (this.#mistake = text),
    }).exitOverride()
  }

  /** Writes the mistake of a command line that was refused. */
  async tellMistake(stderr: Outputs['stderr']): Promise<void> {
    if (this.#mistake !== '') stderr.write(plainText(withoutPasswords(await describeMistake(this.#mistake, this))))
  }
}

/** Describes a usage error in one line, including any suggestion. */
async function describeMistake(text: string, { given: args, instead: known }: Program): Promise<string> {
  const [, option = ''] = /^error: unknown option '([^'=]+)/.exec(text) ?? []
  if (Object.hasOwn(known, option)) return `retrap: ${option}: ${known[option]}\n`
  // QEMU's options are loaded where somebody has written one.
  const instead = option === '' ? undefined : (await import('./qemu/translate.ts')).replacementOf(option, args)
  if (instead !== undefined) return `retrap: there is no ${option}; ${instead}\n`
  const line = text.replace(/^error: /, 'retrap: ').replace('\n(', ' (')
  const [, given, choices] = /argument '([^']*)' is invalid\. Allowed choices are (.*)\.\n$/.exec(line) ?? []
  if (given === undefined || choices === undefined) return line
  return `${line.trimEnd().slice(0, -1)}${didYouMean(given, choices.split(', '))}\n`
}

/**
 * Parses the arguments and runs the command that they name.
 *
 * @returns the exit code; also 0 if the command has set `process.exitCode` itself
 */
export async function runProgram(program: Program, args: readonly string[], outputs: Outputs): Promise<number> {
  try {
    await parse(program, args)
    if (program.asked.length > 0) await printText(program.asked, outputs.stdout)
    return ExitCode.PowerOff
  } catch (error) {
    if (error instanceof CommanderError) {
      await program.tellMistake(outputs.stderr)
      return ExitCode.Usage
    }
    const known = explainError(error)
    if (known === undefined) throw error
    const [first, ...more] = known.message.split('\n')
    outputs.stderr.write(`retrap: ${first}\n`)
    for (const line of more) outputs.stderr.write(`  ${line.trimStart()}\n`)
    return known.code
  }
}

/** Parses the arguments and runs the command that they name. @throws CommanderError for a mistake */
async function parse(program: Program, args: readonly string[]): Promise<void> {
  program.given = args
  try {
    await program.parseAsync([...args], { from: 'user' })
  } catch (error) {
    // Commander ends a program that has printed help by an error as well.
    if (!(error instanceof CommanderError && error.exitCode === 0)) throw error
  }
}
