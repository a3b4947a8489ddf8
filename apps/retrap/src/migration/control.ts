/** `--control`: commands of the monitor by a Unix socket, for `retrap migrate`. */
import { once } from 'node:events'
import { rmSync } from 'node:fs'
import { createConnection, createServer, type Server } from 'node:net'
import { text } from 'node:stream/consumers'
import { CliError } from '../cli-error.ts'
import { troubleWith } from '../files/files.ts'
import { listen } from './socket-channel.ts'

/** Longer lines are no commands. */
const LONGEST_LINE = 4096

/** Takes a command a connection: a line, answered with what the monitor says. */
export class ControlSocket {
  readonly #server: Server
  readonly #path: string

  private constructor(path: string, server: Server) {
    this.#path = path
    this.#server = server
  }

  /** @throws CliError `ERR_INPUT` where the socket cannot be made */
  static async open(path: string, command: (line: string) => Promise<string>): Promise<ControlSocket> {
    const server = createServer({ allowHalfOpen: true }, (socket) => {
      let line = ''
      socket.setEncoding('utf8')
      socket.on('error', () => {})
      socket.on('data', (piece: string) => {
        line += piece
        if (line.length > LONGEST_LINE) socket.destroy()
      })
      socket.on('end', () => void command(line.trim()).then((answer) => socket.end(answer)))
    })
    await listen(server, { path })
    return new ControlSocket(path, server)
  }

  close(): void {
    this.#server.close()
    rmSync(this.#path, { force: true })
  }
}

/** Sends a command to a run with `--control`. @returns what the monitor says @throws CliError `ERR_INPUT` */
export async function sendCommand(path: string, line: string): Promise<string> {
  const socket = createConnection({ path, allowHalfOpen: true })
  try {
    await once(socket, 'connect')
    socket.end(`${line}\n`)
    return await text(socket)
  } catch (error) {
    throw new CliError('ERR_INPUT', `${path}: no run with --control answers there: ${troubleWith(error)}`)
  }
}
