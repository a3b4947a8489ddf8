import { timingSafeEqual } from 'node:crypto'
import { createServer, type Server, type Socket } from 'node:net'
import type { Server as TlsServer, TLSSocket } from 'node:tls'
import { IoreqError } from '@retrap/ioreq'
import { checkVersion, type ServerLink } from '../protocol/link.ts'
import { encodeProtocolFrame } from '../protocol/coding.ts'
import { awaitOpening, FrameSocket, OPEN_MS, type Opening, type SocketAddress, TLS_ALIVE_MS } from './frame-socket.ts'
import { contextOptions, partyOf, type TlsIdentity, tlsServer, whyNotTrusted } from './tls.ts'
import { identityOf, WatchedTlsFiles } from './watched-tls.ts'

/** Address and limits of the end that listens. */
export interface ListenOptions {
  /** The address to listen at. */
  readonly address: SocketAddress
  /** The token that the other ends must know. Default: nothing; who reaches the socket may connect. */
  readonly token?: string
  /** Speaks TLS, as this end; TCP only. Default: plain bytes. */
  readonly tls?: TlsIdentity | WatchedTlsFiles
  /** Time limit for a connection's identification, in milliseconds; then it is cut. Default 5000. */
  readonly openMs?: number
  /**
   * After how many milliseconds without a byte, though the other end is asked, a connection is dead and cut. Default 15,000
   * with TLS, and never without.
   */
  readonly aliveMs?: number
  /** Called for each connection that is turned away, with its source and the reason. There may be many of them. */
  onRefused?(from: string, why: string): void
}

/** The server's end of a session. */
export interface Conversation {
  /** The frames of the session. */
  readonly link: ServerLink
  /** Goes on over a new connection. */
  connect(frames: FrameSocket, opening: Opening): void
}

interface Known {
  readonly conversation: Conversation
  /** Whom the session belongs to, of `partyOf`; empty without TLS. */
  readonly party: string
  attempt: number
}

/** Most connections at a time that have not been identified. */
const MAX_STRANGERS = 16
/** Ended sessions that are remembered; any other one is taken for a session before a restart. */
const MAX_ENDED = 64
/** Time limit for the last frames, in milliseconds, before a connection is cut. */
const LAST_FRAMES_MS = 100

/**
 * Listens for the connections of sessions. Until a connection has said who it is, it has a few kibibytes and little time; with
 * TLS nothing of it is read before its certificate is trusted.
 */
export class FrameListener {
  readonly #server: Server
  readonly #tls: TlsServer | null
  readonly #options: ListenOptions
  readonly #create: (name: string, session: string) => Conversation
  readonly #known = new Map<string, Known>()
  /** Sessions that have ended while there may have been no connection to say so, the oldest first, and why. */
  readonly #ended = new Map<string, string>()
  readonly #sockets = new Set<Socket>()
  /** Connections that have not been accepted, the oldest first, by their sources. */
  readonly #strangers = new Map<string, Socket>()
  /** Time limits of TLS handshakes. */
  readonly #handshakes = new Map<Socket, NodeJS.Timeout>()
  #connections = 0
  /** Ends the reaction to files that change. */
  #unwatch: () => void = () => {}

  private constructor(options: ListenOptions, create: (name: string, session: string) => Conversation) {
    const { tls, address } = options
    if (tls !== undefined && 'path' in address)
      throw new IoreqError('ERR_INVALID', `TLS at ${address.path}: expected a host and a port`)
    this.#options = options
    this.#create = create
    this.#server = createServer((socket) => this.#connection(socket))
    this.#tls =
      tls === undefined ? null : tlsServer(identityOf(tls), (socket) => this.#secured(socket, identityOf(tls)))
    if (tls instanceof WatchedTlsFiles)
      this.#unwatch = tls.onChange((now, before) => {
        this.#tls?.setSecureContext(contextOptions(now))
        // A peer that is no longer trusted must not stay. The others connect again, and lose nothing.
        if (now.ca !== before.ca || now.crl !== before.crl) for (const socket of this.#sockets) socket.destroy()
      })
  }

  /**
   * Starts to listen. TCP without a host is the loopback interface.
   *
   * @param create - makes this end of a new session; an error that it throws refuses the session
   */
  static async listen(
    options: ListenOptions,
    create: (name: string, session: string) => Conversation,
  ): Promise<FrameListener> {
    const listener = new FrameListener(options, create)
    const { address } = options
    await new Promise<void>((resolve, reject) => {
      const server = listener.#server
      server.once('error', reject)
      const where = 'path' in address ? address : { port: address.port, host: address.host ?? '127.0.0.1' }
      server.listen(where, () => {
        server.off('error', reject)
        server.on('error', () => {})
        resolve()
      })
    })
    return listener
  }

  /** The address that it listens at: port 0 has become a real one. */
  get address(): SocketAddress {
    const address = this.#server.address()
    if (typeof address === 'string' || address === null) return this.#options.address
    return { host: address.address, port: address.port }
  }

