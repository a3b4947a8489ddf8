/** The entry point for running a program in a guest, which loads no other part of the command line. */
import { spawnSync } from 'node:child_process'
import { endSoon } from '../../machine/session/session-host.ts'
import { plainOutput } from '../../print-lines.ts'
import { runExecCommand } from './command.ts'
import type { ExecHost } from './run.ts'

/** Raw mode, in which Node goes on ending lines with CR and LF: the guest's terminal has done so, where its program wants that. */
function setRaw(on: boolean): void {
  process.stdin.setRawMode?.(on)
  if (on) spawnSync('stty', ['-onlcr'], { stdio: ['inherit', 'ignore', 'ignore'] })
}

/** This process, around a run. */
const processHost = (): ExecHost => ({
  stdin: process.stdin,
  stdout: plainOutput(process.stdout),
  stderr: plainOutput(process.stderr),
  env: process.env,
  cwd: process.cwd(),
  setRaw,
  on: (signal, listener) => process.on(signal, listener),
  off: (signal, listener) => process.off(signal, listener),
  endSoon,
})

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
