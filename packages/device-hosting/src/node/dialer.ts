import { randomInt } from 'node:crypto'
import { createConnection, type Socket } from 'node:net'
import type { TLSSocket } from 'node:tls'
import { IoreqError } from '@retrap/ioreq'
import type { ProtocolFrame } from '../protocol/frame-table.ts'
import { MachineLink, type MachineLinkOptions, randomSession } from '../protocol/link.ts'
import { FrameSocket, OPEN_MS, reconnectMsOf, type SocketAddress, TLS_ALIVE_MS } from './frame-socket.ts'
import { fingerprintOf, isTlsRefusal, tlsConnect, type TlsIdentity } from './tls.ts'
import { identityOf, type WatchedTlsFiles } from './watched-tls.ts'

/** Address and limits for the end that connects. */
export interface DialOptions {
  /** The address at which the other end listens. */
  readonly address: SocketAddress
  /** Speaks TLS, as this end; TCP only. Default: plain bytes. */
  readonly tls?: TlsIdentity | WatchedTlsFiles
  /** The token that the other end asks for. */
  readonly token?: string
  /** For how long a lost connection is tried again, in milliseconds. Default 30,000 with TLS, else 5000. */
  readonly reconnectMs?: number
  /** Time limit for one attempt, in milliseconds. Default 5000, and at most a quarter of `reconnectMs`. */
  readonly openMs?: number
  /**
   * After how many milliseconds without a byte, though the other end is asked, a connection is dead and made again.
   * Default 15,000 with TLS, and never without.
   */
  readonly aliveMs?: number
}

/** An address that may be wrong: the first connection has one attempt. */
export interface DialHint {
  /** A name that the other end's certificate must have, unless the identity has others. */
  readonly peer: string
  /** The certificate of the other end at the first connection, as SHA-256. */
  readonly fingerprint: string
}

/** The session that a {@link Dialer} connects. */
export interface DialedSession extends Pick<MachineLinkOptions, 'realTime' | 'now' | 'onFrame'> {
  /** Names the machine to the other end. */
  readonly name: string
  /** Present where a directory gave the address. */
  readonly hint?: DialHint
  /** Called with each connection. If it throws, there is no further attempt. */
  opened(): void
  /** There will be no further attempt. */
  ended(error: IoreqError): void
}

/** Delay between two attempts, in milliseconds: doubled each time, so that a peer that returns is not overrun. */
const RETRY_MS = 50
const MOST_RETRY_MS = 1000

/** Connects a machine to a server of models, and connects it again when the connection has been lost. */
export class Dialer {
  /** The machine's end of the session. */
  readonly link: MachineLink
  readonly #options: DialOptions
  readonly #session: DialedSession
  #attempt = 0
  #lostAt = 0
  #retryMs = RETRY_MS
  #ended = false
  /** A connection on which the other end has not sent `welcome`. */
  #pending: FrameSocket | null = null
  #timer: NodeJS.Timeout | undefined
  /** The reason why the last attempt failed. */
  #why = ''

  /** @throws IoreqError `ERR_INVALID` for TLS over a path */
  constructor(options: DialOptions, session: DialedSession) {
    if (options.tls !== undefined && 'path' in options.address)
      throw new IoreqError('ERR_INVALID', `TLS at ${options.address.path}: expected a host and a port`)
    this.#options = options
    this.#session = session
    this.link = new MachineLink({
      // A session is not to be guessed.
      session: randomSession(() => randomInt(2 ** 32)),
      ...{ realTime: session.realTime, hostsModels: true },
      now: () => session.now(),
      onFrame: (frame) => session.onFrame(frame),
      onOpen: () => this.#opened(),
      onFailed: (error) => this.#failed(error),
    })
  }

  /** Begins, at first and after a connection was lost. */
  dial(): void {
    this.#lostAt = performance.now()
    this.#retryMs = RETRY_MS
    if (this.link.isOpen) this.#retry()
    else this.#connect()
  }

  /** Ends the session, and makes no further attempt. */
  close(): void {
    this.#ended = true
    clearTimeout(this.#timer)
    this.#pending?.socket.destroy()
    this.link.close()
  }

  #end(error: IoreqError): void {
    if (this.#ended) return
    this.close()
    this.#session.ended(error)
  }

  /** The link is over: the other end has refused the machine, or ended the session, or does not keep to the protocol. */
  #failed(error: IoreqError): void {
    const isRefusal = this.link.hasSaidBye && !this.link.isOpen
    this.#end(isRefusal ? new IoreqError('ERR_PERMISSION', `${this.#where} refused: ${error.message}`) : error)
  }

  get #reconnectMs(): number {
    return reconnectMsOf(this.#options)
  }

  #connect(): void {
    if (this.#ended) return
    const { tls, token = '', openMs = Math.min(OPEN_MS, this.#reconnectMs / 4) } = this.#options
    let socket: Socket
    try {
      socket = this.#socket()
    } catch (error) {
      return this.#end(error as IoreqError)
    }
    const frames = new FrameSocket(socket)
    this.#pending = frames
    frames.openWithin(Math.max(RETRY_MS, Math.min(openMs, this.#lostAt + this.#reconnectMs - performance.now())))
    const { name, hint } = this.#session
    socket.on('error', (error) => {
      this.#why = error.message
      // A certificate that is not trusted fails at once. Later another host may have answered: the right one has time to return.
      if (tls !== undefined && !this.link.isOpen && isTlsRefusal(error))
        this.#end(new IoreqError('ERR_PERMISSION', `no TLS connection to ${this.#where}: ${error.message}`))
    })
    frames.onBytes = (bytes) => this.link.receive(bytes)
    frames.onEnd = () => {
      const wasConnected = this.link.isConnected
      this.link.disconnected(frames)
      if (wasConnected) this.dial()
      else this.#retry()
    }
    socket.once(tls === undefined ? 'connect' : 'secureConnect', () => {
      if (hint !== undefined && !this.link.isOpen && fingerprintOf(socket as TLSSocket) !== hint.fingerprint) {
        const what = `${this.#where} has another certificate than was announced`
        return this.#end(new IoreqError('ERR_PERMISSION', what))
      }
      this.#why = 'it has closed the connection without a word: is the same version of retrap at both ends?'
      const introduction: ProtocolFrame<'introduce'> = { kind: 'introduce', name, token, attempt: ++this.#attempt }
      this.link.connect(frames, introduction)
    })
  }

  #opened(): void {
    const { tls, aliveMs = tls === undefined ? 0 : TLS_ALIVE_MS } = this.#options
    this.#why = ''
    this.#pending?.opened()
    if (aliveMs > 0) this.#pending?.keepAlive(aliveMs, this.link)
    this.#pending = null
    this.#session.opened()
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

  #retry(): void {
    if (this.#ended) return
    const wasOpen = this.link.isOpen
    if ((this.#session.hint !== undefined && !wasOpen) || performance.now() - this.#lostAt > this.#reconnectMs) {
      const why = this.#why === '' ? '' : ` (${this.#why})`
      const what = wasOpen
        ? `the connection was lost and not made again within ${this.#reconnectMs} ms`
        : `${this.#where} cannot be reached`
      this.#end(new IoreqError(wasOpen ? 'ERR_DEVICE' : 'ERR_NOT_FOUND', `${what}${why}`))
      return
    }
    this.#timer = setTimeout(() => this.#connect(), this.#retryMs)
    this.#retryMs = Math.min(2 * this.#retryMs, MOST_RETRY_MS)
  }
}
