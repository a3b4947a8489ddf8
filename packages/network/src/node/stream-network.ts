import { connect, createServer, type Server, type Socket } from 'node:net'
import { FrameStream, NetworkError } from '../index.ts'

/** The other machine's address: a port, or a Unix socket's path. */
export type StreamAddress = { readonly path: string } | { readonly host?: string; readonly port: number }

/** Options for connecting a {@link StreamNetwork}. */
export interface StreamConnectOptions {
  /** Milliseconds from a lost or failed connection to the next attempt. Default: no further attempts. */
  readonly reconnectMs?: number
}

/** A cable to one other machine, such as QEMU with `-netdev stream`, or to passt. */
export class StreamNetwork extends FrameStream {
  #server: Server | null = null
  #socket: Socket | null = null
  #timer: NodeJS.Timeout | null = null
  #closed = false

  private constructor() {
    super()
  }

  /** Waits for the other machine. A second one replaces the first. @throws NetworkError `ERR_LISTEN` */
  static async listen(at: StreamAddress): Promise<StreamNetwork> {
    const network = new StreamNetwork()
    const server = createServer({ noDelay: true }, (socket) => network.#use(socket))
    network.#server = server
    await new Promise<void>((resolve, reject) => {
      const refuse = (error: Error): void => reject(new NetworkError('ERR_LISTEN', `${describe(at)}: ${error.message}`))
      server.once('error', refuse)
      server.listen('path' in at ? at : { host: at.host ?? '127.0.0.1', port: at.port }, resolve)
    })
    server.on('error', () => {})
    return network
  }

  /** Connects to the other machine. @throws NetworkError `ERR_OPEN` if it is unreachable and `reconnectMs` is absent */
  static async connect(to: StreamAddress, options: StreamConnectOptions = {}): Promise<StreamNetwork> {
    const network = new StreamNetwork()
    await new Promise<void>((resolve, reject) => {
      network.#connect(to, options.reconnectMs ?? null, (error) => {
        if (error === null || options.reconnectMs !== undefined) resolve()
        else reject(new NetworkError('ERR_OPEN', `${describe(to)}: ${error.message}`, { cause: error }))
      })
    })
    return network
  }

  /** The listening port, also when the host has chosen it. */
  get port(): number | null {
    const address = this.#server?.address()
    return typeof address === 'object' && address !== null ? address.port : null
  }

  /** Ends the connection, and waits for none. */
  close(): void {
    this.#closed = true
    this.#server?.close()
    this.#socket?.destroy()
    if (this.#timer !== null) clearTimeout(this.#timer)
  }

  #connect(to: StreamAddress, reconnectMs: number | null, tried: (error: Error | null) => void): void {
    const where = 'path' in to ? to : { host: to.host ?? '127.0.0.1', port: to.port }
    const socket = connect(where)
    let failure: Error | null = null
    socket.once('connect', () => {
      this.#use(socket)
      tried(null)
    })
    socket.once('error', (error) => (failure = error))
    socket.once('close', () => {
      if (failure !== null) tried(failure)
      if (reconnectMs === null || this.#closed) return
      this.#timer = setTimeout(() => this.#connect(to, reconnectMs, () => {}), reconnectMs)
    })
  }

  #use(socket: Socket): void {
    this.#socket = socket
    socket.setNoDelay()
    this.attach({
      write: (bytes) => !socket.writable || socket.write(bytes),
      pause: () => void socket.pause(),
      resume: () => void socket.resume(),
      close: () => void socket.destroy(),
    })
    socket.on('data', (bytes) => {
      if (this.#socket === socket) this.data(bytes)
    })
    socket.on('drain', () => {
      if (this.#socket === socket) this.drained()
    })
    socket.on('error', () => {})
    socket.on('close', () => {
      if (this.#socket !== socket) return
      this.#socket = null
      this.detach()
    })
  }
}

const describe = (at: StreamAddress): string => ('path' in at ? at.path : `${at.host ?? '127.0.0.1'}:${at.port}`)
