import type { Socket } from 'node:net'
import { decodeFrame, encodeFrame } from '../frame-coding.ts'
import { MAX_FRAME_BYTES, type Frame } from '../frames.ts'
import { IoreqError } from '@retrap/ioreq'

/*
 * Frames over a connection that may break. Each frame has a number; the receiver says which it has, the sender keeps
 * what has not been acknowledged and sends it again over the next connection. So every frame arrives once and in order,
 * however often the connection is lost: a request is never made twice.
 *
 * A packet is a u32 length of what follows, its kind (u8), a u32, and bytes.
 */
const PACKET_OPEN = 1
const PACKET_ACCEPT = 2
const PACKET_REFUSE = 3
const PACKET_DATA = 4
const PACKET_ACK = 5
const HEADER_BYTES = 9
const LENGTH_BYTES = 4

/** Bytes that wait for an acknowledgement, above which a sender should wait for {@link Session.drained}. */
const HIGH_WATER = 1 << 20
/** Bytes above which the receiver has given up on us. */
const LIMIT = 1 << 26
/** The longest opening: names and a token. Nothing longer is kept of a connection that has not been accepted. */
const MAX_OPENING_BYTES = 1 << 14
/** Frames after which a receiver acknowledges at once; otherwise at the end of the event loop's turn. */
const ACK_EVERY = 64

function packet(kind: number, word: number, bytes: Uint8Array): Uint8Array {
  const out = new Uint8Array(HEADER_BYTES + bytes.length)
  const view = new DataView(out.buffer)
  view.setUint32(0, HEADER_BYTES - 4 + bytes.length, true)
  out[4] = kind
  view.setUint32(5, word, true)
  out.set(bytes, HEADER_BYTES)
  return out
}

function joined(chunks: readonly Uint8Array[], length: number): Uint8Array {
  const bytes = new Uint8Array(length)
  let at = 0
  for (const chunk of chunks) {
    bytes.set(chunk, at)
    at += chunk.length
  }
  return bytes
}

const NOTHING = new Uint8Array(0)
const encoder = new TextEncoder()
const decoder = new TextDecoder()

/** The first frame of a client. */
export interface Opening {
  readonly session: string
  readonly name: string
  readonly token: string
  /** The client has been connected before, and goes on. */
  readonly resumes: boolean
}

/** The packets of one socket. */
export class PacketSocket {
  readonly #socket: Socket
  /** Bytes of packets that are not complete. */
  #chunks: Uint8Array[] = []
  #chunkBytes = 0
  /** How many bytes there must be for the next packet to be complete, as far as is known. */
  #wanted = LENGTH_BYTES
  /** This end listens, and OPEN has not been accepted yet. */
  #isStranger = false
  #deadline: NodeJS.Timeout | undefined
  onOpen: ((opening: Opening, received: number) => void) | null = null
  onAccept: ((received: number) => void) | null = null
  onRefuse: ((why: string) => void) | null = null
  onData: ((number: number, bytes: Uint8Array) => void) | null = null
  onAck: ((number: number) => void) | null = null
  /** The connection is over; an error tells of bytes that were no packets. */
  onEnd: ((error: Error | null) => void) | null = null

  constructor(socket: Socket) {
    this.#socket = socket
    socket.setNoDelay(true)
    socket.on('data', (bytes) => {
      try {
        this.#push(bytes)
      } catch (error) {
        socket.destroy()
        this.#end(error instanceof Error ? error : new Error(String(error)))
      }
    })
    // `close` tells the outcome.
    socket.on('error', () => {})
    socket.on('close', () => {
      clearTimeout(this.#deadline)
      this.#end(null)
    })
  }

  /** Cuts the connection if OPEN has not been accepted by then, whatever the other side makes of it. */
  openWithin(ms: number): void {
    this.#deadline = setTimeout(() => this.#socket.destroy(), ms).unref()
  }

  /** For the end that listens: takes nothing but OPEN until that is accepted, which must be soon. */
  awaitOpening(ms: number): void {
    this.#isStranger = true
    this.openWithin(ms)
  }

  #end(error: Error | null): void {
    const told = this.onEnd
    this.onEnd = null
    told?.(error)
  }

