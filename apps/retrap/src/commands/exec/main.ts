/** The entry point for running a program in a guest, which loads no other part of the command line. */
import { endSoon } from '../../machine/session/session-host.ts'
import { plainOutput } from '../../print-lines.ts'
import { runExecCommand } from './command.ts'

/** Runs `retrap exec`, and ends this process even if handles remain open. */
export async function main(args: readonly string[]): Promise<number> {
  const { stdin } = process
  const [stdout, stderr] = [plainOutput(process.stdout), plainOutput(process.stderr)]
  const code = await runExecCommand(args, {
    stdin,
    stdout,
    stderr,
    on: (signal, listener) => process.on(signal, listener),
    off: (signal, listener) => process.off(signal, listener),
    endSoon,
  })
  for (const output of [stdout, stderr])
    await new Promise<void>((done) =>
      output.writableLength > 0 && !output.destroyed ? output.write('', () => done()) : done(),
    )
  process.exit(code)
}
