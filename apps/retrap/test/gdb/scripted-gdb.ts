/** gdb with a script, and the machine that it debugs. */
import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { writeFileSync } from 'node:fs'
import { createServer } from 'node:net'
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'

/** The program of a machine and its arguments, for a port that it listens on. */
export type DebuggedMachine = (port: number) => readonly [file: string, args: readonly string[]]

/** Host time for one script, unless it says otherwise. */
export const DEADLINE_MS = 40_000

const preamble = (deadlineMs: number): readonly string[] => [
  'set pagination off',
  'set confirm off',
  'set width 0',
  'set height 0',
  'set style enabled off',
  `set tcp connect-timeout ${deadlineMs / 2000}`,
  `set remotetimeout ${deadlineMs / 2000}`,
]

async function freePort(): Promise<number> {
  const server = createServer()
  await new Promise<void>((resolve) => server.listen({ host: '127.0.0.1', port: 0 }, resolve))
  const address = server.address()
  await new Promise((resolve) => server.close(resolve))
  return typeof address === 'object' && address !== null ? address.port : 0
}

/**
 * Runs gdb's commands on a machine that waits for it.
 *
 * @param program - gdb, and what it is told before it connects
 * @returns what gdb prints, from `BEGIN` on, and what on stderr
 */
export async function debugScripted(
  program: { readonly gdb: string; readonly before: readonly string[] },
  machine: DebuggedMachine,
  commands: readonly string[],
  folder: string,
  deadlineMs = DEADLINE_MS,
): Promise<readonly [output: string, errors: string]> {
  const port = await freePort()
  const [file, args] = machine(port)
  const child = spawn(file, args, { stdio: ['ignore', 'pipe', 'pipe'] })
  const ended = once(child, 'close')
  let said = ''
  for (const stream of [child.stdout, child.stderr]) stream.on('data', (bytes: Buffer) => (said += bytes.toString()))
  const script = join(folder, `script-${port}.gdb`)
  const lines = [
    ...preamble(deadlineMs),
    ...program.before,
    `target remote 127.0.0.1:${port}`,
    'echo BEGIN\\n',
    ...commands,
    '',
  ]
  writeFileSync(script, lines.join('\n'))
  const gdb = spawn(program.gdb, ['-nx', '-batch', '-x', script], { stdio: ['ignore', 'pipe', 'pipe'] })
  let output = ''
  let errors = ''
  gdb.stdout.on('data', (bytes: Buffer) => (output += bytes.toString()))
  gdb.stderr.on('data', (bytes: Buffer) => (errors += bytes.toString()))
  const timer = setTimeout(() => gdb.kill('SIGKILL'), deadlineMs)
  const code = await new Promise<number | null>((resolve) => gdb.on('close', resolve))
  clearTimeout(timer)
  // A machine that is recorded goes on to its end, perhaps before gdb has left, and writes what its file lacks.
  if (args.includes('--record')) await Promise.race([ended, sleep(deadlineMs, undefined, { ref: false })])
  child.kill('SIGKILL')
  if (code !== 0) throw new Error(`gdb ended with ${code}:\n${output}\n${errors}\nthe machine said:\n${said}`)
  const from = output.indexOf('BEGIN\n') + 6
  // At its end gdb leaves the program that it debugs, of which QEMU has a number.
  const end = output.indexOf('[Inferior 1 (')
  return [output.slice(from, end < 0 ? undefined : end), errors]
}