  #push(chunk: Uint8Array): void {
    this.#chunks.push(chunk)
    this.#chunkBytes += chunk.length
    // Bytes are joined when a packet is complete: a peer that sends few at a time must not have them copied each time.
    if (this.#chunkBytes < this.#wanted) return
    const bytes = this.#chunks.length === 1 ? chunk : joined(this.#chunks, this.#chunkBytes)
    let at = 0
    this.#wanted = LENGTH_BYTES
    while (bytes.length - at >= LENGTH_BYTES) {
      const view = new DataView(bytes.buffer, bytes.byteOffset + at, bytes.length - at)
      const length = view.getUint32(0, true)
      const most = this.#isStranger ? MAX_OPENING_BYTES : MAX_FRAME_BYTES + HEADER_BYTES
      if (length < HEADER_BYTES - LENGTH_BYTES || length > most) {
        throw new IoreqError('ERR_PROTOCOL', `a packet of ${length} bytes`)
      }
      this.#wanted = LENGTH_BYTES + length
      if (bytes.length - at < this.#wanted) break
      const kind = view.getUint8(4)
      if (this.#isStranger && kind !== PACKET_OPEN) {
        throw new IoreqError('ERR_PROTOCOL', `a packet of kind ${kind} where a connection is to say who it is`)
      }
      this.#take(kind, view.getUint32(5, true), bytes.subarray(at + HEADER_BYTES, at + this.#wanted))
      at += this.#wanted
      this.#wanted = LENGTH_BYTES
    }
    // A copy: the socket's buffer may be a large one, and `slice` of a Buffer copies nothing.
    const rest = new Uint8Array(bytes.subarray(at))
    this.#chunks = rest.length === 0 ? [] : [rest]
    this.#chunkBytes = rest.length
  }

  #take(kind: number, word: number, bytes: Uint8Array): void {
    switch (kind) {
      case PACKET_OPEN:
        return this.onOpen?.(readOpening(decoder.decode(bytes)), word)
      case PACKET_ACCEPT:
        clearTimeout(this.#deadline)
        return this.onAccept?.(word)
      case PACKET_REFUSE:
        return this.onRefuse?.(decoder.decode(bytes))
      case PACKET_DATA:
        return this.onData?.(word, bytes)
      case PACKET_ACK:
        return this.onAck?.(word)
      default:
        throw new IoreqError('ERR_PROTOCOL', `a packet of kind ${kind}, which there is not`)
    }
  }

  open(opening: Opening, received: number): void {
    this.#socket.write(packet(PACKET_OPEN, received, encoder.encode(JSON.stringify(opening))))
  }
  accept(received: number): void {
    clearTimeout(this.#deadline)
    this.#isStranger = false
    this.#socket.write(packet(PACKET_ACCEPT, received, NOTHING))
  }
  refuse(why: string): void {
    // Nothing more is read. The deadline ends a connection whose other side does not.
    this.#socket.pause()
    this.#socket.end(packet(PACKET_REFUSE, 0, encoder.encode(why)))
  }
  data(bytes: Uint8Array): void {
    this.#socket.write(bytes)
  }
  ack(number: number): void {
    this.#socket.write(packet(PACKET_ACK, number, NOTHING))
  }
  destroy(): void {
    this.#socket.destroy()
  }
  /** Sends what is left and closes. */
  finish(): void {
    this.#socket.end()
  }
}

function readOpening(text: string): Opening {
  let value: Partial<Record<keyof Opening, unknown>>
  try {
    value = JSON.parse(text) as typeof value
  } catch (cause) {
    throw new IoreqError('ERR_PROTOCOL', 'a connection does not say who it is', { cause })
  }
  const { session, name, token, resumes } = value
  if (typeof session !== 'string' || session === '' || typeof name !== 'string' || name === '') {
    throw new IoreqError('ERR_PROTOCOL', 'a connection does not say who it is')
  }
  return { session, name, token: typeof token === 'string' ? token : '', resumes: resumes === true }
}

/** One end of a conversation that outlives its connections. */
export class Session {
  readonly #onFrame: (frame: Frame) => void
  readonly #onLost: (error: Error | null) => void
  /** Sent and not acknowledged: packets from number `#acked + 1` on. */
  #unacked: Uint8Array[] = []
  #unackedBytes = 0
  #acked = 0
  #sent = 0
  #received = 0
  #acknowledged = 0
  #ackPlanned = false
  #socket: PacketSocket | null = null
  #drained: (() => void)[] = []
  #closed = false

  /**
   * @param onFrame - may throw: the session then ends with the error
   * @param onLost - the connection is lost; with an error there must not be another
   */
  constructor(onFrame: (frame: Frame) => void, onLost: (error: Error | null) => void) {
    this.#onFrame = onFrame
    this.#onLost = onLost
  }

  /** Number of the last frame that has arrived. */
  get received(): number {
    return this.#received
  }

  get connected(): boolean {
    return this.#socket !== null
  }

  /** Nothing is sent or taken any more. */
  get closed(): boolean {
    return this.#closed
  }

  /** False: the receiver lags. Wait for `drained`. */
  get writable(): boolean {
    return this.#unackedBytes < HIGH_WATER
  }

  /** Settles when `writable`, or when the session has ended. */
  drained(): Promise<void> {
    if (this.writable || this.#closed) return Promise.resolve()
    return new Promise((resolve) => this.#drained.push(resolve))
  }

  /** Goes on over a socket whose other side has all up to frame `peerReceived`. */
  connect(socket: PacketSocket, peerReceived: number): void {
    this.#socket?.destroy()
    this.#socket = socket
    socket.onData = (number, bytes) => this.#data(number, bytes)
    socket.onAck = (number) => this.#ack(number)
    socket.onEnd = (error) => {
      if (this.#socket !== socket) return
      this.#socket = null
      if (!this.#closed) this.#onLost(error)
    }
    this.#ack(peerReceived)
    for (const bytes of this.#unacked) socket.data(bytes)
  }

  send(frame: Frame): void {
    if (this.#closed) return
    this.#sent = (this.#sent + 1) >>> 0
    // The frame's own length is the packet's business.
    const bytes = packet(PACKET_DATA, this.#sent, encodeFrame(frame).subarray(4))
    this.#unacked.push(bytes)
    this.#unackedBytes += bytes.length
    if (this.#unackedBytes > LIMIT) {
      this.#fail(new IoreqError('ERR_NO_SPACE', `the other side has not taken the last ${LIMIT} bytes`))
      return
    }
    this.#socket?.data(bytes)
  }

  #fail(error: Error): void {
    this.close()
    this.#onLost(error)
  }

  #ack(number: number): void {
    const count = (number - this.#acked) >>> 0
    if (count > this.#unacked.length) {
      this.#fail(new IoreqError('ERR_PROTOCOL', `frame ${number} was acknowledged, ${this.#sent} is the last`))
      return
    }
    for (const bytes of this.#unacked.splice(0, count)) this.#unackedBytes -= bytes.length
    this.#acked = number
    if (this.writable) for (const resolve of this.#drained.splice(0)) resolve()
  }

  #data(number: number, bytes: Uint8Array): void {
    if (this.#closed) return
    const ahead = (number - this.#received) >>> 0
    // Sent again over a new connection although it had arrived.
    if (ahead === 0 || ahead > 0x7fff_ffff) return
    if (ahead !== 1) {
      this.#fail(new IoreqError('ERR_PROTOCOL', `frame ${number} follows ${this.#received}`))
      return
    }
    this.#received = number
    this.#planAck()
    try {
      this.#onFrame(decodeFrame(bytes))
    } catch (error) {
      this.#fail(error instanceof Error ? error : new Error(String(error)))
    }
  }

  #planAck(): void {
    if ((this.#received - this.#acknowledged) >>> 0 >= ACK_EVERY) {
      this.#sendAck()
      return
    }
    if (this.#ackPlanned) return
    this.#ackPlanned = true
    setImmediate(() => {
      this.#ackPlanned = false
      this.#sendAck()
    })
  }

  #sendAck(): void {
    if (this.#acknowledged === this.#received || this.#socket === null) return
    this.#acknowledged = this.#received
    this.#socket.ack(this.#received)
  }

  /** Ends the conversation; what has been sent still goes out. */
  close(): void {
    if (this.#closed) return
    this.#closed = true
    this.#sendAck()
    this.#socket?.finish()
    this.#socket = null
    for (const resolve of this.#drained.splice(0)) resolve()
  }
}
