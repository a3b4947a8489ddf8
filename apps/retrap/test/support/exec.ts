import { spawnSync } from 'node:child_process'
import { SOURCE_START } from './processes.ts'

/** The machine may have to be booted first. */
export const EXEC_DEADLINE_MS = 300_000

export interface Ended {
  readonly code: number | null
  readonly stdout: string
  readonly stderr: string
}

export function runToEnd(
  file: string,
  args: readonly string[],
  input = '',
  env: NodeJS.ProcessEnv = process.env,
): Ended {
  const { status, stdout, stderr } = spawnSync(file, args, { input, encoding: 'utf8', timeout: EXEC_DEADLINE_MS, env })
  return { code: status, stdout, stderr }
}

/** The words that start `retrap exec`. */
export const EXEC_START: readonly string[] = [process.execPath, ...SOURCE_START, 'exec']

/** Runs `retrap exec`, without what the first of all runs says: that it boots a machine. */
export function retrapExec(args: readonly string[], input = '', env?: NodeJS.ProcessEnv): Ended {
  const [file = '', ...before] = EXEC_START
  const { stderr, ...rest } = runToEnd(file, [...before, ...args], input, env)
  return { ...rest, stderr: stderr.replaceAll(/^retrap: (a machine is|another retrap|fetching) .*\n/gm, '') }
}
