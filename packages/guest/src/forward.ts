import type { GuestConnection } from './connection.ts'
import { GuestError } from './errors.ts'

/** Options of {@link Guest.forward}. */
export interface ForwardOptions {
  /** The host's port; default any free one. */
  readonly hostPort?: number
  /** The host's address; default 127.0.0.1, so that other hosts cannot connect. */
  readonly hostAddress?: string
  /** The address in the guest that is connected to; default 127.0.0.1. */
  readonly guestAddress?: string
  /** Called with the reason of a failed connection, such as that nothing listens in the guest. */
  readonly onError?: (error: unknown) => void
}

/** A port of the host that leads to the guest. Made by {@link Guest.forward}. */
export interface GuestForward {
  /** The port of the host. */
  readonly port: number
  /** Closes the port, and breaks its connections off. */
  close(): void
}

/** The parts of Node's `net` that are used. */
interface Socket {
  readonly destroyed: boolean
  iterator(options: { readonly destroyOnReturn: boolean }): AsyncIterable<Uint8Array>
  write(bytes: Uint8Array): boolean
  end(): void
  destroy(): void
  on(event: 'error' | 'close', listener: (error: unknown) => void): void
  once(event: 'drain' | 'close', listener: () => void): void
  off(event: 'drain' | 'close', listener: () => void): void
}
interface Server {
  maxConnections: number
  listen(options: { port: number; host: string }, listening: () => void): void
  address(): { readonly port: number }
  on(event: 'error', listener: (error: Error) => void): void
  close(): void
}
interface Net {
  createServer(options: { allowHalfOpen: boolean }, accept: (socket: Socket) => void): Server
}

const MOST_SOCKETS = 256

function nodeNet(): Net {
  const { process } = globalThis as {
    readonly process?: { readonly getBuiltinModule?: (name: string) => unknown }
  }
  const net = process?.getBuiltinModule?.('node:net')
  if (net !== undefined) return net as Net
  throw new GuestError('ERR_GUEST_OPTION', 'this host has no TCP ports, as a page has none: use guest.connect')
}

/**
 * Listens at a port of the host, and connects each peer to the guest.
 *
 * @param connect - opens a connection to the guest
 * @throws GuestError `ERR_GUEST_OPTION` if the host cannot listen at the address
 */
export async function listen(connect: () => Promise<GuestConnection>, options: ForwardOptions): Promise<GuestForward> {
  const { hostPort = 0, hostAddress = '127.0.0.1', onError = () => {} } = options
  const sockets = new Set<Socket>()
  const server = nodeNet().createServer({ allowHalfOpen: true }, (socket) => {
    sockets.add(socket)
    socket.once('close', () => sockets.delete(socket))
    // The `close` that follows does the rest.
    socket.on('error', () => {})
    void joined(socket, connect).catch((error: unknown) => {
      socket.destroy()
      onError(error)
    })
  })
  server.maxConnections = MOST_SOCKETS
  await new Promise<void>((resolve, reject) => {
    server.on('error', (cause) =>
      reject(new GuestError('ERR_GUEST_OPTION', `port ${hostPort} of the host: ${cause.message}`)),
    )
    server.listen({ port: hostPort, host: hostAddress }, resolve)
  })
  return {
    port: server.address().port,
    close() {
      server.close()
      for (const socket of sockets) socket.destroy()
    },
  }
}

/** Passes bytes between both ends until both have ended. */
async function joined(socket: Socket, connect: () => Promise<GuestConnection>): Promise<void> {
  const connection = await connect()
  let hasEnded = false
  socket.once('close', () => {
    if (!hasEnded) connection.abort()
  })
  const sending = (async () => {
    try {
      // The guest may still send after the peer has ended. A loop over the socket itself would destroy it then: Node 24.21
      // alone does not (https://github.com/nodejs/node/issues/49073).
      for await (const bytes of socket.iterator({ destroyOnReturn: false })) await connection.write(bytes)
      connection.end()
    } catch {
      // The peer has broken its connection off, perhaps before the guest's was open, or the guest takes no more.
      socket.destroy()
      connection.abort()
    }
  })()
  for await (const bytes of connection.readable) {
    if (socket.destroyed) {
      // A closed socket takes nothing more, and tells no `drain`.
      connection.abort()
      break
    }
    if (!socket.write(bytes)) await writable(socket)
  }
  hasEnded = true
  socket.end()
  await sending
}

/** Waits until a socket takes more bytes, or is closed. */
function writable(socket: Socket): Promise<void> {
  return new Promise((resolve) => {
    const told = (): void => {
      socket.off('drain', told)
      socket.off('close', told)
      resolve()
    }
    socket.once('drain', told)
    socket.once('close', told)
  })
}
