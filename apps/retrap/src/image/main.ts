/** The command line where it deals with disk images. It has no machine, which would take longer to load. */
import { Program, runProgram } from '../command-line.ts'
import { addImage } from './command.ts'

/** Runs `retrap image` on this process. @returns the exit code */
export async function main(args: readonly string[]): Promise<number> {
  const program = new Program(process)
  let result = 0
  addImage(program, process.stdout, (code) => {
    result = code
  })
  const code = await runProgram(program, args, process)
  return code === 0 ? result : code
}
