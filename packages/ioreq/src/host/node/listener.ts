import type { IoDispatch } from '../../dispatch.ts'
import type { DevicePlatform } from '../index.ts'
import { type ListenOptions, PacketListener } from './packet-listener.ts'
import { type Opening, reconnectMsOf, type SocketAddress } from './packet-socket.ts'
import { SocketTransport } from './socket-transport.ts'

/** The options of a {@link DeviceListener}. The token is what device processes must know. */
export interface DeviceListenerOptions extends ListenOptions {
  /** How long a server may be without a connection before it has failed, in milliseconds. Default 30,000 with TLS, else 5000. */
  readonly reconnectMs?: number
  /** Whether the platform's clock runs on by itself. Default true. */
  readonly realTime?: boolean
  /** See `RemoteServerOptions`. */
  readonly mayOverlap?: boolean
  /** Takes messages of a server's models to the machine's maker. */
  onMessage?(transport: SocketTransport, bytes: Uint8Array): void
}

/** Waits for device processes on a socket, and makes a server of the domain of each that connects. */
export class DeviceListener {
  readonly #dispatch: IoDispatch
  readonly #platform: DevicePlatform
  readonly #options: DeviceListenerOptions
  readonly #transports = new Set<SocketTransport>()
  readonly #accepted: SocketTransport[] = []
  readonly #waiting: ((transport: SocketTransport) => void)[] = []
  #listener!: PacketListener

  private constructor(dispatch: IoDispatch, platform: DevicePlatform, options: DeviceListenerOptions) {
    this.#dispatch = dispatch
    this.#platform = platform
    this.#options = options
  }

  /**
   * Starts to listen. TCP without a host is the loopback interface.
   *
   * @throws IoreqError `ERR_INVALID` for a TLS identity that cannot be used
   */
  static async listen(
    dispatch: IoDispatch,
    platform: DevicePlatform,
    options: DeviceListenerOptions,
  ): Promise<DeviceListener> {
    const listener = new DeviceListener(dispatch, platform, options)
    listener.#listener = await PacketListener.listen(options, (opening) => listener.#create(opening))
    return listener
  }

  /** Where the listener listens: of use where port 0 was asked for. */
  get address(): SocketAddress {
    return this.#listener.address
  }

  /** The next server that connects; `transport.remote.ready` tells when its models are there. */
  accept(): Promise<SocketTransport> {
    const next = this.#accepted.shift()
    if (next !== undefined) return Promise.resolve(next)
    return new Promise((resolve) => this.#waiting.push(resolve))
  }

  #create({ session, name }: Opening): SocketTransport {
    const { realTime, mayOverlap } = this.#options
    const transport: SocketTransport = new SocketTransport(this.#dispatch, this.#platform, {
      name,
      reconnectMs: reconnectMsOf(this.#options),
      ...(realTime !== undefined && { realTime }),
      ...(mayOverlap !== undefined && { mayOverlap }),
      onMessage: (bytes) => this.#options.onMessage?.(transport, bytes),
      onClosed: () => {
        this.#transports.delete(transport)
        this.#listener.forget(session)
      },
    })
    this.#transports.add(transport)
    const waiting = this.#waiting.shift()
    if (waiting === undefined) this.#accepted.push(transport)
    else waiting(transport)
    return transport
  }

  /** Stops to listen. Servers that are connected stay, unless `all`. */
  async close(all = true): Promise<void> {
    if (all) for (const transport of this.#transports) transport.close()
    await this.#listener.close(all)
  }
}
