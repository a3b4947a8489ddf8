import type { NetworkClock } from './clock.ts'
import { QueuedNetwork } from './frame-queue.ts'
import { MAXIMUM_TAGGED_FRAME } from './hub.ts'

const OPEN = 1
/** More than this waiting in the socket is too much: a card that sends faster waits. */
const HIGH_WATER = 1 << 20
/** Polling interval: a WebSocket does not report when its buffer is empty. */
const POLL_MS = 10

/** The part of a `WebSocket` that is used: a page's, Node's, or that of the package `ws`. */
export interface FrameSocket {
  /** Set to `arraybuffer`. */
  binaryType: string
  /** Bytes that wait to be sent. */
  readonly bufferedAmount: number
  /** 1: open. */
  readonly readyState: number
  /** Sends a message. */
  send(message: Uint8Array<ArrayBuffer>): void
  /** Ends the connection. */
  close(): void
  /** Calls `listener` on an event. */
  addEventListener(type: 'open' | 'close', listener: () => void): void
  /** Calls `listener` with each message. */
  addEventListener(type: 'message', listener: (event: { readonly data: unknown }) => void): void
}

/** Options for connecting a {@link WebSocketNetwork}. */
export interface WebSocketNetworkOptions {
  /** Milliseconds from a lost connection to the next attempt; default 2000. `Infinity`: no further attempts. */
  readonly reconnectMs?: number | undefined
  /** Default the host's time. */
  readonly clock?: NetworkClock | undefined
}

/**
 * Frames over a WebSocket, each a binary message: the protocol of relays for emulators in pages. Without a connection the
 * cable is pulled.
 */
export class WebSocketNetwork extends QueuedNetwork {
  /** A frame with a VLAN tag. */
  readonly maximumBytes: number = MAXIMUM_TAGGED_FRAME
  readonly #open: () => FrameSocket
  readonly #reconnectMs: number
  #socket: FrameSocket | null = null
  #up = false
  #waits = false
  #closed = false
  #cancel: (() => void) | null = null

  /** @param open - makes a connection: `() => new WebSocket(url)` */
  constructor(open: () => FrameSocket, options: WebSocketNetworkOptions = {}) {
    super(options)
    this.#open = open
    this.#reconnectMs = options.reconnectMs ?? 2000
    this.#connect()
  }

  /** Whether a connection exists. */
  get linkUp(): boolean {
    return this.#up
  }

  /** Sends a frame. @returns false where the peer takes no more for now */
  send(frame: Uint8Array): boolean {
    const socket = this.#socket
    if (!this.#up || socket === null || socket.readyState !== OPEN || frame.length > this.maximumBytes) return true
    if (socket.bufferedAmount > HIGH_WATER) {
      if (!this.#waits) this.#poll()
      return false
    }
    socket.send(new Uint8Array(frame))
    return true
  }

  /** Ends the connection, and makes no other. */
  close(): void {
    this.#closed = true
    this.#cancel?.()
    this.#socket?.close()
  }

  #connect(): void {
    const socket = this.#open()
    this.#socket = socket
    socket.binaryType = 'arraybuffer'
    if (socket.readyState === OPEN) this.#setUp(true)
    socket.addEventListener('open', () => this.#setUp(true))
    socket.addEventListener('message', ({ data }) => {
      if (data instanceof ArrayBuffer && data.byteLength <= this.maximumBytes) this.queue.push(new Uint8Array(data))
    })
    socket.addEventListener('close', () => {
      this.#setUp(false)
      this.#socket = null
      if (this.#closed || this.#reconnectMs === Infinity) return
      this.#cancel = this.clock.after(this.#reconnectMs, () => this.#connect())
    })
  }

  #setUp(up: boolean): void {
    if (this.#up === up) return
    this.#up = up
    this.queue.client?.linkChanged(up)
  }

  #poll(): void {
    this.#waits = true
    this.clock.after(POLL_MS, () => {
      this.#waits = false
      if ((this.#socket?.bufferedAmount ?? 0) > HIGH_WATER / 2) this.#poll()
      else this.queue.client?.drained()
    })
  }
}
