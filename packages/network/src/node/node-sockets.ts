import { createSocket, type Socket as DatagramSocket } from 'node:dgram'
import dns, { lookup } from 'node:dns'
import { connect, createServer, isIP, isIPv6, type Socket } from 'node:net'
import {
  NetworkError,
  type SocketAddress,
  type Sockets,
  type TcpSocket,
  type TcpSocketClient,
  type UdpReceiver,
} from '../index.ts'
import type { OpenSocket, TcpSocketEnd, UdpSocket } from '../sockets.ts'

/** Datagrams that the host has not sent yet; more are dropped. */
const MOST_PENDING = 256
const QUERY_TIMEOUT_MS = 5000
const CONNECT_TIMEOUT_MS = 60_000
const DNS_PORT = 53

/** The host's network, by Node. */
export function nodeSockets(): Sockets {
  return { connectTcp, listenTcp, openUdp, bindUdp, lookup: lookUp, query }
}

function connectTcp({ address, port }: SocketAddress, client: TcpSocketClient): TcpSocket {
  const socket = connect({ host: address, port, allowHalfOpen: true, noDelay: true })
  socket.setTimeout(CONNECT_TIMEOUT_MS, () => socket.destroy(Object.assign(new Error(), { code: 'ETIMEDOUT' })))
  socket.once('connect', () => {
    socket.setTimeout(0)
    client.connected()
  })
  attach(socket, () => client)
  return tcpSocket(socket)
}

async function listenTcp(
  at: SocketAddress,
  accept: (from: SocketAddress, socket: TcpSocket) => TcpSocketClient,
): Promise<OpenSocket> {
  const server = createServer({ allowHalfOpen: true, pauseOnConnect: true, noDelay: true }, (socket) => {
    let client: TcpSocketClient | null = null
    attach(socket, () => client)
    const from = { address: socket.remoteAddress ?? '0.0.0.0', port: socket.remotePort ?? 0 }
    client = accept(from, tcpSocket(socket))
  })
  await new Promise<void>((resolve, reject) => {
    server.once('error', (error) => reject(cannotListen('tcp', at, error)))
    server.listen({ host: at.address, port: at.port, exclusive: true }, resolve)
  })
  // An error of one connection, such as too many open files, must not end the server.
  server.on('error', () => {})
  const address = server.address()
  const port = typeof address === 'object' && address !== null ? address.port : at.port
  return { port, close: () => void server.close() }
}

/** Forwards a socket's events to a client. */
function attach(socket: Socket, client: () => TcpSocketClient | null): void {
  let end: TcpSocketEnd = 'finished'
  socket.on('data', (bytes) => client()?.data(bytes))
  socket.on('end', () => client()?.ended())
  socket.on('drain', () => client()?.drained())
  socket.on('error', (error) => (end = ENDS[codeOf(error)] ?? 'reset'))
  socket.on('close', () => client()?.closed(end))
}

const ENDS: Readonly<Record<string, TcpSocketEnd>> = {
  ECONNREFUSED: 'refused',
  EHOSTUNREACH: 'unreachable',
  ENETUNREACH: 'unreachable',
  EADDRNOTAVAIL: 'unreachable',
  EACCES: 'unreachable',
  EPERM: 'unreachable',
  EINVAL: 'unreachable',
  ENOTFOUND: 'unreachable',
  ETIMEDOUT: 'unreachable',
}

const tcpSocket = (socket: Socket): TcpSocket => ({
  // A closed socket takes all bytes: `closed` reports the end.
  write: (bytes) => !socket.writable || socket.write(bytes),
  end: () => void socket.end(),
  abort: () => void (socket.connecting ? socket.destroy() : socket.resetAndDestroy()),
  pause: () => void socket.pause(),
  resume: () => void socket.resume(),
})

function udpSocket(socket: DatagramSocket, receive: UdpReceiver): UdpSocket {
  let open = true
  let pending = 0
  socket.on('message', (bytes, { address, port }) => receive({ address, port }, bytes))
  // An error concerns a single datagram, whose receiver does not exist.
  socket.on('error', () => {})
  return {
    send({ address, port }, bytes) {
      if (!open || pending === MOST_PENDING) return
      pending++
      try {
        socket.send(bytes, port, address, () => pending--)
      } catch {
        pending--
      }
    },
    close() {
      if (!open) return
      open = false
      socket.close()
    },
  }
}

