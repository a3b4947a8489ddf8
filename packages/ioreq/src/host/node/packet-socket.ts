import type { Socket } from 'node:net'
import { IoreqError } from '../../errors.ts'
import { MAX_FRAME_BYTES } from '../frames.ts'

/*
 * A packet is a u32 length of what follows, its kind (u8), a u32, and bytes.
 *
 * | kind | u32 | bytes |
 * |---|---|---|
 * | OPEN | number of the last frame that has arrived | an `Opening`, as JSON |
 * | ACCEPT | the same | |
 * | REFUSE | why: a `REFUSED` | why, for people |
 * | DATA | number of the frame | the frame |
 * | ACK | number of the last frame that has arrived | |
 * | PING, PONG | 0 | |
 * | BYE | 0 | why, for people; may be empty |
 */
const PACKET_OPEN = 1
const PACKET_ACCEPT = 2
const PACKET_REFUSE = 3
const PACKET_DATA = 4
const PACKET_ACK = 5
const PACKET_PING = 6
const PACKET_PONG = 7
const PACKET_BYE = 8
const HEADER_BYTES = 9
const LENGTH_BYTES = 4

/** The longest opening: names and a token. Nothing longer is kept of a connection that has not been accepted. */
const MAX_OPENING_BYTES = 1 << 14
/** Bytes on their way to a peer, above which it gets no PONG: it does not read, or asks too often. */
const MAX_PENDING_PONG_BYTES = 1 << 16
/** A connection is dead after so many looks at it without a byte. */
const SILENT_LOOKS = 3

/** Characters of a reason for people. */
const MAX_REASON = 1000

/** Why a connection is refused, for programs. */
export const REFUSED = { forOtherReasons: 0, unknownSession: 1, oldAttempt: 2, endedSession: 3 } as const

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

/** A frame on its way. */
export function dataPacket(number: number, bytes: Uint8Array): Uint8Array {
  return packet(PACKET_DATA, number, bytes)
}

const NOTHING = new Uint8Array(0)
const encoder = new TextEncoder()
const decoder = new TextDecoder()

/** Where a socket is: a Unix socket (or a named pipe), or TCP. */
export type SocketAddress = { readonly path: string } | { readonly host?: string; readonly port: number }

/** Default of `aliveMs` with TLS, on either end. */
export const TLS_ALIVE_MS = 15_000
/** Default of `openMs`, on either end. */
export const OPEN_MS = 5000
/** Default of `reconnectMs`, on either end: with TLS there is a network between them. */
export const reconnectMsOf = ({ reconnectMs, tls }: { readonly reconnectMs?: number; readonly tls?: object }): number =>
  reconnectMs ?? (tls === undefined ? 5000 : 30_000)

/** The first packet of the end that connects. */
export interface Opening {
  readonly session: string
  readonly name: string
  readonly token: string
  /** The client has been connected before, and goes on. */
  readonly resumes: boolean
  /** Counts the connections of a session: a connection that arrives after a later one is refused. */
  readonly attempt: number
}

/** The packets of one socket. */
export class PacketSocket {
  readonly socket: Socket
  /** Bytes of packets that are not complete. */
  #chunks: Uint8Array[] = []
  #chunkBytes = 0
  /** How many bytes there must be for the next packet to be complete, as far as is known. */
  #wanted = LENGTH_BYTES
  /** This end listens, and OPEN has not been accepted yet. */
  #isStranger = false
  #deadline: NodeJS.Timeout | undefined
  #looks: NodeJS.Timeout | undefined
  /** Looks since the last byte. */
  #silent = 0
  #paused = false
  onOpen: ((opening: Opening, received: number) => void) | null = null
  onAccept: ((received: number) => void) | null = null
  onRefuse: ((why: string, code: number) => void) | null = null
  onData: ((number: number, bytes: Uint8Array) => void) | null = null
  onAck: ((number: number) => void) | null = null
  /** The other side has ended the session. */
  onBye: ((why: string) => void) | null = null
  /** The connection is over; an error tells of bytes that were no packets. */
  onEnd: ((error: Error | null) => void) | null = null

  constructor(socket: Socket) {
    this.socket = socket
    socket.setNoDelay(true)
    socket.on('data', (bytes) => {
      this.#silent = 0
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
      clearInterval(this.#looks)
      this.#end(null)
    })
  }

  /** Cuts the connection if OPEN has not been accepted by then, whatever the other side makes of it. */
  openWithin(ms: number): void {
    this.#deadline = setTimeout(() => this.socket.destroy(), ms).unref()
  }

  /**
   * Cuts the connection when nothing has come for so long, although the other side is asked: half of a connection may be
   * gone without a word. Looks are counted, not time, so that a stall of this process is not taken for one of the other.
   */
  keepAlive(ms: number): void {
    this.#looks = setInterval(() => {
      if (this.#paused) return
      if (this.#silent >= SILENT_LOOKS) this.socket.destroy()
      else if (this.#silent++ > 0) this.socket.write(packet(PACKET_PING, 0, NOTHING))
    }, ms / SILENT_LOOKS).unref()
  }

  /** Reads nothing until `resume`; nobody is taken for dead meanwhile. */
  pause(): void {
    this.#paused = true
    this.socket.pause()
  }
  resume(): void {
    this.#paused = false
    this.#silent = 0
    this.socket.resume()
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
        return this.onRefuse?.(decoder.decode(bytes), word)
      case PACKET_DATA:
        return this.onData?.(word, bytes)
      case PACKET_ACK:
        return this.onAck?.(word)
      case PACKET_PING:
        if (this.socket.writableLength <= MAX_PENDING_PONG_BYTES) this.socket.write(packet(PACKET_PONG, 0, NOTHING))
        return undefined
      case PACKET_PONG:
        return undefined
      case PACKET_BYE:
        return this.onBye?.(decoder.decode(bytes))
      default:
        throw new IoreqError(
          'ERR_PROTOCOL',
          `unknown kind of packet ${kind}: both sides need one version of @retrap/ioreq/host`,
        )
    }
  }

  open(opening: Opening, received: number): void {
    this.socket.write(packet(PACKET_OPEN, received, encoder.encode(JSON.stringify(opening))))
  }
  accept(received: number): void {
    clearTimeout(this.#deadline)
    this.#isStranger = false
    this.socket.write(packet(PACKET_ACCEPT, received, NOTHING))
  }
  refuse(why: string, code: number = REFUSED.forOtherReasons): void {
    // Nothing more is read. The deadline ends a connection whose other side does not.
    this.socket.pause()
    this.socket.end(packet(PACKET_REFUSE, code, encoder.encode(why)))
  }
  ack(number: number): void {
    this.socket.write(packet(PACKET_ACK, number, NOTHING))
  }
  /** Sends what is left, says why there is no more, and closes. */
  finish(why: string): void {
    this.socket.end(packet(PACKET_BYE, 0, encoder.encode(why.slice(0, MAX_REASON))))
  }
}

function readOpening(text: string): Opening {
  let value: Partial<Record<keyof Opening, unknown>>
  try {
    value = JSON.parse(text) as typeof value
  } catch (cause) {
    throw new IoreqError('ERR_PROTOCOL', 'a connection does not say who it is', { cause })
  }
  const { session, name, token, resumes, attempt } = value
  if (typeof session !== 'string' || session === '' || typeof name !== 'string' || name === '') {
    throw new IoreqError('ERR_PROTOCOL', 'a connection does not say who it is')
  }
  return {
    session,
    name,
    token: typeof token === 'string' ? token : '',
    resumes: resumes === true,
    attempt: typeof attempt === 'number' ? attempt : 0,
  }
}
