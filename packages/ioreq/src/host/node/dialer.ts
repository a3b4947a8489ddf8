import { randomUUID } from 'node:crypto'
import { createConnection, type Socket } from 'node:net'
import type { TLSSocket } from 'node:tls'
import { IoreqError } from '../../errors.ts'
import { OPEN_MS, PacketSocket, reconnectMsOf, REFUSED, type SocketAddress, TLS_ALIVE_MS } from './packet-socket.ts'
import { fingerprintOf, isTlsRefusal, tlsConnect, type TlsIdentity } from './tls.ts'
import { identityOf, type WatchedTlsFiles } from './watched-tls.ts'

/** How the end of a session that connects finds the one that listens. */
export interface DialOptions {
  /** Where the other end listens. */
  readonly address: SocketAddress
  /** Speaks TLS, as this end; TCP only. Default: plain bytes. */
  readonly tls?: TlsIdentity | WatchedTlsFiles
  /** The token that the other end asks for. */
  readonly token?: string
  /** For how long a lost connection is tried again, in milliseconds. Default 30,000 with TLS, else 5000. */
  readonly reconnectMs?: number
  /** How long one attempt may take, in milliseconds. Default 5000, and at most a quarter of `reconnectMs`. */
  readonly openMs?: number
  /**
   * After how many milliseconds without a byte, though the other end is asked, a connection is dead and made again.
   * Default 15,000 with TLS, and never without.
   */
  readonly aliveMs?: number
}

/** Why there will be no further attempt. */
export type DialEnd = 'unreachable' | 'refused' | 'restarted' | 'ended'

/** An address that may be wrong: the first connection has one attempt. */
export interface DialHint {
  /** A name that the other end's certificate must have, unless the identity has others. */
  readonly peer: string
  /** The certificate of the other end at the first connection, as SHA-256. */
  readonly fingerprint: string
}

/** The session that a {@link Dialer} connects. */
export interface DialedSession {
  /** Names this end to the other one. */
  readonly name: string
  /** Where the address was found by a hint of others. */
  readonly hint?: DialHint
  /** Number of the last frame that has arrived. */
  received(): number
  /** Goes on over a new connection. May throw: there is no further attempt then. */
  connected(packets: PacketSocket, peerReceived: number): void
  /** There will be no further attempt. */
  ended(how: DialEnd, error: Error): void
}

/** Between two attempts, in milliseconds: doubled each time, so that a peer that returns is not overrun. */
const RETRY_MS = 50
const MOST_RETRY_MS = 1000

/** Connects a session, and connects it again when the connection has been lost. */
export class Dialer {
  readonly #options: DialOptions
  readonly #session: DialedSession
  readonly #id = randomUUID()
  #attempt = 0
  #wasOpen = false
  #lostAt = 0
  #retryMs = RETRY_MS
  #ended = false
  #packets: PacketSocket | null = null
  #timer: NodeJS.Timeout | undefined
  /** Why the last attempt failed. */
  #why = ''

  /** @throws IoreqError `ERR_INVALID` for TLS over a path */
  constructor(options: DialOptions, session: DialedSession) {
    if (options.tls !== undefined && 'path' in options.address)
      throw new IoreqError('ERR_INVALID', `TLS at ${options.address.path}: expected a host and a port`)
    this.#options = options
    this.#session = session
  }

  /** Whether there has been a connection. */
  get wasOpen(): boolean {
    return this.#wasOpen
  }

