import { createHmac, randomBytes, timingSafeEqual } from 'node:crypto'
import { once } from 'node:events'
import { chmodSync, lstatSync, rmSync, readFileSync } from 'node:fs'
import { createConnection, createServer, type ListenOptions, type Server, type Socket } from 'node:net'
import { type Channel, receiveMigration } from '@retrap/migration'
import type { PcSnapshot } from '@retrap/machine'
import { attempt, CliError, troubled } from '@retrap/linux-guest/errors'
import type { SessionOutput } from '../session/session-host.ts'
import { usage } from '../../options/values.ts'

export type MigrationAddress =
  | { readonly kind: 'unix'; readonly path: string }
  | { readonly kind: 'tcp'; readonly host: string; readonly port: number; readonly secretFile: string }

/** A secret of fewer bytes can be guessed. */
const LEAST_SECRET_BYTES = 16

/**
 * Reads `unix:PATH` or `tcp:HOST:PORT,secret=FILE`.
 *
 * @param what - the option or command that the text was given for
 * @throws CliError `ERR_USAGE`
 */
export function parseMigrationAddress(what: string, text: string): MigrationAddress {
  const [, path] = /^unix:(.+)$/.exec(text) ?? []
  if (path !== undefined) return { kind: 'unix', path }
  const [, host = '', digits = '', secretFile] = /^tcp:(.+):(\d+)(?:,secret=(.+))?$/.exec(text) ?? []
  const port = Number(digits)
  if (digits === '' || port < 1 || port > 0xffff)
    throw usage(`${what} '${text}' is no address; give unix:PATH or tcp:HOST:PORT,secret=FILE`)
  if (secretFile === undefined)
    throw usage(`${what} ${text}: a port is open to others; add secret=FILE, with the same file on both sides`)
  return { kind: 'tcp', host: host.replace(/^\[(.*)\]$/, '$1'), port, secretFile }
}

/** Reads the secret of an address; null: it has none. @throws CliError `ERR_INPUT` */
export function secretOf(address: MigrationAddress): Buffer | null {
  if (address.kind === 'unix') return null
  const secret = attempt(address.secretFile, () => readFileSync(address.secretFile))
  if (secret.length < LEAST_SECRET_BYTES) {
    const what = `${address.secretFile}: ${secret.length} bytes are too few for a secret`
    throw new CliError('ERR_INPUT', `${what}; make one: head -c 32 /dev/urandom > ${address.secretFile}`)
  }
  return secret
}

const NONCE_BYTES = 32
const PROOF_BYTES = 32
/** Host time in which the other side shows that it knows the secret. */
const PROOF_MS = 10_000

/** Bytes by a socket. */
class SocketChannel implements Channel {
  readonly #socket: Socket
  readonly #pieces: AsyncIterator<Uint8Array>
  /** The bytes that were read, and not taken. */
  #rest = new Uint8Array()

  constructor(socket: Socket) {
    this.#socket = socket
    // An error closes the socket: `close` notifies waiting callers.
    socket.on('error', () => {})
    socket.setNoDelay(true)
    socket.setKeepAlive(true)
    this.#pieces = socket[Symbol.asyncIterator]() as AsyncIterator<Uint8Array>
  }

  async send(bytes: Uint8Array): Promise<void> {
    await new Promise<void>((resolve, reject) => {
      this.#socket.write(bytes, (error) => (error ? reject(error) : resolve()))
    })
  }

  async receive(): Promise<Uint8Array | null> {
    if (this.#rest.length > 0) {
      const rest = this.#rest
      this.#rest = new Uint8Array()
      return rest
    }
    const { done, value } = await this.#pieces.next()
    return done === true ? null : value
  }

  /** Takes this many bytes. @returns null where the connection ends first */
  async take(count: number): Promise<Uint8Array | null> {
    let taken = new Uint8Array()
    while (taken.length < count) {
      const piece = await this.receive()
      if (piece === null) return null
      taken = Buffer.concat([taken, piece])
    }
    this.#rest = taken.slice(count)
    return taken.slice(0, count)
  }

  /** Closes the connection once all written bytes are sent. */
  close(): void {
    this.#socket.end()
    this.#socket.destroySoon()
  }
}

/**
 * Both sides show that they know the secret, and not the secret: each sends a nonce, then the HMAC of both nonces.
 *
 * @param role - this side's role
 */
async function proves(channel: SocketChannel, secret: Buffer, role: 'source' | 'destination'): Promise<boolean> {
  const own = randomBytes(NONCE_BYTES)
  await channel.send(own)
  const other = await channel.take(NONCE_BYTES)
  if (other === null) return false
  const [first, second] = role === 'source' ? [own, other] : [other, own]
  const proof = (who: string): Buffer => createHmac('sha256', secret).update(who).update(first).update(second).digest()
  await channel.send(proof(role))
  const shown = await channel.take(PROOF_BYTES)
  return shown !== null && timingSafeEqual(shown, proof(role === 'source' ? 'destination' : 'source'))
}

