import type { NetworkClock } from '../clock.ts'
import type { SocketAddress } from '../sockets.ts'
import type { FrameSocket } from '../web-socket-network.ts'
import {
  CLOSE,
  CLOSE_INCOMPATIBLE,
  CLOSE_UNKNOWN,
  closePacket,
  connectPacket,
  CONTINUE,
  DATA,
  EXTENSION_PASSWORD,
  EXTENSION_UDP,
  INFO,
  infoPacket,
  readContinue,
  readInfo,
  readPacket,
  type WispPacket,
} from './packets.ts'

const OPEN = 1
/** Time for a relay to grant its first packets, from the first attempt to connect. */
const HANDSHAKE_MS = 10_000
/** Time for a relay of version 2 to send its INFO; version 1 sends none. */
const INFO_MS = 300
/** More than this waiting in the WebSocket is too much: streams wait. */
const HIGH_WATER = 1 << 20
/** Polling interval: a WebSocket does not report when its buffer is empty. */
const POLL_MS = 10

/** Receives the events of one stream. */
export interface WispStream {
  /** The relay accepts packets. @param packets - how many, until the next call */
  ready(packets: number): void
  /** Takes bytes. */
  data(bytes: Uint8Array): void
  /** The WebSocket has room again. */
  drained(): void
  /** Called at the stream's end. @param reason - the relay's; null: the connection to it was lost, or failed */
  closed(reason: number | null): void
}

/** Receives the connection's events. */
export interface WispOwner {
  /** The relay has answered. */
  ready(): void
  /** The relay cannot be used. @param why - the reason, for people */
  refused(why: string): void
  /** The WebSocket is closed. */
  lost(): void
}

/** Streams over one WebSocket. Streams opened before the relay's first response wait for it. */
export class WispConnection {
  /** UDP streams may be opened: a relay of version 1 does not say whether it has them. */
  hasUdp = true
  readonly #socket: FrameSocket
  readonly #clock: NetworkClock
  readonly #owner: WispOwner
  readonly #random: () => number
  readonly #streams = new Map<number, { readonly stream: WispStream; readonly connect: Uint8Array<ArrayBuffer> }>()
  /** Packets that each stream may send at first; null: not yet received from the relay. */
  #firstPackets: number | null = null
  #hasInfo = false
  #ready = false
  #lost = false
  #polls = false
  #cancel: () => void

  constructor(socket: FrameSocket, clock: NetworkClock, random: () => number, owner: WispOwner) {
    this.#socket = socket
    this.#clock = clock
    this.#random = random
    this.#owner = owner
    socket.binaryType = 'arraybuffer'
    socket.addEventListener('message', ({ data }) => {
      if (data instanceof ArrayBuffer && !this.#lost) this.#receive(new Uint8Array(data))
    })
    socket.addEventListener('close', () => this.#lose())
    this.#cancel = clock.after(HANDSHAKE_MS, () => this.#refuse('it does not answer as a Wisp relay does'))
  }

  /** Whether the relay has answered. */
  get isReady(): boolean {
    return this.#ready
  }

  /** Whether the WebSocket's buffer is so full that streams should wait; they are notified when it has room. */
  get isFull(): boolean {
    const isFull = this.#socket.bufferedAmount > HIGH_WATER
    if (isFull && !this.#polls) this.#poll()
    return isFull
  }

  /** Opens a stream. @returns its number */
  open(kind: number, to: SocketAddress, stream: WispStream): number {
    let id = 0
    while (id === 0 || this.#streams.has(id)) id = Math.floor(this.#random() * 0x1_0000_0000)
    const connect = connectPacket(id, kind, to)
    this.#streams.set(id, { stream, connect })
    if (this.#ready) this.#start(stream, connect)
    return id
  }

  /** Sends a packet of a stream. */
  send(packet: Uint8Array<ArrayBuffer>): void {
    if (this.#socket.readyState === OPEN) this.#socket.send(packet)
  }

  /** Ends a stream, whose callbacks are not called any more. */
  close(id: number, reason: number): void {
    if (this.#streams.delete(id) && this.#ready) this.send(closePacket(id, reason))
  }

  end(): void {
    this.#socket.close()
    this.#lose()
  }

  #start(stream: WispStream, connect: Uint8Array<ArrayBuffer>): void {
    this.send(connect)
    stream.ready(this.#firstPackets ?? 0)
  }

  #receive(message: Uint8Array): void {
    const packet = readPacket(message)
    if (packet === null) return
    if (packet.stream === 0) this.#control(packet)
    else if (this.#ready) this.#streamPacket(packet)
  }

  /** A relay of version 2 sends INFO before or after CONTINUE; version 1 sends only CONTINUE. */
  #control({ type, payload }: WispPacket): void {
    if (type === CLOSE) return this.#refuse(`it closes the connection, with reason ${payload[0] ?? CLOSE_UNKNOWN}`)
    if (this.#ready) return
    if (type === INFO) {
      const extensions = readInfo(payload)
      if (extensions === null || this.#hasInfo) return
      this.#hasInfo = true
      if (extensions.has(EXTENSION_PASSWORD)) {
        this.send(closePacket(0, CLOSE_INCOMPATIBLE))
        return this.#refuse('it asks for a password')
      }
      this.hasUdp = extensions.has(EXTENSION_UDP)
      this.send(infoPacket(this.hasUdp))
    } else if (type === CONTINUE) {
      this.#firstPackets = readContinue(payload) ?? this.#firstPackets
    }
    if (this.#firstPackets === null) return
    this.#cancel()
    if (this.#hasInfo) this.#begin()
    else this.#cancel = this.#clock.after(INFO_MS, () => this.#begin())
  }

  #begin(): void {
    if (this.#ready || this.#lost) return
    this.#cancel()
    this.#ready = true
    this.#owner.ready()
    for (const { stream, connect } of [...this.#streams.values()]) this.#start(stream, connect)
  }

  #streamPacket({ type, stream: id, payload }: WispPacket): void {
    const stream = this.#streams.get(id)?.stream
    // Packets may still arrive for a closed stream.
    if (stream === undefined) return
    if (type === DATA) stream.data(payload)
    else if (type === CONTINUE) {
      const packets = readContinue(payload)
      if (packets !== null) stream.ready(packets)
    } else if (type === CLOSE) {
      this.#streams.delete(id)
      stream.closed(payload[0] ?? CLOSE_UNKNOWN)
    }
  }

  #refuse(why: string): void {
    if (this.#lost) return
    this.#owner.refused(why)
    this.end()
  }

  #lose(): void {
    if (this.#lost) return
    this.#lost = true
    this.#ready = false
    this.#cancel()
    const streams = [...this.#streams.values()]
    this.#streams.clear()
    for (const { stream } of streams) stream.closed(null)
    this.#owner.lost()
  }

  #poll(): void {
    this.#polls = true
    this.#clock.after(POLL_MS, () => {
      this.#polls = false
      if (this.#lost) return
      if (this.#socket.bufferedAmount > HIGH_WATER / 2) return this.#poll()
      for (const { stream } of [...this.#streams.values()]) stream.drained()
    })
  }
}
