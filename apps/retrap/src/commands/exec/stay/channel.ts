/** The connections of a run to a process that stays: each end proves that it has the secret, and then there are lines or streams. */
import { createHmac, randomBytes, timingSafeEqual } from 'node:crypto'
import { createConnection, type Socket } from 'node:net'
import type { ExecCall } from '../flags.ts'

/** The purpose of a connection: messages, or a stream of the run with a name that the client has drawn. */
export type Role = 'control' | `${'stdin' | 'stdout' | 'stderr'} ${string}`

/** The terminal of a client. */
export interface ClientTerminal {
  readonly isTTY: boolean
  readonly columns: number | undefined
  readonly rows: number | undefined
}

/** A client asks for a run. */
export interface RunRequest {
  readonly op: 'run'
  /** Names its streams. */
  readonly run: string
  /** Also beside other runs. */
  readonly evenBusy: boolean
  readonly call: ExecCall
  readonly env: NodeJS.ProcessEnv
  readonly cwd: string
  readonly terminal: ClientTerminal
}

/** Messages of a client. */
export type Asked =
  | RunRequest
  | { readonly op: 'status' | 'stop' }
  | { readonly op: 'signal'; readonly signal: NodeJS.Signals }
  | ({ readonly op: 'size' } & ClientTerminal)

/** A process that stays, as it is listed. */
export interface StayStatus {
  readonly pid: number
  /** The kind of its machine. */
  readonly about: string
  readonly runs: number
  readonly done: number
  readonly memory: string
  /** Time until it ends, where nothing runs. */
  readonly leftMs: number | undefined
}

/** Messages of a process that stays. */
export type Told =
  /** The run is taken, its program may have been started, or there is no room for it now. */
  | { readonly op: 'accepted' | 'begun' | 'busy' }
  | { readonly op: 'raw'; readonly on: boolean }
  | { readonly op: 'exit'; readonly code: number }
  | { readonly op: 'status'; readonly status: StayStatus }

const NONCE_BYTES = 16
/** Also of a request, which has the environment. */
const MOST_LINE = 8 << 20
/** Longest time until the other end has proved itself. A process that stays does nothing else for longer. */
const PROOF_MS = 10_000

const proof = (secret: Buffer, ...parts: readonly string[]): string =>
  createHmac('sha256', secret).update(parts.join('\n')).digest('hex')
const isSame = (a: string, b: string): boolean =>
  a.length === b.length && timingSafeEqual(Buffer.from(a), Buffer.from(b))

/** Proves the secret to a client that has connected, and it to us. @throws Error for a client that cannot */
export async function acceptProof(socket: Socket, secret: Buffer): Promise<Role> {
  socket.on('error', () => {})
  return inTime(socket, async () => {
    const own = randomBytes(NONCE_BYTES).toString('hex')
    socket.write(`${own}\n`)
    const [nonce = '', role = '', given = ''] = (await readLine(socket)).split('\t')
    if (!isSame(given, proof(secret, 'client', own, nonce, role))) throw new Error('a client without the secret')
    socket.write(`${proof(secret, 'server', nonce, own, role)}\n`)
    return role as Role
  })
}

/** Connects to a process that stays. @throws Error with a code for a socket that nobody listens at */
export async function connectTo(path: string, secret: Buffer, role: Role): Promise<Socket> {
  const socket = createConnection({ path, allowHalfOpen: true })
  socket.on('error', () => {})
  return inTime(socket, async () => {
    const theirs = await readLine(socket)
    const nonce = randomBytes(NONCE_BYTES).toString('hex')
    socket.write(`${[nonce, role, proof(secret, 'client', theirs, nonce, role)].join('\t')}\n`)
    if (!isSame(await readLine(socket), proof(secret, 'server', nonce, theirs, role)))
      throw new Error('a process without the secret')
    return socket
  })
}

/** Destroys a connection that is not proved, or too late. */
async function inTime<T>(socket: Socket, act: () => Promise<T>): Promise<T> {
  const late = setTimeout(() => socket.destroy(new Error('no answer')), PROOF_MS)
  try {
    return await act()
  } catch (error) {
    socket.destroy()
    throw error
  } finally {
    clearTimeout(late)
  }
}

/** Reads a line, and nothing behind it. */
async function readLine(socket: Socket): Promise<string> {
  let read = Buffer.alloc(0)
  for (;;) {
    const bytes = socket.read() as Buffer | null
    if (bytes === null) {
      await readable(socket)
      continue
    }
    read = Buffer.concat([read, bytes])
    const end = read.indexOf('\n')
    if (end >= 0) {
      if (end + 1 < read.length) socket.unshift(read.subarray(end + 1))
      return read.toString('utf8', 0, end)
    }
    if (read.length > MOST_LINE) throw new Error('a line without end')
  }
}

/** Resolves when there is something to read. @throws Error where there will be nothing more */
function readable(socket: Socket): Promise<void> {
  return new Promise((resolve, reject) => {
    const names = ['readable', 'end', 'close', 'error'] as const
    const heard = (name: string) => (error?: unknown) => {
      for (const each of names) socket.off(each, listeners[each]!)
      if (name === 'readable' && !socket.readableEnded) resolve()
      else reject(error instanceof Error ? error : new Error('the connection has ended'))
    }
    const listeners = Object.fromEntries(names.map((name) => [name, heard(name)]))
    for (const name of names) socket.on(name, listeners[name]!)
  })
}

/** Sends a message, as a line of JSON. */
export function send(socket: Socket, message: Asked | Told): void {
  if (socket.writable) socket.write(`${JSON.stringify(message)}\n`)
}

/** Hears messages until the connection ends. */
export function hear<T extends Asked | Told>(socket: Socket, take: (message: T) => void): void {
  let begun = ''
  socket.setEncoding('utf8').on('data', (text: string) => {
    const lines = (begun + text).split('\n')
    begun = lines.pop() ?? ''
    if (begun.length > MOST_LINE) socket.destroy()
    for (const line of lines) take(JSON.parse(line) as T)
  })
  socket.resume()
}

/** Resolves when nothing more comes. */
export const closed = (socket: Socket): Promise<void> =>
  new Promise((resolve) => {
    if (socket.readableEnded || socket.destroyed) resolve()
    else socket.once('end', resolve).once('close', resolve)
  })
