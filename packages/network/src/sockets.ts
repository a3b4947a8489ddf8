/** An address of the host's network: IPv4 or IPv6 as text, or a name. */
export interface SocketAddress {
  /** An address, or a name. */
  readonly address: string
  /** 1 to 65535; 0 where the host is to choose. */
  readonly port: number
}

/**
 * The reason why a host's connection was closed.
 *
 * | reason | meaning |
 * |---|---|
 * | `finished` | both streams have ended |
 * | `refused` | nothing listens on the port |
 * | `unreachable` | there is no route, or no answer came |
 * | `reset` | the other end, or the host, has broken it off |
 */
export type TcpSocketEnd = 'finished' | 'refused' | 'unreachable' | 'reset'

/** Is notified of a TCP connection of the host's. */
export interface TcpSocketClient {
  /** Called when the connection is established; not for accepted sockets, which are connected from the start. */
  connected(): void
  /** Takes bytes of the peer, which are the client's to keep. */
  data(bytes: Uint8Array): void
  /** Called when the peer has ended its stream. */
  ended(): void
  /** Called after `write` has returned false, once more bytes may follow. */
  drained(): void
  /** Called when the connection is closed. */
  closed(end: TcpSocketEnd): void
}

/** A TCP connection of the host's. */
export interface TcpSocket {
  /** Sends bytes, which then belong to the socket. @returns false: they were taken, and `drained` reports when to continue */
  write(bytes: Uint8Array): boolean
  /** Ends the outgoing stream after all data is sent. */
  end(): void
  /** Breaks the connection off. */
  abort(): void
  /** Pauses incoming data until `resume`; data in transit may still arrive. */
  pause(): void
  /** Brings data again. */
  resume(): void
}

/** A host resource that stays open until it is closed. */
export interface OpenSocket {
  /** The port, also when the host has chosen it. */
  readonly port: number
  /** Closes the socket. */
  close(): void
}

/** A UDP socket of the host's. */
export interface UdpSocket {
  /** Sends a datagram; it may get lost, as datagrams may. The bytes are the socket's to keep. */
  send(to: SocketAddress, bytes: Uint8Array): void
  /** Closes the socket. */
  close(): void
}

/** Takes a datagram; its bytes are the callee's to keep. */
export type UdpReceiver = (from: SocketAddress, bytes: Uint8Array) => void

/** The host's network, as the `user` network reaches it. `@retrap/network/node` has Node's. */
export interface Sockets {
  /** Opens a connection. Nothing is called back before this returns. */
  connectTcp(to: SocketAddress, client: TcpSocketClient): TcpSocket
  /**
   * Waits for connections.
   *
   * @param accept - called for each connection; the socket is paused, and the returned client receives its events
   * @throws NetworkError `ERR_LISTEN`
   */
  listenTcp(at: SocketAddress, accept: (from: SocketAddress, socket: TcpSocket) => TcpSocketClient): Promise<OpenSocket>
  /** Opens a UDP socket at a port of the host's choice. Trouble with it loses datagrams. */
  openUdp(receive: UdpReceiver): UdpSocket
  /** Opens a UDP socket at an address. @throws NetworkError `ERR_LISTEN` */
  bindUdp(at: SocketAddress, receive: UdpReceiver): Promise<UdpSocket & OpenSocket>
  /** Returns the IPv4 addresses of a name; null for an unknown name. Rejects if the host cannot find out. */
  lookup(name: string): Promise<readonly string[] | null>
  /**
   * Asks a name server of the host's; the message and the answer are DNS messages. Absent: only addresses are known.
   *
   * @param overTcp - asks by TCP, where a long answer is not cut
   */
  query?(message: Uint8Array, overTcp: boolean): Promise<Uint8Array>
}
