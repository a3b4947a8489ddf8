import type { DeviceServer } from '../device-server.ts'
import { FramedServer } from '../framed-server.ts'
import type { DeviceServerOptions } from '../linked-platform.ts'
import { IoreqError } from '../../errors.ts'
import { type DialEnd, Dialer, type DialOptions } from './dialer.ts'
import { Session } from './session.ts'

/** How a device process finds its hypervisor; see {@link connectDevices}. */
export interface DeviceClientOptions extends DeviceServerOptions, DialOptions {}

/**
 * A process of device models: the client of a hypervisor's `DeviceListener`.
 *
 * Models reach guest memory by `dma.readAsync` and `dma.writeAsync`; everything else is as in the domain's own process.
 */
export class DeviceClient {
  /** Serves the models of this process. */
  readonly server: DeviceServer
  /** Settles when the hypervisor has ended the server (null), or with what went wrong. */
  readonly closed: Promise<Error | null>
  readonly #session: Session
  readonly #dialer: Dialer
  readonly #framed: FramedServer
  readonly #closed = Promise.withResolvers<Error | null>()
  readonly #opened = Promise.withResolvers<void>()
  #ended = false

  /** @internal Use {@link connectDevices}. */
  constructor(options: DeviceClientOptions) {
    this.closed = this.#closed.promise
    this.#session = new Session(
      (frame) => this.#framed.receive(frame),
      (error) => (error === null ? this.#dialer.dial() : this.#end(error)),
      () => this.#end(null),
    )
    this.#dialer = new Dialer(options, {
      name: options.name ?? 'devices',
      received: () => this.#session.received,
      connected: (packets, received) => {
        this.#session.connect(packets, received)
        this.#opened.resolve()
      },
      // A hypervisor that is gone is no fault of the models.
      ended: (how, error) => this.#end(this.#dialer.wasOpen && isGone(how) ? null : error),
    })
    this.#framed = new FramedServer((frame) => this.#session.send(frame), options)
    this.server = this.#framed.server
    this.#opened.promise.catch(() => {})
  }

  /** @internal Makes the first connection. */
  open(): Promise<void> {
    this.#dialer.dial()
    return this.#opened.promise
  }

  /** False: the hypervisor lags behind what is posted. Wait for `drained`. */
  get writable(): boolean {
    return this.#session.writable
  }

  /** Settles when the hypervisor has taken what was posted. */
  drained(): Promise<void> {
    return this.#session.drained()
  }

  /** Ends the connection permanently; the hypervisor takes it for the server's death. */
  close(): void {
    this.#end(null)
  }

  #end(error: Error | null): void {
    if (this.#ended) return
    this.#ended = true
    this.#dialer.close()
    this.#session.close()
    this.#opened.reject(error ?? new IoreqError('ERR_NOT_FOUND', 'the connection was closed'))
    this.#closed.resolve(error)
  }
}

function isGone(how: DialEnd): boolean {
  return how !== 'refused'
}

/**
 * Connects to a hypervisor, adds models and serves its requests, until it ends the server.
 *
 * @param attach - adds the models to the client's server
 * @throws IoreqError `ERR_NOT_FOUND` or `ERR_PERMISSION` where there is no connection to be had
 */
export async function connectDevices(
  options: DeviceClientOptions,
  attach: (server: DeviceServer) => void | Promise<void>,
): Promise<DeviceClient> {
  const client = new DeviceClient(options)
  await client.open()
  await client.server.attachAll(attach)
  return client
}
