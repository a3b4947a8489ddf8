/** `retrap mcp`. */
import type { Readable, Writable } from 'node:stream'
import { GIB, MIB } from '@retrap/basics'
import { type Command } from 'commander'
import type { SessionHost } from '../../machine/session/session-host.ts'
import { asIs, parseSeconds, usage, wholeFrom } from '../../options/values.ts'

const HELP = `
A program that speaks the Model Context Protocol starts it, and calls its tools over the standard input and output:

  claude mcp add retrap -- retrap mcp --folder ~/images

From a clone of the repository the command is: npm --prefix CLONE run -s retrap -- mcp --folder ~/images

It boots Debian, its own small guest, or kernels, firmware and disks of the named folders; runs commands in guests, types, presses
keys, looks at screens, forks machines, resets them, forwards ports of 127.0.0.1 to them, goes through recorded runs, and says who
wrote an address.

Only files in the named folders are opened, and only read: what a guest writes to a disk is kept in memory. Without --folder there
are Debian, which is fetched once, and the small guest. Guests reach no network without --allow-network. Logs are on the standard
error output.`

interface McpFlags {
  readonly folder?: readonly string[]
  readonly machines: number
  readonly memory?: number
  readonly callTimeout: number
  readonly running: number
  readonly allowNetwork?: boolean
}

/** The parts of the process that the command uses. */
interface McpHost extends Pick<SessionHost, 'stderr' | 'onSignal'> {
  readonly stdin: unknown
  readonly stdout: unknown
  embeddedGuest(): Uint8Array | Promise<Uint8Array>
}

const MOST_MACHINES = 64
const MOST_SECONDS = 3600

export function addMcp(program: Command, host: McpHost, version: () => string): void {
  program
    .command('mcp')
    .description('Serve machines to a model, over the Model Context Protocol (stdio)')
    .option('--folder <folder>', 'files in it may be read (repeatable)', asIs)
    .option(
      '--machines <number>',
      `machines at a time, up to ${MOST_MACHINES}`,
      wholeFrom('--machines', 1, MOST_MACHINES),
      8,
    )
    .option(
      '--memory <size>',
      'memory of the host for all machines; what a fork may write counts (default: 4G)',
      parseTotal,
    )
    .option(
      '--running <number>',
      `machines that may run in the background at a time, up to ${MOST_MACHINES}; 0: none`,
      wholeFrom('--running', 0, MOST_MACHINES),
      4,
    )
    .option(
      '--allow-network',
      'guests may have networks (nic: user) that reach this computer and what is behind it; otherwise restrict=on alone',
    )
    .option('--call-timeout <time>', `seconds that a call may ask for, up to ${MOST_SECONDS}`, parseTimeout, 600)
    .addHelpText('after', HELP)
    .action(async ({ folder = [], machines, memory = 4 * GIB, callTimeout, running, allowNetwork }: McpFlags) => {
      // The protocol's modules are as large as a processor's.
      const [{ serveMcp }, { NamedFolders }] = await Promise.all([import('./server.ts'), import('./folders.ts')])
      const folders = await NamedFolders.open(folder)
      const ending = new AbortController()
      const stop = host.onSignal(() => ending.abort())
      try {
        await serveMcp({
          version: version(),
          folders,
          allowsNetwork: allowNetwork === true,
          limits: { machines, memoryBytes: memory, running },
          mostSeconds: callTimeout,
          stdin: host.stdin as Readable,
          stdout: host.stdout as Writable,
          embeddedGuest: () => host.embeddedGuest(),
          tell: (line) => void host.stderr.write(`retrap: ${line}\n`),
          signal: ending.signal,
        })
      } finally {
        stop()
      }
    })
}

/** Reads an amount that several machines share. */
function parseTotal(text: string): number {
  const [, digits, unit] = /^(\d{1,6})([MG])$/i.exec(text) ?? []
  if (digits === undefined) throw usage(`--memory '${text}' is not a size; write it as 512M or 4G`)
  return Number(digits) * (unit?.toUpperCase() === 'G' ? GIB : MIB)
}

function parseTimeout(text: string): number {
  return parseSeconds('--call-timeout', '600 or 10m', 0, MOST_SECONDS)(text) / 1000
}
