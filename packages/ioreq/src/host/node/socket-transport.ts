import type { IoDispatch } from '../../dispatch.ts'
import { IoreqError } from '../../errors.ts'
import { FramedRemote } from '../framed-server.ts'
import type { DevicePlatform } from '../index.ts'
import type { RemoteServer, RemoteServerOptions } from '../remote-server.ts'
import type { PacketSocket } from './packet-socket.ts'
import { Session } from './session.ts'

/** The options of a {@link SocketTransport}. */
interface SocketTransportOptions extends RemoteServerOptions {
  /** How long the server may be without a connection before it has failed, in milliseconds. */
  readonly reconnectMs: number
  /** Makes another connection when one is lost, within its own time. Default: one is waited for. */
  redial?(): void
}

/**
 * The hypervisor's end of a device server in another process: requests go out as frames and come back as frames. Their frames
 * survive the loss of a connection, within `reconnectMs`.
 */
export class SocketTransport {
  /** The hypervisor's end of the server. */
  readonly remote: RemoteServer
  readonly #session: Session
  readonly #reconnectMs: number
  readonly #redial: (() => void) | undefined
  readonly #framed: FramedRemote
  #timer: NodeJS.Timeout | undefined
  #draining = false

  /** @internal */
  constructor(dispatch: IoDispatch, platform: DevicePlatform, options: SocketTransportOptions) {
    this.#redial = options.redial?.bind(options)
    this.#reconnectMs = options.reconnectMs
    const session = new Session(
      (frame) => this.#framed.receive(frame),
      (error) => this.#lost(error),
      (why) => this.remote.failed(new IoreqError('ERR_DEVICE', why || 'the other side has ended the server')),
    )
    this.#session = session
    this.#framed = new FramedRemote(
      dispatch,
      platform,
      {
        get writable() {
          return session.writable
        },
        send: (frame) => session.send(frame),
        lags: () => this.#drain(),
        close: () => {
          clearTimeout(this.#timer)
          session.close()
        },
      },
      options,
    )
    this.remote = this.#framed.remote
  }

  /** Whether there is a connection at this moment. */
  get connected(): boolean {
    return this.#session.connected
  }

  /** False: the other process lags behind what is posted to it. Wait for `drained`. */
  get writable(): boolean {
    return this.#session.writable
  }

  /** Settles when the other process has taken what was posted. */
  drained(): Promise<void> {
    return this.#session.drained()
  }

  /** Ends the server. */
  close(): void {
    this.remote.close()
  }

  /** @internal Packets taken from the other process. */
  get received(): number {
    return this.#session.received
  }

  /** @internal Goes on over a new connection. */
  connect(socket: PacketSocket, peerReceived: number): void {
    clearTimeout(this.#timer)
    this.#session.connect(socket, peerReceived)
  }

  #lost(error: Error | null): void {
    if (error !== null) {
      this.remote.failed(error)
      return
    }
    if (this.#redial !== undefined) {
      this.#redial()
      return
    }
    this.#timer = setTimeout(() => {
      const what = `the connection was lost and not made again within ${this.#reconnectMs} ms`
      this.remote.failed(new IoreqError('ERR_DEVICE', what))
    }, this.#reconnectMs)
  }

  /** Sends what has stayed in the ring when the other process has taken what was sent. */
  #drain(): void {
    // Of a session that has ended nothing drains.
    if (this.#draining || this.#session.closed) return
    this.#draining = true
    void this.#session.drained().then(() => {
      this.#draining = false
      this.#framed.sendBuffered(false)
    })
  }
}
