import type { AddressInfo } from 'node:net'
import { namesServer } from '@retrap/basics'
import { type FrameSocket, type Hub, NetworkError, WebSocketNetwork } from '../index.ts'
import type { OpenSocket } from '../sockets.ts'

/** A frame with a VLAN tag. */
const MOST_BYTES = 1518
const MOST_CONNECTIONS = 64

/** Options of {@link listenWebSocket}. */
export interface WebSocketRelayOptions {
  /** Default `127.0.0.1`. */
  readonly host?: string | undefined
  /** Port to listen on; 0: the host chooses one. */
  readonly port: number
  /**
   * Web pages that may connect, by their origin, such as `https://example.org`; default none. Any page of any site that a
   * user of this host visits could send frames otherwise. Programs that are no browsers have no origin, and may.
   */
  readonly origins?: readonly string[] | undefined
}

/** A request for a connection, by a program or a page. */
interface Asker {
  readonly origin: string | undefined
  readonly req: { readonly headers: { readonly host?: string | undefined } }
}

/** Lets emulators in web pages into a hub: each message of a WebSocket is a frame. @throws NetworkError `ERR_LISTEN` */
export async function listenWebSocket(hub: Hub, options: WebSocketRelayOptions): Promise<OpenSocket> {
  const { host = '127.0.0.1', port, origins = [] } = options
  // Loaded on demand: few programs accept browsers.
  const { WebSocketServer } = await import('ws')
  const server = new WebSocketServer({
    host,
    port,
    maxPayload: MOST_BYTES,
    perMessageDeflate: false,
    verifyClient: ({ origin, req }: Asker, done: (may: boolean, code?: number) => void) => {
      if (!namesServer(req.headers.host, [host.toLowerCase()])) done(false, 421)
      else done(server.clients.size < MOST_CONNECTIONS && (origin === undefined || origins.includes(origin)))
    },
  })
  await new Promise<void>((resolve, reject) => {
    server.once('listening', resolve)
    server.once('error', (error) => {
      reject(new NetworkError('ERR_LISTEN', `${host}:${port}: ${error.message}`, { cause: error }))
    })
  })
  server.on('error', () => {})
  server.on('connection', (socket) => {
    socket.on('error', () => socket.terminate())
    const leave = hub.attach(new WebSocketNetwork(() => socket as FrameSocket, { reconnectMs: Infinity }))
    socket.on('close', leave)
  })
  return {
    port: (server.address() as AddressInfo).port,
    close() {
      for (const client of server.clients) client.terminate()
      server.close()
    },
  }
}
