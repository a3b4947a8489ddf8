import type { Ipv4Address } from '../addresses.ts'
import type { NetworkClock } from '../clock.ts'
import { makeUnreachable, UNREACHABLE_HOST, UNREACHABLE_PROHIBITED } from '../frames/datagrams.ts'
import { type Ipv4Packet, PROTOCOL_ICMP } from '../frames/ipv4.ts'
import { readTcp, resetFor, TCP_ACK, TCP_RST, TCP_SYN, type TcpEndpoints, type TcpSegment } from '../frames/tcp.ts'
import type { SocketAddress, Sockets, TcpSocket, TcpSocketClient, TcpSocketEnd } from '../sockets.ts'
import { BufferBudget } from '../tcp/buffer-budget.ts'
import { TcpConnection } from '../tcp/connection.ts'
import type { TcpClient } from '../tcp/receive-window.ts'
import type { Link } from './link.ts'

/** Most simultaneous connections, including connections in TIME-WAIT. */
const MOST_FLOWS = 1024
/** Bytes of all connections' buffers, beyond the first 32 KiB of each direction of each connection. */
const BUFFER_BYTES = 64 << 20
const FIRST_EPHEMERAL = 49_152
const LAST_PORT = 0xffff

/** The route of a guest's connection. */
export type TcpRoute =
  | { readonly kind: 'host'; readonly to: SocketAddress }
  | { readonly kind: 'service'; connect(client: TcpSocketClient): TcpSocket }
  | { readonly kind: 'refused' }
  | { readonly kind: 'prohibited' }

export interface TcpGatewayOptions {
  readonly clock: NetworkClock
  readonly random: () => number
  readonly link: Link
  readonly sockets: Sockets
  /** Returns the route of connections to an address. */
  route(address: Ipv4Address, port: number): TcpRoute
}

/** Joins the guests' TCP connections with connections of the host's. */
export class TcpGateway {
  readonly #options: TcpGatewayOptions
  readonly #budget = new BufferBudget(BUFFER_BYTES)
  readonly #flows = new Map<string, TcpFlow>()
  #ephemeral = FIRST_EPHEMERAL

  constructor(options: TcpGatewayOptions) {
    this.#options = options
  }

  /** Number of connections. */
  get count(): number {
    return this.#flows.size
  }

  /** Takes a packet of a guest's. */
  receive(packet: Ipv4Packet): void {
    const segment = readTcp(packet)
    if (segment === null) return
    const ends: TcpEndpoints = {
      localAddress: packet.destination,
      localPort: segment.destinationPort,
      remoteAddress: packet.source,
      remotePort: segment.sourcePort,
    }
    const key = keyOf(ends)
    const flow = this.#flows.get(key)
    const asks = (segment.flags & (TCP_SYN | TCP_ACK | TCP_RST)) === TCP_SYN
    if (flow === undefined) {
      if (asks) this.#open(key, ends, packet, segment)
      else this.#refuse(segment, ends)
      return
    }
    if (flow.connection === null) {
      // The host is still connecting. The guest asks again, or has given up.
      if (asks) flow.request = { syn: segment, packet }
      else if ((segment.flags & TCP_RST) !== 0) flow.abort()
    } else if (asks && flow.connection.isLingering) {
      // A new connection in the place of one that has ended (RFC 9293 §3.10.7.4, TIME-WAIT).
      flow.connection.abort()
      this.#open(key, ends, packet, segment)
    } else {
      flow.connection.receive(segment)
    }
  }

  /** Accepts a connection to a forwarded port of the host. @returns null if there are too many */
  accept(
    seen: Ipv4Address,
    from: SocketAddress,
    socket: TcpSocket,
    guest: { readonly address: Ipv4Address; readonly port: number },
  ): TcpSocketClient | null {
    const base = { localAddress: seen, remoteAddress: guest.address, remotePort: guest.port }
    const port = this.#freePort(base, from.port)
    if (port === null || !this.#makeRoom()) return null
    const ends = { ...base, localPort: port }
    const flow = new TcpFlow(keyOf(ends), ends, this, null)
    flow.socket = socket
    this.#flows.set(flow.key, flow)
    flow.connection = this.#connect(flow)
    return flow.host
  }

  /** Breaks all connections off. */
  close(): void {
    for (const flow of [...this.#flows.values()]) flow.abort()
  }

  #open(key: string, ends: TcpEndpoints, packet: Ipv4Packet, segment: TcpSegment): void {
    const route = this.#options.route(ends.localAddress, ends.localPort)
    if (route.kind === 'prohibited') {
      this.#unreachable(packet, UNREACHABLE_PROHIBITED)
      return
    }
    if (route.kind === 'refused' || !this.#makeRoom()) {
      this.#refuse(segment, ends)
      return
    }
    const flow = new TcpFlow(key, ends, this, { syn: segment, packet })
    this.#flows.set(key, flow)
    flow.socket =
      route.kind === 'service' ? route.connect(flow.host) : this.#options.sockets.connectTcp(route.to, flow.host)
  }

  /** The host's connection of a flow is established: makes the guest's. */
  openGuest(flow: TcpFlow): TcpConnection {
    const connection = this.#connect(flow, flow.request?.syn)
    flow.request = null
    return connection
  }

  /** The host's connection of a flow could not be made. */
  hostFailed({ request, ends }: TcpFlow, end: TcpSocketEnd): void {
    if (request === null) return
    if (end === 'unreachable') this.#unreachable(request.packet, UNREACHABLE_HOST)
    else this.#refuse(request.syn, ends)
  }

  /** A flow is over. */
  ended(flow: TcpFlow): void {
    this.#flows.delete(flow.key)
  }

  #connect(flow: TcpFlow, syn?: TcpSegment): TcpConnection {
    const { clock, random, link } = this.#options
    return new TcpConnection(
      {
        ...flow.ends,
        clock,
        budget: this.#budget,
        initialSequence: Math.floor(random() * 2 ** 32),
        client: flow.guest,
        transmit: (frame) => link.transmit(frame),
      },
      syn,
    )
  }

  /** Drops a connection in TIME-WAIT, if there are too many connections. */
  #makeRoom(): boolean {
    if (this.#flows.size < MOST_FLOWS) return true
    for (const flow of this.#flows.values()) {
      if (flow.connection?.isLingering !== true) continue
      flow.connection.abort()
      return true
    }
    return false
  }

  /** The port that the guest is to see: the other end's, if it is free. */
  #freePort(base: Omit<TcpEndpoints, 'localPort'>, wanted: number): number | null {
    const isFree = (localPort: number): boolean => localPort > 0 && !this.#flows.has(keyOf({ ...base, localPort }))
    if (isFree(wanted)) return wanted
    for (let tries = FIRST_EPHEMERAL; tries <= LAST_PORT; tries++) {
      const port = this.#ephemeral++
      if (this.#ephemeral > LAST_PORT) this.#ephemeral = FIRST_EPHEMERAL
      if (isFree(port)) return port
    }
    return null
  }

  #refuse(segment: TcpSegment, ends: TcpEndpoints): void {
    const frame = resetFor(segment, ends)
    if (frame !== null) this.#options.link.transmit(frame)
  }

