/** The command line where it asks for a listing. It has no machine, which would take longer to load than to list. */
import { newProgram, runProgram } from '../command-line.ts'
import { addDisasm } from './command.ts'

/**
 * Runs `retrap disasm` on this process.
 *
 * @returns the exit code
 */
export function main(args: readonly string[]): Promise<number> {
  const program = newProgram(process)
  addDisasm(program, process.stdout, process.stderr, process.env)
  return runProgram(program, args, process)
}