  /** Begins, at first and after a connection was lost. */
  dial(): void {
    this.#lostAt = performance.now()
    this.#retryMs = RETRY_MS
    if (this.#wasOpen) this.#retry()
    else this.#connect()
  }

  /** Makes no further attempt. */
  close(): void {
    this.#ended = true
    clearTimeout(this.#timer)
    this.#packets?.socket.destroy()
  }

  #end(how: DialEnd, error: Error): void {
    if (this.#ended) return
    this.close()
    this.#session.ended(how, error)
  }

  get #reconnectMs(): number {
    return reconnectMsOf(this.#options)
  }

  #connect(): void {
    if (this.#ended) return
    const {
      tls,
      token = '',
      openMs = Math.min(OPEN_MS, this.#reconnectMs / 4),
      aliveMs = tls === undefined ? 0 : TLS_ALIVE_MS,
    } = this.#options
    let socket: Socket
    try {
      socket = this.#socket()
    } catch (error) {
      return this.#end('refused', error as Error)
    }
    const packets = new PacketSocket(socket)
    this.#packets = packets
    packets.openWithin(Math.max(RETRY_MS, Math.min(openMs, this.#lostAt + this.#reconnectMs - performance.now())))
    const { name, hint } = this.#session
    socket.on('error', (error) => {
      this.#why = error.message
      // A certificate that is not trusted fails at once. Later another host may have answered: the right one has time to return.
      if (tls !== undefined && !this.#wasOpen && isTlsRefusal(error))
        this.#end('refused', new IoreqError('ERR_PERMISSION', `no TLS connection to ${this.#where}: ${error.message}`))
    })
    packets.onEnd = (error) => (error === null ? this.#retry() : this.#end('refused', error))
    packets.onRefuse = (why, code) => this.#refused(why, code)
    packets.onAccept = (received) => {
      this.#wasOpen = true
      this.#packets = null
      if (aliveMs > 0) packets.keepAlive(aliveMs)
      try {
        this.#session.connected(packets, received)
      } catch (error) {
        packets.socket.destroy()
        this.#end('refused', error as Error)
      }
    }
    socket.once(tls === undefined ? 'connect' : 'secureConnect', () => {
      if (hint !== undefined && !this.#wasOpen && fingerprintOf(socket as TLSSocket) !== hint.fingerprint) {
        const what = `${this.#where} has another certificate than was announced`
        return this.#end('refused', new IoreqError('ERR_PERMISSION', what))
      }
      const attempt = ++this.#attempt
      packets.open({ session: this.#id, name, token, resumes: this.#wasOpen, attempt }, this.#session.received())
    })
  }

  #socket(): Socket {
    const { address, tls } = this.#options
    if ('path' in address) return createConnection(address)
    const { port, host = '127.0.0.1' } = address
    return tls === undefined
      ? createConnection({ port, host })
      : tlsConnect(identityOf(tls), host, port, this.#session.hint?.peer)
  }

  get #where(): string {
    const { address } = this.#options
    return 'path' in address ? address.path : `${address.host ?? '127.0.0.1'}:${address.port}`
  }

  #refused(why: string, code: number): void {
    if (code === REFUSED.oldAttempt) return
    if (code === REFUSED.unknownSession) {
      const what = `${this.#where} does not know this session: it was started anew, and what its end held is lost`
      this.#end('restarted', new IoreqError('ERR_DEVICE', what))
    } else if (code === REFUSED.endedSession) this.#end('ended', new IoreqError('ERR_DEVICE', why))
    else this.#end('refused', new IoreqError('ERR_PERMISSION', `${this.#where} refused: ${why}`))
  }

  #retry(): void {
    if (this.#ended) return
    const isHint = this.#session.hint !== undefined && !this.#wasOpen
    if (isHint || performance.now() - this.#lostAt > this.#reconnectMs) {
      const why = this.#why === '' ? '' : ` (${this.#why})`
      const what = this.#wasOpen
        ? `the connection was lost and not made again within ${this.#reconnectMs} ms`
        : `${this.#where} cannot be reached`
      this.#end('unreachable', new IoreqError(this.#wasOpen ? 'ERR_DEVICE' : 'ERR_NOT_FOUND', `${what}${why}`))
      return
    }
    this.#timer = setTimeout(() => this.#connect(), this.#retryMs)
    this.#retryMs = Math.min(2 * this.#retryMs, MOST_RETRY_MS)
  }
}