  #unreachable(packet: Ipv4Packet, code: number): void {
    const fields = { source: packet.destination, destination: packet.source, protocol: PROTOCOL_ICMP }
    this.#options.link.send(fields, makeUnreachable(packet, code))
  }
}

const keyOf = ({ localAddress, localPort, remoteAddress, remotePort }: TcpEndpoints): string =>
  `${localAddress}:${localPort} ${remoteAddress}:${remotePort}`

const CHUNK = 64 << 10

/** A guest's SYN, and the packet that it came in. */
interface GuestRequest {
  readonly syn: TcpSegment
  readonly packet: Ipv4Packet
}

/** A connection of a guest and one of the host's, joined. Each side waits while the other takes nothing. */
class TcpFlow {
  /** Key in the gateway's table. */
  readonly key: string
  /** The guest's connection. */
  readonly ends: TcpEndpoints
  /** The guest's SYN, until it is answered; null: the host's side has asked. */
  request: GuestRequest | null
  socket: TcpSocket | null = null
  connection: TcpConnection | null = null
  /** Is notified of the guest's connection. */
  readonly guest: TcpClient = {
    connected: () => {
      this.#guestConnected = true
      this.#toGuest()
      this.#toHost()
    },
    readable: () => this.#toHost(),
    writable: () => this.#toGuest(),
    closed: (end) => {
      // The guest's bytes are the socket's by now.
      if (end === 'finished') this.#finish()
      else this.abort()
    },
  }
  /** Is notified of the host's connection. */
  readonly host: TcpSocketClient = {
    connected: () => {
      if (!this.#over) this.connection = this.#gateway.openGuest(this)
    },
    data: (bytes) => {
      this.#pending.push(bytes)
      this.#toGuest()
    },
    ended: () => {
      this.#hostEnded = true
      this.#toGuest()
    },
    drained: () => {
      this.#hostFull = false
      this.#toHost()
    },
    closed: (end) => this.#hostClosed(end),
  }
  readonly #gateway: TcpGateway
  /** Bytes of the host that the guest's side had no room for. */
  readonly #pending: Uint8Array[] = []
  #guestConnected = false
  #guestEnded = false
  #hostEnded = false
  #hostFull = false
  #over = false

  constructor(key: string, ends: TcpEndpoints, gateway: TcpGateway, request: GuestRequest | null) {
    this.key = key
    this.ends = ends
    this.request = request
    this.#gateway = gateway
  }

  /** Ends both sides at once. */
  abort(): void {
    this.#finish()
    this.connection?.abort()
    this.socket?.abort()
  }

  #hostClosed(end: TcpSocketEnd): void {
    if (this.#over) return
    if (this.connection === null) {
      this.#finish()
      this.#gateway.hostFailed(this, end)
    } else if (end === 'finished' && this.#guestEnded) {
      this.#hostEnded = true
      this.#toGuest()
    } else {
      this.abort()
    }
  }

  /** Passes the guest's data to the host. */
  #toHost(): void {
    const { connection, socket } = this
    if (connection === null || socket === null || this.#over) return
    while (!this.#hostFull) {
      const bytes = connection.read(CHUNK)
      if (bytes === null) break
      this.#hostFull = !socket.write(bytes)
    }
    if (connection.atEnd && !this.#guestEnded) {
      this.#guestEnded = true
      socket.end()
    }
  }

  /** Passes the host's data to the guest. */
  #toGuest(): void {
    const { connection, socket } = this
    if (this.#over) return
    if (connection === null || !this.#guestConnected) {
      // A guest that never completes the handshake must not make a talkative host fill our memory.
      if (this.#pending.length > 0) socket?.pause()
      return
    }
    while (this.#pending.length > 0) {
      const bytes = this.#pending[0]!
      const taken = connection.write(bytes)
      if (taken < bytes.length) {
        this.#pending[0] = bytes.subarray(taken)
        socket?.pause()
        return
      }
      this.#pending.shift()
    }
    if (this.#hostEnded) connection.end()
    else socket?.resume()
  }

  #finish(): void {
    if (this.#over) return
    this.#over = true
    this.#pending.length = 0
    this.#gateway.ended(this)
  }
}
