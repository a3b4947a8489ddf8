import type { Socket } from 'node:net'
import { IoreqError } from '@retrap/ioreq'
import type { FrameLink, ProtocolStream } from '../protocol/link.ts'
import { ProtocolReader } from '../protocol/coding.ts'
import type { ProtocolFrame } from '../protocol/frame-table.ts'

/** The longest `introduce` or `hello`. Nothing longer is kept of a connection that has not been accepted. */
const MAX_OPENING_BYTES = 1 << 14
/** A connection is dead after this many looks at it without a byte. */
const SILENT_LOOKS = 3

/** A socket's address: of a Unix socket (or a named pipe), or of TCP. */
export type SocketAddress = { readonly path: string } | { readonly host?: string; readonly port: number }

/** Default of `aliveMs` with TLS, on either end. */
export const TLS_ALIVE_MS = 15_000
/** Default of `openMs`, on either end. */
export const OPEN_MS = 5000
/** Default of `reconnectMs`, on either end: with TLS there is a network between them. */
export const reconnectMsOf = ({ reconnectMs, tls }: { readonly reconnectMs?: number; readonly tls?: object }): number =>
  reconnectMs ?? (tls === undefined ? 5000 : 30_000)

/** A socket that carries the frames of a link. */
export class FrameSocket implements ProtocolStream {
  readonly socket: Socket
  #deadline: NodeJS.Timeout | undefined
  #looks: NodeJS.Timeout | undefined
  /** Looks since the last byte. */
  #silent = 0
  #paused = false
  /** Takes bytes; an error that it throws ends the connection. */
  onBytes: ((bytes: Uint8Array) => unknown) | null = null
  /** The connection is over; an error tells of bytes that were no frames. */
  onEnd: ((error: Error | null) => void) | null = null

  constructor(socket: Socket) {
    this.socket = socket
    socket.setNoDelay(true)
    socket.on('data', (bytes) => {
      this.#silent = 0
      try {
        this.onBytes?.(bytes)
      } catch (error) {
        socket.destroy()
        this.#end(error as Error)
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

  get backlog(): number {
    return this.socket.writableLength
  }

  write(bytes: Uint8Array): void {
    if (this.socket.writable) this.socket.write(bytes)
  }

  close(): void {
    this.socket.end()
  }

  /** Cuts the connection unless it is `opened` by then, even if the other end keeps it open. */
  openWithin(ms: number): void {
    clearTimeout(this.#deadline)
    this.#deadline = setTimeout(() => this.socket.destroy(), ms).unref()
  }

  /** Both ends have been identified. */
  opened(): void {
    clearTimeout(this.#deadline)
  }

  /**
   * Cuts the connection when no byte has come for `ms`, although the other end was pinged: half of a connection may be
   * lost silently. Looks are counted, not time, so that a stall of this process is not taken for one of the other.
   */
  keepAlive(ms: number, link: Pick<FrameLink, 'ping'>): void {
    this.#looks = setInterval(() => {
      if (this.#paused) return
      if (this.#silent >= SILENT_LOOKS) this.socket.destroy()
      else if (this.#silent++ > 0) link.ping()
    }, ms / SILENT_LOOKS).unref()
  }

  /** Reads nothing until `resume`; the other end is not taken for dead meanwhile. */
  pause(): void {
    this.#paused = true
    this.socket.pause()
  }
  resume(): void {
    this.#paused = false
    this.#silent = 0
    this.socket.resume()
  }

  #end(error: Error | null): void {
    const told = this.onEnd
    this.onEnd = null
    told?.(error)
  }
}

/** The first words of a machine on a connection. */
export interface Opening {
  /** The machine's introduction; null: none was sent. */
  readonly introduction: ProtocolFrame<'introduce'> | null
  readonly hello: ProtocolFrame<'hello'>
  /** Bytes received behind `hello`. */
  readonly rest: Uint8Array
}

/** Waits for the first frames of a machine. @param onOpen - an error that it throws ends the connection */
export function awaitOpening(frames: FrameSocket, onOpen: (opening: Opening) => void): void {
  const reader = new ProtocolReader(MAX_OPENING_BYTES)
  let introduction: Opening['introduction'] = null
  let hello: Opening['hello'] | undefined
  frames.onBytes = (chunk) => {
    reader.push(chunk, ({ frame }) => {
      if (frame.kind === 'hello') hello = frame
      else if (frame.kind === 'introduce' && introduction === null) introduction = frame
      else throw new IoreqError('ERR_PROTOCOL', `a ${frame.kind} frame where a connection is to say who it is`)
      return hello !== undefined
    })
    if (hello === undefined) return
    frames.onBytes = null
    onOpen({ introduction, hello, rest: reader.rest })
  }
}
