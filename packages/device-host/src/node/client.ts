import { randomUUID } from 'node:crypto'
import { createConnection } from 'node:net'
import { DeviceServer } from '../device-server.ts'
import type { DeviceServerOptions } from '../linked-platform.ts'
import { IoreqError } from '@retrap/ioreq'
import type { Frame } from '../frames.ts'
import type { SocketAddress } from './listener.ts'
import { PacketSocket, Session } from './session.ts'

/** How a device process finds its hypervisor; see {@link connectDevices}. */
export interface DeviceClientOptions extends DeviceServerOptions {
  /** Where the hypervisor listens. */
  readonly address: SocketAddress
  /** The token that the hypervisor's listener asks for. */
  readonly token?: string
  /** For how long a lost connection is tried again, in milliseconds. Default 5000. */
  readonly reconnectMs?: number
}

/** Between two attempts. */
const RETRY_MS = 50

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
  readonly #options: DeviceClientOptions
  readonly #session: Session
  readonly #id = randomUUID()
  readonly #sequences = new Map<number, number>()
  readonly #closed = Promise.withResolvers<Error | null>()
  readonly #opened = Promise.withResolvers<void>()
  #wasOpen = false
  #lostAt = 0
  #ended = false

  /** @internal Use {@link connectDevices}. */
  constructor(options: DeviceClientOptions) {
    this.#options = options
    this.closed = this.#closed.promise
    this.#session = new Session(
      (frame) => this.#receive(frame),
      (error) => this.#lost(error),
    )
    this.server = new DeviceServer(
      {
        send: (frame) => this.#session.send(frame),
        answer: (vcpu, lo, hi) => {
          const sequence = this.#sequences.get(vcpu) ?? 0
          this.#session.send({ kind: 'answer', vcpu, sequence, lo, hi })
        },
      },
      options,
    )
    this.#opened.promise.catch(() => {})
  }

  /** @internal Makes the first connection. */
  open(): Promise<void> {
    this.#lostAt = performance.now()
    this.#connect()
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

  #connect(): void {
    if (this.#ended) return
    const { address, name = 'devices', token = '', reconnectMs = 5000 } = this.#options
    const socket = createConnection(
      'path' in address ? address : { port: address.port, host: address.host ?? '127.0.0.1' },
    )
    const packets = new PacketSocket(socket)
    packets.openWithin(Math.max(RETRY_MS, this.#lostAt + reconnectMs - performance.now()))
    packets.onEnd = (error) => (error === null ? this.#retry() : this.#end(error))
    packets.onRefuse = (why) => this.#end(new IoreqError('ERR_PERMISSION', `the hypervisor refused: ${why}`))
    packets.onAccept = (received) => {
      this.#wasOpen = true
      this.#session.connect(packets, received)
      this.#opened.resolve()
    }
    socket.once('connect', () =>
      packets.open({ session: this.#id, name, token, resumes: this.#wasOpen }, this.#session.received),
    )
  }

  #lost(error: Error | null): void {
    if (error !== null) return this.#end(error)
    this.#lostAt = performance.now()
    this.#retry()
  }

  #retry(): void {
    if (this.#ended) return
    if (performance.now() - this.#lostAt > (this.#options.reconnectMs ?? 5000)) {
      // A hypervisor that is gone is no fault of the models.
      this.#end(this.#wasOpen ? null : new IoreqError('ERR_NOT_FOUND', 'the hypervisor cannot be reached'))
      return
    }
    setTimeout(() => this.#connect(), RETRY_MS)
  }

  #end(error: Error | null): void {
    if (this.#ended) return
    this.#ended = true
    this.#session.close()
    this.#opened.reject(error ?? new IoreqError('ERR_NOT_FOUND', 'the connection was closed'))
    this.#closed.resolve(error)
  }

  #receive(frame: Frame): void {
    if (frame.kind === 'request') {
      this.#sequences.set(frame.vcpu, frame.sequence)
      this.server.setTime(frame.now)
      this.server.serve(frame.vcpu, frame.request)
    } else this.server.receive(frame)
    this.server.yieldTime()
  }
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
  try {
    await attach(client.server)
    client.server.ready()
  } catch (error) {
    client.server.fail('attach', error)
  }
  return client
}