async function authenticated(
  socket: Socket,
  secret: Buffer | null,
  role: 'source' | 'destination',
): Promise<Channel | null> {
  const channel = new SocketChannel(socket)
  if (secret === null) return channel
  const timer = setTimeout(() => socket.destroy(), PROOF_MS)
  const isGood = await proves(channel, secret, role).catch(() => false)
  clearTimeout(timer)
  if (isGood) return channel
  socket.destroy()
  return null
}

/** Connects to a destination. @throws CliError `ERR_INPUT` */
export async function connectTo(address: MigrationAddress): Promise<Channel> {
  const secret = secretOf(address)
  const socket = address.kind === 'unix' ? createConnection(address.path) : createConnection(address.port, address.host)
  await once(socket, 'connect').catch(troubled(`cannot reach ${nameOf(address)}`))
  const channel = await authenticated(socket, secret, 'source')
  if (channel === null) throw new CliError('ERR_INPUT', `${nameOf(address)} does not know the secret`)
  return channel
}

/** Waits for the connection of a source, one that knows the secret. @throws CliError `ERR_INPUT`; the reason of `signal` */
export async function awaitSource(
  address: MigrationAddress,
  stderr: SessionOutput,
  signal?: AbortSignal,
): Promise<Channel> {
  const secret = secretOf(address)
  const server = createServer()
  const sockets = new Set<Socket>()
  const found = new Promise<readonly [Channel, Socket]>((resolve, reject) => {
    signal?.addEventListener('abort', () => reject(signal.reason as Error))
    server.on('connection', (socket) => {
      sockets.add(socket)
      socket.on('close', () => sockets.delete(socket))
      void authenticated(socket, secret, 'destination').then((channel) => {
        if (channel === null) stderr.write('retrap: somebody who does not know the secret was turned away\n')
        else resolve([channel, socket])
      })
    })
  })
  await listen(server, address.kind === 'unix' ? { path: address.path } : { port: address.port, host: address.host })
  stderr.write(`retrap: waiting for a machine at ${nameOf(address)}\n`)
  try {
    const [channel, taken] = await found
    sockets.delete(taken)
    return channel
  } finally {
    server.close()
    // The first connection becomes the machine's; close the others.
    for (const socket of sockets) socket.destroy()
  }
}

/**
 * Listens, at a Unix socket for its user alone. A socket that nobody listens at any more is replaced, and no other file. @throws
 * CliError `ERR_INPUT`
 */
export async function listen(server: Server, at: ListenOptions): Promise<void> {
  const listenThere = async (): Promise<void> => {
    server.listen(at)
    await once(server, 'listening')
    // A Unix socket needs no secret: its file permissions restrict who may control or send a machine.
    if (at.path !== undefined) chmodSync(at.path, 0o600)
  }
  await listenThere()
    .catch(async (error: unknown) => {
      const { code } = error as { code?: string }
      if (code !== 'EADDRINUSE' || at.path === undefined || !(await isLeftBehind(at.path))) throw error
      rmSync(at.path)
      await listenThere()
    })
    .catch(troubled(`cannot listen at ${at.path ?? `port ${at.port}`}`))
}

/** Whether a file is a socket without a listener. */
async function isLeftBehind(path: string): Promise<boolean> {
  if (lstatSync(path, { throwIfNoEntry: false })?.isSocket() !== true) return false
  const socket = createConnection(path)
  const answered = await once(socket, 'connect').then(
    () => true,
    () => false,
  )
  socket.destroy()
  return !answered
}

/** Formats an address for messages. */
export function nameOf(address: MigrationAddress): string {
  return address.kind === 'unix' ? address.path : `${address.host}:${address.port}`
}

/** A machine that has arrived by migration. */
interface Incoming {
  /** The composition of the machine. */
  readonly snapshot: PcSnapshot
  /**
   * Takes the machine over, which has been made: from then on it runs here, unless its user has paused it.
   *
   * @param claim - takes the disks, which the source has given up; `writes`: writes that its drives kept in memory
   * @throws MigrationError; errors of `claim`
   */
  readonly takeOver: (claim: (writes: unknown) => Promise<void>) => Promise<{ readonly isPaused: boolean }>
  /** Tells the source, unless the machine has been taken over, that it is not. */
  drop(): Promise<void>
}

/** Waits for a machine (`--incoming`). @throws CliError, MigrationError, the reason of `signal` */
export async function receiveIncoming(
  address: MigrationAddress,
  stderr: SessionOutput,
  signal?: AbortSignal,
): Promise<Incoming> {
  const channel = await awaitSource(address, stderr, signal)
  const cut = (): void => channel.close()
  signal?.addEventListener('abort', cut)
  const arrived = await receiveMigration(channel).finally(() => signal?.removeEventListener('abort', cut))
  let isSettled = false
  const { pages } = arrived.snapshot
  const { writes, ...state } = Object(arrived.snapshot.state) as { readonly writes?: unknown }
  return {
    // The machine validates the state later.
    snapshot: { state, pages } as PcSnapshot,
    takeOver(claim) {
      isSettled = true
      return arrived.takeOver(() => claim(writes))
    },
    async drop() {
      if (!isSettled) await arrived.refuse('no machine could be made of it')
    },
  }
}
