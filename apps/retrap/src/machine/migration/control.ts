/** `--control`: commands of the monitor by a Unix socket, for `retrap migrate`. */
import { once } from 'node:events'
import { rmSync } from 'node:fs'
import { createConnection, createServer } from 'node:net'
import { text } from 'node:stream/consumers'
import { CliError, troubled } from '@retrap/linux-guest/errors'
import { listen } from './socket-channel.ts'
import type { Command } from 'commander'
import { usage } from '../../options/values.ts'

/** Longer lines are no commands. */
const LONGEST_LINE = 4096
/** Ends an answer (EOT of ASCII): one without it is of a run that has ended meanwhile. No output of the monitor contains it. */
const END = '\u0004'

/**
 * Accepts one command per connection: a line, answered with the monitor's output and EOT.
 *
 * @returns closes the socket
 * @throws CliError `ERR_INPUT` where the socket cannot be made
 */
export async function openControl(path: string, command: (line: string) => Promise<string>): Promise<() => void> {
  const server = createServer({ allowHalfOpen: true }, (socket) => {
    let line = ''
    socket.setEncoding('utf8')
    socket.on('error', () => {})
    socket.on('data', (piece: string) => {
      line += piece
      if (line.length > LONGEST_LINE) socket.destroy()
    })
    socket.on('end', () => void command(line.trim()).then((answer) => socket.end(`${answer}${END}`)))
  })
  await listen(server, { path })
  return () => {
    server.close()
    rmSync(path, { force: true })
  }
}

/** Sends a command to a run with `--control`. @returns the monitor's answer @throws CliError `ERR_INPUT` */
export async function sendCommand(path: string, line: string): Promise<string> {
  const socket = createConnection({ path, allowHalfOpen: true })
  await once(socket, 'connect').catch(troubled(`${path}: no run with --control answers there`))
  socket.end(`${line}\n`)
  // A connection that breaks has not brought the end of an answer.
  const answer = await text(socket).catch(() => '')
  if (answer.endsWith(END)) return answer.slice(0, -END.length)
  throw new CliError('ERR_INPUT', `${path}: the run ended before it answered: '${line}' may be done, or not`)
}

const HELP = `
The destination waits, with the options of the source: retrap run --incoming TARGET …. Both sides have the same disks. Across
hosts, let ssh carry a Unix socket: ssh -L /tmp/there:/tmp/incoming HOST.`

interface MigrateFlags {
  readonly resume?: boolean
  readonly abandon?: boolean
  readonly downtime?: string
  readonly bandwidth?: string
}

/** Adds `retrap migrate`. */
export function addMigrate(program: Command & { readonly asked: string[] }): void {
  program
    .command('migrate')
    .description('Move the machine of a run with --control PATH to another process, while its guest runs')
    .argument('<control>', 'the path of that --control')
    .argument('[target]', 'where it goes: unix:PATH, or tcp:HOST:PORT,secret=FILE')
    .option('--downtime <time>', 'how long its last pages may take: milliseconds, or a time such as 1s (default: 300)')
    .option('--bandwidth <mib>', 'most MiB a second (default: as fast as they go)')
    .option('--resume', 'after a cut at the last moment: it does not run there, and goes on here')
    .option('--abandon', 'after a cut at the last moment: it runs there, and ends here')
    .addHelpText('after', HELP)
    .action(async (control: string, target: string | undefined, flags: MigrateFlags) => {
      const wanted = [target, flags.resume, flags.abandon].filter((each) => each !== undefined)
      if (wanted.length !== 1) throw usage('give a target, or --resume, or --abandon')
      const more = [
        ...(flags.downtime === undefined ? [] : [`downtime=${flags.downtime}`]),
        ...(flags.bandwidth === undefined ? [] : [`bandwidth=${flags.bandwidth}`]),
      ]
      const what = target ?? (flags.resume === true ? '--resume' : '--abandon')
      const answer = await sendCommand(control, ['migrate', `"${what}"`, ...more].join(' '))
      const [, trouble] = /^retrap: (.*)\n$/s.exec(answer) ?? []
      if (trouble !== undefined) throw new CliError('ERR_INPUT', trouble)
      program.asked.push(answer)
    })
}
