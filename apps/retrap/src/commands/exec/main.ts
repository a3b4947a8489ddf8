/** The entry point for running a program in a guest, which loads no other part of the command line. */
import { runExecCommand } from './command.ts'
import { processHost } from './process-host.ts'

/** Runs `retrap exec`, and ends this process even if handles remain open. */
export async function main(args: readonly string[]): Promise<number> {
  const host = processHost()
  const code = await runExecCommand(args, host)
  for (const output of [host.stdout, host.stderr])
    await new Promise<void>((done) =>
      output.writableLength > 0 && !output.destroyed ? output.write('', () => done()) : done(),
    )
  process.exit(code)
}
