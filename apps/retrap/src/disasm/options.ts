/** `retrap disasm` with options, or with a mistake. */
import { Program, runProgram } from '../command-line.ts'
import { addDisasm } from './command.ts'

/** Parses the arguments and lists what they name. @returns the exit code */
export function runWithOptions(args: readonly string[]): Promise<number> {
  const program = new Program(process)
  addDisasm(program, process.stdout, process.stderr, process.env)
  return runProgram(program, args, process)
}
