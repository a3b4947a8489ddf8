/** The command line for a listing. It does not load the machine, which would take longer than the listing. */
import { explainError } from '../../errors.ts'
import { ExitCode } from '../../exit-codes.ts'
import { DEFAULT_FLAGS, disassemble } from './disassemble.ts'

/**
 * Runs `retrap disasm` on this process.
 *
 * @returns the exit code
 */
export async function main(args: readonly string[]): Promise<number> {
  const [, file, ...more] = args
  const isFile = file !== undefined && (file === '-' || !file.startsWith('-'))
  // Options take a parser, which takes as long to load as a small file takes to list.
  if (!isFile || more.length > 0) return (await import('./command.ts')).runWithOptions(args)
  const { stdout, stderr, stdin, env } = process
  try {
    await disassemble(file, DEFAULT_FLAGS, { output: stdout, terminal: stderr, environment: env, input: () => stdin })
    return ExitCode.PowerOff
  } catch (error) {
    const known = explainError(error)
    if (known === undefined) throw error
    stderr.write(`retrap: ${known.message}\n`)
    return known.code
  }
}
