import type { NetworkClock } from '../clock.ts'
import type { SocketAddress, TcpSocket, TcpSocketClient, TcpSocketEnd } from '../sockets.ts'
import type { WispConnection, WispStream } from './connection.ts'
import { CLOSE_UNKNOWN, CLOSE_VOLUNTARY, dataPacket, STREAM_TCP } from './packets.ts'

/** Flow control does not reach a relay: limit of the bytes held for guests, for all connections together. */
const MOST_HELD_BYTES = 64 << 20
/** Wisp has no half-closed streams. After the guest's end the other side has this long to say the rest, from its last bytes on. */
const LINGER_MS = 10_000

/** The bytes that the connections of a network hold for guests. */
export interface HeldBytes {
  bytes: number
}

/**
 * A TCP connection that a relay makes. The relay does not report success, so the connection counts as established from the
 * start; a failed one is reset.
 */
export class WispTcpStream implements TcpSocket, WispStream {
  readonly #client: TcpSocketClient
  readonly #connection: WispConnection
  readonly #clock: NetworkClock
  readonly #held: HeldBytes
  readonly #id: number
  /** Bytes that the relay does not take yet. */
  readonly #toRelay: Uint8Array[] = []
  /** Bytes that the client does not take yet. */
  readonly #toClient: Uint8Array[] = []
  #packets = 0
  #connected = false
  #paused = false
  /** `write` has asked the client to wait. */
  #waits = false
  #clientEnded = false
  #relayEnded = false
  #toldEnd = false
  #over = false
  #cancelLinger: () => void = () => {}

  constructor(
    to: SocketAddress,
    client: TcpSocketClient,
    connection: WispConnection,
    clock: NetworkClock,
    held: HeldBytes,
  ) {
    this.#client = client
    this.#connection = connection
    this.#clock = clock
    this.#held = held
    this.#id = connection.open(STREAM_TCP, to, {
      // Nothing is called back before the client has its socket.
      ready: (packets) => (this.#connected ? this.ready(packets) : clock.soon(() => this.ready(packets))),
      data: (bytes) => this.data(bytes),
      drained: () => this.drained(),
      closed: (reason) => this.closed(reason),
    })
  }

  write(bytes: Uint8Array): boolean {
    if (this.#over || this.#relayEnded || this.#clientEnded) return true
    this.#toRelay.push(bytes)
    this.#flush()
    this.#waits = this.#toRelay.length > 0
    return !this.#waits
  }

  end(): void {
    if (this.#over || this.#clientEnded) return
    this.#clientEnded = true
    if (this.#relayEnded) this.#clock.soon(() => this.#deliver())
    else this.#linger()
  }

  abort(): void {
    if (this.#finish()) this.#connection.close(this.#id, CLOSE_VOLUNTARY)
  }

  pause(): void {
    this.#paused = true
  }

  resume(): void {
    if (!this.#paused) return
    this.#paused = false
    if (this.#toClient.length > 0 || this.#relayEnded) this.#clock.soon(() => this.#deliver())
  }

  ready(packets: number): void {
    if (this.#over) return
    this.#packets = packets
    if (!this.#connected) {
      this.#connected = true
      this.#client.connected()
    }
    this.drained()
  }

  data(bytes: Uint8Array): void {
    if (this.#over || bytes.length === 0) return
    if (this.#clientEnded) this.#linger()
    this.#toClient.push(bytes)
    this.#held.bytes += bytes.length
    this.#deliver()
    if (this.#over || this.#held.bytes <= MOST_HELD_BYTES) return
    this.#connection.close(this.#id, CLOSE_UNKNOWN)
    this.#break('reset')
  }

  drained(): void {
    if (this.#over) return
    this.#flush()
    if (!this.#waits || this.#toRelay.length > 0) return
    this.#waits = false
    this.#client.drained()
  }

  closed(reason: number | null): void {
    if (this.#over) return
    if (!this.#connected) return this.#break(reason === null ? 'unreachable' : 'refused')
    // The other side has closed or reset its connection: relays do not distinguish these.
    if (reason !== CLOSE_VOLUNTARY && reason !== CLOSE_UNKNOWN) return this.#break('reset')
    this.#relayEnded = true
    this.#toRelay.length = 0
    this.#deliver()
    if (this.#waits && !this.#over) {
      this.#waits = false
      this.#client.drained()
    }
  }

  #flush(): void {
    while (this.#toRelay.length > 0 && this.#packets > 0 && !this.#connection.isFull) {
      this.#packets--
      this.#connection.send(dataPacket(this.#id, this.#toRelay.shift()!))
    }
  }

  #deliver(): void {
    // The client may pause, or give up, at each piece.
    while (!this.#over && !this.#paused && this.#toClient.length > 0) {
      const bytes = this.#toClient.shift()!
      this.#held.bytes -= bytes.length
      this.#client.data(bytes)
    }
    if (this.#over || this.#paused || !this.#relayEnded) return
    if (!this.#toldEnd) {
      this.#toldEnd = true
      this.#client.ended()
    }
    if (this.#clientEnded) this.#break('finished')
  }

  #linger(): void {
    this.#cancelLinger()
    this.#cancelLinger = this.#clock.after(LINGER_MS, () => {
      if (this.#over || this.#relayEnded) return
      this.#connection.close(this.#id, CLOSE_VOLUNTARY)
      this.#relayEnded = true
      this.#deliver()
    })
  }

  #break(end: TcpSocketEnd): void {
    if (this.#finish()) this.#client.closed(end)
  }

  /** @returns false if the stream had already ended */
  #finish(): boolean {
    if (this.#over) return false
    this.#over = true
    this.#cancelLinger()
    for (const { length } of this.#toClient) this.#held.bytes -= length
    this.#toClient.length = this.#toRelay.length = 0
    return true
  }
}
