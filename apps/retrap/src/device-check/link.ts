/** Connections of `retrap device-check` to the server that it checks. */
import { type ChildProcess, spawn } from 'node:child_process'
import { createConnection } from 'node:net'
import type { Duplex } from 'node:stream'
import { linesTo, type ProgramAddress } from '../devices/device-programs.ts'

/** One connection, and for `exec:` the program that was started for it. */
export interface Link {
  /** Sends bytes. */
  write(bytes: Uint8Array): void
  /** Takes the bytes of the server. It is set once. */
  onData(take: (chunk: Uint8Array) => void): void
  /** Closes this end; what was written goes out before. */
  end(): void
  /** Breaks the connection off, with what is on its way. */
  destroy(): void
  /** Settles when the server has closed the connection. @returns how, in words */
  readonly closed: Promise<string>
  /** Settles when the program has ended; null where none was started. */
  readonly ended: Promise<ProgramEnd> | null
  /** Ends what was started, at once. */
  kill(): void
}

/** How a program has ended. */
export interface ProgramEnd {
  readonly text: string
  /** The signal that ended the program. */
  readonly signal: NodeJS.Signals | null
}

const DEVICE_FD = 3

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
  const child = spawn(command, {
    shell: true,
    detached: process.platform !== 'win32',
    stdio: ['ignore', 'pipe', 'pipe', 'pipe'],
    env: { ...process.env, RETRAP_DEVICE_FD: String(DEVICE_FD) },
  })
  const take = linesTo(tell)
  for (const fd of [1, 2] as const) child.stdio[fd]?.on('data', (bytes: Uint8Array) => void take(bytes, fd))
  const ended = new Promise<ProgramEnd>((resolve) => {
    child.once('error', ({ message }) => resolve({ text: `it cannot be started: ${message}`, signal: null }))
    child.once('exit', (code, signal) => resolve(endOf(code, signal)))
  })
  return { ...overStream(child.stdio[DEVICE_FD] as Duplex), ended, kill: () => killGroup(child) }
}

/** A shell that runs a program says its signal as 128 and more. */
function endOf(code: number | null, signal: NodeJS.Signals | null): ProgramEnd {
  const name = signal ?? SHELL_SIGNALS[code ?? 0] ?? null
  return { signal: name, text: name === null ? `it ended with status ${code}` : `it was ended by ${name}` }
}

/** Exit statuses of a shell for a program that crashed. */
const SHELL_SIGNALS: Readonly<Record<number, NodeJS.Signals>> = {
  132: 'SIGILL',
  134: 'SIGABRT',
  135: 'SIGBUS',
  136: 'SIGFPE',
  137: 'SIGKILL',
  139: 'SIGSEGV',
  141: 'SIGPIPE',
}

function killGroup(child: ChildProcess): void {
  try {
    if (process.platform === 'win32' || child.pid === undefined) child.kill('SIGKILL')
    else process.kill(-child.pid, 'SIGKILL')
  } catch {
    // The program has ended.
  }
}

/**
 * Opens a connection, or starts a program.
 *
 * @param tell - takes lines of the program's output
 * @throws Error where nobody takes the connection
 */
export async function openLink(address: ProgramAddress, tell: (line: string) => void): Promise<Link> {
  if ('command' in address) return start(address.command, tell)
  const socket = createConnection(address)
  socket.setNoDelay(true)
  await new Promise<void>((resolve, reject) => {
    socket.once('error', reject)
    socket.once('connect', () => {
      socket.removeListener('error', reject)
      resolve()
    })
  })
  return { ...overStream(socket), ended: null, kill: () => void socket.destroy() }
}
