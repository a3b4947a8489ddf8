import type { Ipv4Packet } from '../frames/ipv4.ts'
import type { TcpEndpoints, TcpSegment } from '../frames/tcp.ts'
import type { TcpSocket, TcpSocketClient, TcpSocketEnd } from '../sockets.ts'
import type { TcpConnection } from '../tcp/connection.ts'
import type { TcpClient } from '../tcp/receive-window.ts'

const CHUNK = 64 << 10

/** A guest's SYN, and the packet that it came in. */
export interface GuestRequest {
  readonly syn: TcpSegment
  readonly packet: Ipv4Packet
}

/** The part of its gateway that a flow needs. */
export interface FlowOwner {
  /** The host's connection is established: makes the guest's. */
  openGuest(flow: TcpFlow): TcpConnection
  /** The host's connection could not be made. */
  hostFailed(flow: TcpFlow, end: TcpSocketEnd): void
  /** The flow is over. */
  ended(flow: TcpFlow): void
}

/** A connection of a guest and one of the host's, joined. Each side waits while the other takes nothing. */
export class TcpFlow {
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
      if (!this.#over) this.connection = this.#owner.openGuest(this)
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
  readonly #owner: FlowOwner
  /** Bytes of the host that the guest's side had no room for. */
  readonly #pending: Uint8Array[] = []
  #guestConnected = false
  #guestEnded = false
  #hostEnded = false
  #hostFull = false
  #over = false

  constructor(key: string, ends: TcpEndpoints, owner: FlowOwner, request: GuestRequest | null) {
    this.key = key
    this.ends = ends
    this.request = request
    this.#owner = owner
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
      this.#owner.hostFailed(this, end)
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
    this.#owner.ended(this)
  }
}
