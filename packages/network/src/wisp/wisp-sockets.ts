import { HOST_CLOCK, type NetworkClock } from '../clock.ts'
import { NetworkError } from '../errors.ts'
import type { SocketAddress, Sockets, TcpSocket, TcpSocketClient, UdpReceiver, UdpSocket } from '../sockets.ts'
import { SyntheticNames } from '../synthetic-names.ts'
import { isLoopback } from '../user/options.ts'
import type { FrameSocket } from '../web-socket-network.ts'
import { WispConnection } from './connection.ts'
import { CLOSE_VOLUNTARY, dataPacket, STREAM_UDP } from './packets.ts'
import { type HeldBytes, WispTcpStream } from './tcp-stream.ts'

/** Most peers of one UDP socket; the peer silent for longest is dropped first. */
const MOST_UDP_PEERS = 32

/** Options of {@link WispSockets}. */
export interface WispSocketsOptions {
  /** Milliseconds from a lost connection to the next attempt; default 2000. `Infinity`: no further attempts. */
  readonly reconnectMs?: number | undefined
  /** Default the host's time. */
  readonly clock?: NetworkClock | undefined
  /** Source of stream numbers, from 0 up to 1; default `Math.random`. */
  readonly random?: (() => number) | undefined
  /** Called when a relay has answered, at each attempt. */
  readonly onReady?: (() => void) | undefined
  /** Called with the reason why a relay cannot be used, at each attempt. */
  readonly onRefused?: ((why: string) => void) | undefined
}

/**
 * The outside as a Wisp relay reaches it, over one WebSocket: TCP, and UDP where the relay has it. The relay sees all of it that
 * is not encrypted. It looks names up, which stand for addresses of 198.18.0.0/15 here. The relay's own computer is not reached
 * as 10.0.2.2, and nobody can connect from outside.
 *
 * Source: Wisp protocol, versions 1 and 2.0.0 draft 2.
 */
export class WispSockets implements Sockets {
  readonly #open: () => FrameSocket
  readonly #options: WispSocketsOptions
  readonly #clock: NetworkClock
  readonly #names = new SyntheticNames()
  readonly #held: HeldBytes = { bytes: 0 }
  /** The connection; null: it is lost, and not tried again yet. */
  #connection: WispConnection | null = null
  #closed = false
  #cancel: (() => void) | null = null

  /** @param open - makes a connection: `() => new WebSocket(url)` */
  constructor(open: () => FrameSocket, options: WispSocketsOptions = {}) {
    this.#open = open
    this.#options = options
    this.#clock = options.clock ?? HOST_CLOCK
    this.#connect()
  }

  /** Opens a connection, which waits until the relay has answered. */
  connectTcp(to: SocketAddress, client: TcpSocketClient): TcpSocket {
    const target = this.#targetOf(to)
    if (target !== null && this.#connection !== null)
      return new WispTcpStream(target, client, this.#connection, this.#clock, this.#held)
    this.#clock.soon(() => client.closed(target === null ? 'refused' : 'unreachable'))
    return { write: () => true, end() {}, abort() {}, pause() {}, resume() {} }
  }

  /** A relay takes no connections. @throws NetworkError `ERR_LISTEN`, always */
  listenTcp(): Promise<never> {
    return Promise.reject(new NetworkError('ERR_LISTEN', 'a Wisp relay takes no connections; use no forwarded ports'))
  }

  /** A relay takes no datagrams of others. @throws NetworkError `ERR_LISTEN`, always */
  bindUdp(): Promise<never> {
    return this.listenTcp()
  }

  /** Opens a socket. Datagrams are lost while there is no connection to the relay. */
  openUdp(receive: UdpReceiver): UdpSocket {
    /** Streams by peer, in the order of use. */
    const streams = new Map<string, { readonly id: number; readonly connection: WispConnection }>()
    const close = (key: string): void => {
      const stream = streams.get(key)
      streams.delete(key)
      stream?.connection.close(stream.id, CLOSE_VOLUNTARY)
    }
    const streamTo = (
      key: string,
      to: SocketAddress,
    ): { readonly id: number; readonly connection: WispConnection } | null => {
      const connection = this.#connection
      const target = this.#targetOf(to)
      if (connection === null || !connection.isReady || !connection.hasUdp || target === null) return null
      if (streams.size === MOST_UDP_PEERS) close([...streams.keys()][0]!)
      const id = connection.open(STREAM_UDP, target, {
        ready() {},
        drained() {},
        data: (bytes) => receive(to, bytes),
        closed: () => streams.delete(key),
      })
      return { id, connection }
    }
    return {
      send(to, bytes) {
        const key = `${to.address}:${to.port}`
        const stream = streams.get(key) ?? streamTo(key, { ...to })
        if (stream === null) return
        streams.delete(key)
        streams.set(key, stream)
        if (!stream.connection.isFull) stream.connection.send(dataPacket(stream.id, bytes))
      },
      close() {
        for (const key of [...streams.keys()]) close(key)
      },
    }
  }

  /** Assigns an address to each name, for use in `connectTcp`. */
  async lookup(name: string): Promise<readonly string[] | null> {
    return this.#names.lookup(name)
  }

  /** Ends all connections, and makes no other. */
  close(): void {
    this.#closed = true
    this.#cancel?.()
    this.#connection?.end()
  }

  /** The host that a relay is asked for; null: a relay does not reach that address. */
  #targetOf({ address, port }: SocketAddress): SocketAddress | null {
    const name = this.#names.nameOf(address)
    if (name !== undefined) return { address: name, port }
    return isLoopback(address) || this.#names.isSynthetic(address) ? null : { address, port }
  }

  #connect(): void {
    const { random = Math.random, reconnectMs = 2000, onReady = () => {}, onRefused = () => {} } = this.#options
    this.#connection = new WispConnection(this.#open(), this.#clock, random, {
      ready: onReady,
      refused: onRefused,
      lost: () => {
        this.#connection = null
        if (this.#closed || reconnectMs === Infinity) return
        this.#cancel = this.#clock.after(reconnectMs, () => this.#connect())
      },
    })
  }
}
