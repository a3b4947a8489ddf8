/** `retrap disasm` with options, or with a mistake. */
import { newProgram, runProgram } from '../command-line.ts'
import { addDisasm } from './command.ts'

/** Parses the arguments and lists what they name. @returns the exit code */
export function runWithOptions(args: readonly string[]): Promise<number> {
  const program = newProgram(process)
  addDisasm(program, process.stdout, process.stderr, process.env)
  return runProgram(program, args, process)
}
