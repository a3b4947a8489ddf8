import type { IncomingMessage, Server as HttpServer } from 'node:http'
import { createServer, type AddressInfo, type Server, type Socket } from 'node:net'
import type { WebSocket, WebSocketServer } from 'ws'
import { namesServer } from '@retrap/basics'
import { DisplayError } from '../errors.ts'
import type { VncServer } from '../vnc/server.ts'
import type { VncTransport } from '../vnc/update-sender.ts'

/** Options of {@link listenVnc}. */
export interface VncListenOptions {
  /** Address to listen on; default `127.0.0.1`, where only this machine's programs can connect. */
  readonly host?: string
  /** TCP port; 0: any free port. Default 5900. */
  readonly port?: number
  /** Port for WebSockets, such as noVNC's; 0: any free port. */
  readonly webSocketPort?: number
  /** Listen beyond this machine although the server has no password. Default false. */
  readonly allowAnybody?: boolean
}

/** A VNC server's ports. */
export interface VncListener {
  /** The TCP port. */
  readonly port: number
  /** The port for WebSockets, if any. */
  readonly webSocketPort: number | undefined
  /** Ends all connections, and stops listening. */
  close(): Promise<void>
}

const VNC_PORT = 5900
/** A client that does not take its last bytes is cut off after this time. */
const LAST_BYTES_MS = 500
/** Messages of clients are small; their clipboards come in pieces. */
const LARGEST_MESSAGE = 1 << 20
const LOOPBACK = /^(?:localhost|127(?:\.\d{1,3}){3}|::1|\[::1\])$/

/**
 * Starts to listen for a VNC server.
 *
 * @throws DisplayError `ERR_LISTEN` if a port cannot be had, `ERR_OPTION` if anybody on the network could connect
 */
export async function listenVnc(server: VncServer, options: VncListenOptions = {}): Promise<VncListener> {
  const { host = '127.0.0.1', port = VNC_PORT, webSocketPort, allowAnybody = false } = options
  if (!server.hasPassword && !allowAnybody && !LOOPBACK.test(host)) {
    throw new DisplayError(
      'ERR_OPTION',
      `host ${host}: anybody could connect: expected a password, or a loopback address`,
    )
  }
  const sockets = new Set<Socket>()
  const tcp = createServer((socket) => {
    sockets.add(socket)
    socket.on('close', () => sockets.delete(socket))
    serveSocket(server, socket)
  })
  await listening(tcp, host, port)
  let web: WebPort | undefined
  try {
    if (webSocketPort !== undefined) web = await listenWeb(server, host, webSocketPort)
  } catch (error) {
    tcp.close()
    throw error
  }
  return {
    port: portOf(tcp.address()),
    webSocketPort: web === undefined ? undefined : portOf(web.http.address()),
    async close() {
      server.close()
      const closed = [new Promise((resolve) => tcp.close(resolve))]
      for (const socket of sockets) socket.destroy()
      if (web !== undefined) {
        const { http, sockets: clients } = web
        for (const client of clients.clients) client.terminate()
        closed.push(new Promise((resolve) => http.close(resolve)))
        // Browsers open connections in advance, and ask for nothing on them.
        http.closeAllConnections()
      }
      await Promise.all(closed)
    },
  }
}

/** The port that a server listens on: it has a TCP address while it does. */
function portOf(address: ReturnType<Server['address']>): number {
  return (address as AddressInfo).port
}

async function listening(server: Server, host: string, port: number): Promise<void> {
  const { promise, resolve, reject } = Promise.withResolvers<void>()
  server.once('listening', () => resolve())
  server.once('error', (error: Error) =>
    reject(new DisplayError('ERR_LISTEN', `VNC cannot listen on ${host}:${port}: ${error.message}`, { cause: error })),
  )
  server.listen(port, host)
  await promise
}

/** A port for WebSockets, with its open connections. */
interface WebPort {
  readonly http: HttpServer
  readonly sockets: WebSocketServer
}

async function listenWeb(server: VncServer, host: string, port: number): Promise<WebPort> {
  // Loading them takes longer than most of a program's start, and few listen for browsers.
  const [{ createServer: createHttpServer }, { WebSocketServer: Sockets }] = await Promise.all([
    import('node:http'),
    import('ws'),
  ])
  const http = createHttpServer((_request, response) => {
    response.writeHead(426, { 'Content-Type': 'text/plain' })
    response.end('This port is for WebSockets, such as noVNC opens.\n')
  })
  const sockets = new Sockets({
    server: http,
    maxPayload: LARGEST_MESSAGE,
    perMessageDeflate: false,
    verifyClient: (
      { origin, req }: { origin: string; req: IncomingMessage },
      done: (may: boolean, code?: number) => void,
    ) => {
      if (!namesServer(req.headers.host, [host.toLowerCase()])) done(false, 421)
      else done(server.hasPassword || isOwnOrigin(origin))
    },
  })
  // `listening` reports errors of the port.
  sockets.on('error', () => {})
  await listening(http, host, port)
  sockets.on('connection', (socket: WebSocket) => serveWebSocket(server, socket))
  return { http, sockets }
}

/** A page from elsewhere, in a browser of this machine, must not reach a server without a password. */
function isOwnOrigin(origin: string | undefined): boolean {
  if (origin === undefined) return true
  try {
    return LOOPBACK.test(new URL(origin).hostname)
  } catch {
    return false
  }
}

function serveSocket(server: VncServer, socket: Socket): void {
  socket.setNoDelay(true)
  const transport: VncTransport = {
    write: (bytes) =>
      new Promise((resolve, reject) => {
        socket.write(bytes, (error) => (error ? reject(error) : resolve()))
      }),
    close() {
      socket.end()
      setTimeout(() => socket.destroy(), LAST_BYTES_MS).unref()
    },
  }
  const connection = server.connect(transport)
  socket.on('data', (bytes) => connection.receive(bytes))
  // A lost connection is no failure.
  socket.on('error', () => {})
  socket.on('close', () => connection.close())
}

function serveWebSocket(server: VncServer, socket: WebSocket): void {
  const transport: VncTransport = {
    write: (bytes) =>
      new Promise((resolve, reject) => {
        socket.send(bytes, (error) => (error ? reject(error) : resolve()))
      }),
    close() {
      socket.close()
      setTimeout(() => socket.terminate(), LAST_BYTES_MS).unref()
    },
  }
  const connection = server.connect(transport)
  socket.on('message', (data) => {
    const parts = Array.isArray(data) ? data : [data instanceof ArrayBuffer ? new Uint8Array(data) : data]
    for (const part of parts) connection.receive(part)
  })
  socket.on('error', () => {})
  socket.on('close', () => connection.close())
}
