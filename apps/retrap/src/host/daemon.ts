/** `--daemonize`: the run goes on in a process of its own, which its user's shell does not wait for. */
import { spawn } from 'node:child_process'
import { ExitCode } from '../exit-codes.ts'
import type { SessionOutput } from './host.ts'

/** Says to the child that a parent waits to hear that its run has begun. */
const VARIABLE = 'RETRAP_DAEMON'

/**
 * Runs a command line in another process, until its machine is there.
 *
 * @param stderr - takes what that says until then
 * @returns 0, or the exit code of a run that has ended before
 */
export async function daemonize(args: readonly string[], stderr: SessionOutput): Promise<number> {
  const [, program = ''] = process.argv
  const child = spawn(process.execPath, [...process.execArgv, program, ...args], {
    detached: true,
    stdio: ['ignore', 'ignore', 'pipe', 'ipc'],
    env: { ...process.env, [VARIABLE]: '1' },
  })
  child.stderr?.on('data', (bytes: Uint8Array) => stderr.write(bytes))
  const code = await new Promise<number>((resolve) => {
    child.once('message', () => resolve(ExitCode.PowerOff))
    child.once('close', (ended) => resolve(ended ?? ExitCode.InternalError))
    child.once('error', () => resolve(ExitCode.InternalError))
  })
  if (child.connected) child.disconnect()
  child.stderr?.destroy()
  child.unref()
  return code
}

/** Says to a parent that waits for it that the run has begun. */
export function tellParent(): void {
  if (process.env[VARIABLE] === undefined || process.send === undefined) return
  delete process.env[VARIABLE]
  process.send('begun', () => process.connected && process.disconnect())
}
