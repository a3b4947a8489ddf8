import type { IoDispatch } from '../../dispatch.ts'
import { IoreqError } from '../../errors.ts'
import { createIoRequest } from '../../request.ts'
import type { Frame } from '../frames.ts'
import type { DevicePlatform } from '../index.ts'
import { RemoteServer, type RemoteServerOptions } from '../remote-server.ts'
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
  readonly #vcpus: number
  /** Number of the request that each vCPU waits for; 0: none. */
  readonly #open: Uint32Array
  #sequence = 0
  #timer: NodeJS.Timeout | undefined
  #draining = false

  /** @internal */
  constructor(dispatch: IoDispatch, platform: DevicePlatform, options: SocketTransportOptions) {
    this.#redial = options.redial?.bind(options)
    this.#reconnectMs = options.reconnectMs
    this.#vcpus = dispatch.vcpus
    this.#open = new Uint32Array(dispatch.vcpus)
    this.#session = new Session(
      (frame) => this.#receive(frame),
      (error) => this.#lost(error),
      (why) => this.remote.failed(new IoreqError('ERR_DEVICE', why || 'the other side has ended the server')),
    )
    this.remote = new RemoteServer(
      dispatch,
      platform,
      {
        send: (frame) => this.#session.send(frame),
        notify: (vcpu) => this.#notify(vcpu),
        notifyBuffered: () => this.#sendBuffered(false),
        close: () => {
          clearTimeout(this.#timer)
          this.#session.close()
        },
      },
      options,
    )
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

  #notify(vcpu: number): void {
    this.#sendBuffered(true)
    const request = createIoRequest()
    const { server } = this.remote
    if (!server.slot(vcpu).accept(request)) return
    this.#sequence = (this.#sequence % 0xffff_ffff) + 1
    this.#open[vcpu] = this.#sequence
    this.#session.send({ kind: 'request', vcpu, sequence: this.#sequence, now: this.remote.now(), request })
  }

  /** Writes that nobody waits for stay in the ring while the other process lags; a request takes them all along. */
  #sendBuffered(all: boolean): void {
    const { ring } = this.remote.server
    const request = createIoRequest()
    while (all || this.#session.writable) {
      if (ring === null || !ring.consume(request)) return
      this.#session.send({ kind: 'buffered', now: this.remote.now(), request })
    }
    // Of a session that has ended nothing drains.
    if (this.#draining || this.#session.closed) return
    this.#draining = true
    void this.#session.drained().then(() => {
      this.#draining = false
      this.#sendBuffered(false)
    })
  }

  #receive(frame: Frame): void {
    if (frame.kind === 'answer') {
      const { vcpu, sequence, lo, hi } = frame
      if (vcpu >= this.#vcpus || this.#open[vcpu] !== sequence) {
        throw new IoreqError('ERR_PROTOCOL', `request ${sequence} of vCPU ${vcpu} was answered, and is not open`)
      }
      this.#open[vcpu] = 0
      this.remote.server.slot(vcpu).answer(lo, hi)
      this.remote.server.answered(vcpu)
      return
    }
    if (frame.kind === 'fault' && frame.vcpu < this.#vcpus) this.#open[frame.vcpu] = 0
    this.remote.take(frame)
  }
}