const openUdp = (receive: UdpReceiver): UdpSocket => udpSocket(createSocket('udp4'), receive)

async function bindUdp(at: SocketAddress, receive: UdpReceiver): Promise<UdpSocket & OpenSocket> {
  const socket = createSocket(isIPv6(at.address) ? 'udp6' : 'udp4')
  await new Promise<void>((resolve, reject) => {
    socket.once('error', (error) => reject(cannotListen('udp', at, error)))
    socket.bind({ address: at.address, port: at.port, exclusive: true }, resolve)
  })
  return { ...udpSocket(socket, receive), port: socket.address().port }
}

function lookUp(name: string): Promise<readonly string[] | null> {
  return new Promise((resolve, reject) => {
    lookup(name, { family: 4, all: true }, (error, addresses) => {
      if (error === null) resolve(addresses.map(({ address }) => address))
      else if (error.code === 'ENOTFOUND') resolve(null)
      else reject(error)
    })
  })
}

/** Asks the host's name servers, the second one if the first is silent. */
async function query(message: Uint8Array, overTcp: boolean): Promise<Uint8Array> {
  const ask = overTcp ? askByTcp : askByUdp
  // A name of its own would stay with the servers from before `setServers`.
  for (const server of dns.getServers().slice(0, 2)) {
    const [, address = server, digits] =
      /^\[?([^\]]+?)\]?(?::(\d+))?$/.exec(isIP(server) ? `[${server}]` : server) ?? []
    const answer = await ask(message, { address, port: Number(digits ?? DNS_PORT) }).catch(() => null)
    if (answer !== null) return answer
  }
  throw new NetworkError('ERR_OPEN', 'no name server answers')
}

/** @param send - sends a question, and calls back with the answer or an error; it returns what closes its socket */
function answerOf(send: (finish: (answer: Uint8Array | Error) => void) => () => void): Promise<Uint8Array> {
  return new Promise((resolve, reject) => {
    const finish = (answer: Uint8Array | Error): void => {
      clearTimeout(timer)
      close()
      if (answer instanceof Error) reject(answer)
      else resolve(answer)
    }
    const timer = setTimeout(() => finish(new Error('no answer')), QUERY_TIMEOUT_MS)
    const close = send(finish)
  })
}

const askByUdp = (message: Uint8Array, server: SocketAddress): Promise<Uint8Array> =>
  answerOf((finish) => {
    const socket = createSocket(isIPv6(server.address) ? 'udp6' : 'udp4')
    socket.once('error', finish)
    socket.on('message', (bytes, from) => {
      const isAnswer = from.port === server.port && bytes[0] === message[0] && bytes[1] === message[1]
      if (isAnswer) finish(bytes)
    })
    socket.send(message, server.port, server.address)
    return () => socket.close()
  })

/** The length and the message go in one piece (RFC 7766 §8). */
const askByTcp = (message: Uint8Array, { address, port }: SocketAddress): Promise<Uint8Array> =>
  answerOf((finish) => {
    const socket = connect({ host: address, port })
    let received = Buffer.alloc(0)
    socket.once('error', finish)
    socket.once('close', () => finish(new Error('no answer')))
    socket.on('data', (bytes) => {
      received = Buffer.concat([received, bytes])
      const end = received.length < 2 ? Infinity : 2 + received.readUInt16BE(0)
      if (received.length >= end) finish(received.subarray(2, end))
    })
    socket.write(Buffer.concat([Uint8Array.of(message.length >> 8, message.length & 0xff), message]))
    return () => socket.destroy()
  })

const cannotListen = (protocol: string, { address, port }: SocketAddress, error: Error): NetworkError =>
  new NetworkError('ERR_LISTEN', `${protocol} ${address}:${port}: ${REASONS[codeOf(error)] ?? error.message}`, {
    cause: error,
  })

const REASONS: Readonly<Record<string, string>> = {
  EADDRINUSE: 'the port is taken',
  EACCES: 'the port needs privileges',
  EADDRNOTAVAIL: 'the host has no such address',
}

const codeOf = (error: unknown): string => (error instanceof Error && 'code' in error ? String(error.code) : '')