  /** A session has ended and cannot be resumed. @param why - for a peer that tries; may be empty */
  forget(session: string, why = ''): void {
    this.#known.delete(session)
    this.#ended.set(session, why)
    if (this.#ended.size <= MAX_ENDED) return
    const [oldest] = this.#ended.keys()
    if (oldest !== undefined) this.#ended.delete(oldest)
  }

  /** Stops to listen. Connections stay, unless `all`: their last frames go out, and a peer that does not take them is cut. */
  async close(all: boolean): Promise<void> {
    this.#unwatch()
    const closed = new Promise<void>((resolve) => this.#server.close(() => resolve()))
    if (!all) return
    // A connection that is refused is not read, and would not keep the process until its end.
    for (const socket of this.#sockets) setTimeout(() => socket.destroy(), LAST_FRAMES_MS)
    await closed
  }

  #connection(socket: Socket): void {
    this.#sockets.add(socket)
    socket.on('error', () => {})
    // The oldest unidentified connection makes room: it has had the most time for its introduction.
    if (this.#strangers.size >= MAX_STRANGERS) {
      const [[oldest, stranger]] = this.#strangers as unknown as [[string, Socket]]
      this.#strangers.delete(oldest)
      stranger.destroy()
    }
    const from = sourceOf(socket) ?? `connection ${++this.#connections}`
    this.#strangers.set(from, socket)
    socket.on('close', () => {
      this.#sockets.delete(socket)
      clearTimeout(this.#handshakes.get(socket))
      this.#handshakes.delete(socket)
      if (this.#strangers.get(from) === socket) this.#strangers.delete(from)
    })
    if (this.#tls === null) this.#greet(socket, from, '')
    else {
      // Documented: a TLS server takes a connection that its owner has accepted.
      this.#tls.emit('connection', socket)
      const { openMs = OPEN_MS } = this.#options
      this.#handshakes.set(
        socket,
        setTimeout(() => socket.destroy(), openMs),
      )
    }
  }

  /** A handshake is over; the certificate is not trusted yet. */
  #secured(socket: TLSSocket, tls: TlsIdentity): void {
    socket.on('error', () => {})
    const from = sourceOf(socket)
    // The connection has been cut meanwhile.
    const raw = from === null ? undefined : this.#strangers.get(from)
    if (from === null || raw === undefined) return void socket.destroy()
    // From now on a connection's frames have a time limit of their own.
    clearTimeout(this.#handshakes.get(raw))
    // Node leaves the TCP connection below open, and counts it.
    socket.on('close', () => raw.destroy())
    const why = whyNotTrusted(socket, tls)
    if (why === null) this.#greet(socket, from, partyOf(socket))
    else this.#refuse(new FrameSocket(socket), from, why)
  }

  #greet(socket: Socket, from: string, party: string): void {
    const frames = new FrameSocket(socket)
    frames.openWithin(this.#options.openMs ?? OPEN_MS)
    frames.onEnd = (error) =>
      error !== null && this.#options.onRefused?.(from, `${error.message}: is the same version of retrap at both ends?`)
    awaitOpening(frames, (opening) => {
      const why = this.#open(frames, opening, party)
      if (why === null) this.#strangers.delete(from)
      else this.#refuse(frames, from, why)
    })
  }

  #refuse(frames: FrameSocket, from: string, why: string): void {
    this.#options.onRefused?.(from, why)
    frames.openWithin(this.#options.openMs ?? OPEN_MS)
    // Nothing more is read. The deadline ends a connection whose other side does not.
    frames.pause()
    frames.write(encodeProtocolFrame({ kind: 'bye', why }))
    frames.close()
  }

  /** The reason why a connection is refused; null if it is not. */
  #open(frames: FrameSocket, opening: Opening, party: string): string | null {
    const { introduction, hello } = opening
    if (introduction === null || introduction.name === '') return 'a connection does not say who it is'
    if (!sameText(introduction.token, this.#options.token ?? '')) return 'the token is wrong'
    const { attempt, name } = introduction
    const session = `${hello.session.hi}:${hello.session.lo}`
    let known = this.#known.get(session)
    try {
      checkVersion(hello)
      if (known === undefined) {
        const ended = this.#ended.get(session)
        if (ended !== undefined) return ended || 'the other side has ended the server'
        if (hello.received > 0)
          return 'there is no such session to go on with: it was started anew, and has lost its state'
        known = { conversation: this.#create(name, session), party, attempt }
        this.#known.set(session, known)
      }
    } catch (error) {
      return error instanceof Error ? error.message : String(error)
    }
    if (known.party !== party) return 'the session belongs to another certificate'
    // The peer has given this connection up, and made another: the number of frames in its hello is no longer true.
    if (attempt < known.attempt) return 'there is a later connection'
    known.attempt = attempt
    frames.opened()
    const { aliveMs = this.#tls === null ? 0 : TLS_ALIVE_MS } = this.#options
    if (aliveMs > 0) frames.keepAlive(aliveMs, known.conversation.link)
    known.conversation.connect(frames, opening)
    return null
  }
}

/** Names the source of a connection uniquely at this time; null: a Unix socket, or a closed connection. */
function sourceOf({ remoteAddress, remotePort }: Socket): string | null {
  return remoteAddress === undefined ? null : `${remoteAddress}:${remotePort}`
}

function sameText(a: string, b: string): boolean {
  const encoder = new TextEncoder()
  const [x, y] = [encoder.encode(a), encoder.encode(b)]
  return x.length === y.length && timingSafeEqual(x, y)
}
