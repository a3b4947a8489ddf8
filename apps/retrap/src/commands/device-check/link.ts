/** Connections of `retrap device-check` to the server that it checks. */
import { once } from 'node:events'
import { createConnection } from 'node:net'
import type { Duplex } from 'node:stream'
import { type ProgramEnd, ProgramGroup } from '@retrap/device-hosting/node'
import { linesTo, type ProgramAddress } from '../../machine/devices/device-programs.ts'

/** One connection, and for `exec:` the started program. */
export interface Link {
  write(bytes: Uint8Array): void
  /** Sets the receiver of the server's bytes, once. */
  onData(take: (chunk: Uint8Array) => void): void
  /** Closes this end after all written data was sent. */
  end(): void
  /** Breaks the connection, and drops data in transit. */
  destroy(): void
  /** Resolves when the server has closed the connection. @returns how, in words */
  readonly closed: Promise<string>
  /** Resolves when the program has ended; null if the check started none. */
  readonly ended: Promise<ProgramEnd> | null
  /** Kills the started program at once. */
  kill(): void
}

/** The parts of a link that are the stream's. */
function overStream(stream: Duplex): Pick<Link, 'write' | 'onData' | 'end' | 'destroy' | 'closed'> {
  let why = 'it closed the connection'
  const closed = new Promise<string>((resolve) => {
    stream.on('error', ({ message }) => (why = `the connection broke: ${message}`))
    stream.on('end', () => resolve(why))
    stream.on('close', () => resolve(why))
  })
  return {
    closed,
    write: (bytes) => void (stream.writable && stream.write(bytes)),
    onData: (take) => void stream.on('data', take),
    end: () => void stream.end(),
    destroy: () => void stream.destroy(),
  }
}

/** Starts a program. @param tell - takes lines of its output */
function start(command: string, tell: (line: string) => void): Link {
  const group = new ProgramGroup(command, linesTo(tell))
  const { ended, socket } = group
  if (socket === null) throw new Error('this process may open no more files')
  return { ...overStream(socket), ended, kill: () => group.signal('SIGKILL') }
}

/**
 * Opens a connection, or starts a program.
 *
 * @param tell - takes lines of the program's output
 * @throws Error if nothing accepts the connection
 */
export async function openLink(address: ProgramAddress, tell: (line: string) => void): Promise<Link> {
  if ('command' in address) return start(address.command, tell)
  const socket = createConnection(address)
  socket.setNoDelay(true)
  await once(socket, 'connect')
  return { ...overStream(socket), ended: null, kill: () => void socket.destroy() }
}
