import { createServer, type Server, type Socket } from 'node:net'
import { timingSafeEqual } from 'node:crypto'
import { createIoRequest, type IoDispatch, IoreqError } from '@retrap/ioreq'
import type { Frame } from '../frames.ts'
import { RemoteServer, type RemoteServerOptions } from '../remote-server.ts'
import type { DevicePlatform } from '../index.ts'
import { PacketSocket, Session, type Opening } from './session.ts'

/** Where a socket is: a Unix socket (or a named pipe), or TCP. */
export type SocketAddress = { readonly path: string } | { readonly host?: string; readonly port: number }

/** The options of a {@link DeviceListener}. */
export interface DeviceListenerOptions {
  /** Where to listen. */
  readonly address: SocketAddress
  /** The token that device processes must know. Default: nothing; who reaches the socket may serve. */
  readonly token?: string
  /** How long a server may be without a connection before it has failed, in milliseconds. Default 5000. */
  readonly reconnectMs?: number
  /** How long a connection may take to say who it is, in milliseconds; then it is cut. Default 5000. */
  readonly openMs?: number
  /** Whether the platform's clock runs on by itself. Default true. */
  readonly realTime?: boolean
  /** Takes messages of a server's models to the machine's maker. */
  onMessage?(transport: SocketTransport, bytes: Uint8Array): void
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
  readonly #vcpus: number
  /** Number of the request that each vCPU waits for; 0: none. */
  readonly #open: Uint32Array
  #sequence = 0
  #timer: NodeJS.Timeout | undefined
  #draining = false

  /** @internal */
  constructor(
    dispatch: IoDispatch,
    platform: DevicePlatform,
    options: RemoteServerOptions & { readonly reconnectMs: number },
  ) {
    this.#reconnectMs = options.reconnectMs
    this.#vcpus = dispatch.vcpus
    this.#open = new Uint32Array(dispatch.vcpus)
    this.#session = new Session(
      (frame) => this.#receive(frame),
      (error) => this.#lost(error),
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

/** Connections at a time that have not said who they are. */
const MAX_STRANGERS = 16

/** Waits for device processes on a socket, and makes a server of the domain of each that connects. */
export class DeviceListener {
  readonly #server: Server
  readonly #dispatch: IoDispatch
  readonly #platform: DevicePlatform
  readonly #options: DeviceListenerOptions
  readonly #transports = new Map<string, SocketTransport>()
  readonly #accepted: SocketTransport[] = []
  readonly #waiting: ((transport: SocketTransport) => void)[] = []
  readonly #sockets = new Set<Socket>()
  /** Connections that have not been accepted, the oldest first. */
  readonly #strangers = new Set<PacketSocket>()

  private constructor(dispatch: IoDispatch, platform: DevicePlatform, options: DeviceListenerOptions) {
    this.#dispatch = dispatch
    this.#platform = platform
    this.#options = options
    this.#server = createServer((socket) => this.#connection(socket))
  }

  /** Starts to listen. TCP without a host is the loopback interface. */
  static async listen(
    dispatch: IoDispatch,
    platform: DevicePlatform,
    options: DeviceListenerOptions,
  ): Promise<DeviceListener> {
    const listener = new DeviceListener(dispatch, platform, options)
    const { address } = options
    await new Promise<void>((resolve, reject) => {
      listener.#server.once('error', reject)
      const where = 'path' in address ? address : { port: address.port, host: address.host ?? '127.0.0.1' }
      listener.#server.listen(where, () => {
        listener.#server.off('error', reject)
        listener.#server.on('error', () => {})
        resolve()
      })
    })
    return listener
  }

  /** Where the listener listens: of use where port 0 was asked for. */
  get address(): SocketAddress {
    const address = this.#server.address()
    if (typeof address === 'string' || address === null) return this.#options.address
    return { host: address.address, port: address.port }
  }

  /** The next server that connects; `transport.remote.ready` tells when its models are there. */
  accept(): Promise<SocketTransport> {
    const next = this.#accepted.shift()
    if (next !== undefined) return Promise.resolve(next)
    return new Promise((resolve) => this.#waiting.push(resolve))
  }

  #connection(socket: Socket): void {
    this.#sockets.add(socket)
    socket.on('close', () => this.#sockets.delete(socket))
    const packets = new PacketSocket(socket)
    // The oldest of them has had the most time to say who it is.
    const [oldest] = this.#strangers
    if (oldest !== undefined && this.#strangers.size >= MAX_STRANGERS) {
      this.#strangers.delete(oldest)
      oldest.destroy()
    }
    this.#strangers.add(packets)
    socket.on('close', () => this.#strangers.delete(packets))
    packets.awaitOpening(this.#options.openMs ?? 5000)
    packets.onOpen = (opening, received) => {
      packets.onOpen = null
      const why = this.#open(packets, opening, received)
      if (why !== null) packets.refuse(why)
    }
  }

  /** Why a connection is refused; null if it is not. */
  #open(packets: PacketSocket, opening: Opening, received: number): string | null {
    if (!sameText(opening.token, this.#options.token ?? '')) return 'the token is wrong'
    let transport = this.#transports.get(opening.session)
    if (transport === undefined) {
      if (opening.resumes) return `there is no session ${opening.session} to go on with`
      try {
        transport = this.#create(opening)
      } catch (error) {
        return error instanceof Error ? error.message : String(error)
      }
    }
    this.#strangers.delete(packets)
    packets.accept(transport.received)
    transport.connect(packets, received)
    return null
  }

  #create({ session, name }: Opening): SocketTransport {
    const { realTime, reconnectMs = 5000 } = this.#options
    const transport: SocketTransport = new SocketTransport(this.#dispatch, this.#platform, {
      name,
      reconnectMs,
      ...(realTime !== undefined && { realTime }),
      onMessage: (bytes) => this.#options.onMessage?.(transport, bytes),
      onClosed: () => void this.#transports.delete(session),
    })
    this.#transports.set(session, transport)
    const waiting = this.#waiting.shift()
    if (waiting === undefined) this.#accepted.push(transport)
    else waiting(transport)
    return transport
  }

  /** Stops to listen. Servers that are connected stay, unless `all`. */
  async close(all = true): Promise<void> {
    if (all) for (const transport of this.#transports.values()) transport.close()
    const closed = new Promise<void>((resolve) => this.#server.close(() => resolve()))
    if (all) {
      // The last frames are on their way; a peer that does not take them is cut off.
      for (const socket of this.#sockets) setTimeout(() => socket.destroy(), 100).unref()
    }
    await (all ? closed : undefined)
  }
}

function sameText(a: string, b: string): boolean {
  const encoder = new TextEncoder()
  const [x, y] = [encoder.encode(a), encoder.encode(b)]
  return x.length === y.length && timingSafeEqual(x, y)
}
