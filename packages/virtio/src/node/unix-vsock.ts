import { chmodSync } from 'node:fs'
import { connect, createServer, type Server, type Socket } from 'node:net'
import { isMainThread } from 'node:worker_threads'
import { DeviceError } from '@retrap/device'
import type { VsockBackend, VsockClient, VsockStream } from '../vsock.ts'
import type { VsockGuest, VsockRequest } from '../devices/vsock/vsock-backend.ts'

/** A peer has this long for its line. */
const LINE_MS = 10_000
/** `CONNECT `, a port, and the end of the line. */
const MOST_LINE = 32
const MOST_SOCKETS = 512

/**
 * The host's side of a vsock device as Unix sockets, as Firecracker has them. A program of the host connects to the path,
 * writes `CONNECT PORT` and a line end, and reads `OK` with the host's port once the guest has accepted; where it has not,
 * the socket is closed. A connection of the guest to port P of the host goes to a socket that listens at the path with `_P`
 * behind it, and is refused where there is none.
 *
 * Source: Firecracker 1.7, docs/vsock.md, "Firecracker Virtio-vsock Design".
 */
export class UnixVsock implements VsockBackend {
  readonly #path: string
  readonly #server: Server
  readonly #sockets = new Set<Socket>()
  #guest: VsockGuest | undefined

  private constructor(path: string) {
    this.#path = path
    this.#server = createServer({ allowHalfOpen: true }, (socket) => this.#accept(socket))
    this.#server.maxConnections = MOST_SOCKETS
  }

  /**
   * Listens at a path. The socket has mode 0600: no other user can connect.
   *
   * @throws DeviceError `ERR_OPTION` if the socket cannot be made, for example because the file exists
   */
  static async open(path: string): Promise<UnixVsock> {
    const vsock = new UnixVsock(path)
    await vsock.#listen()
    return vsock
  }

  #listen(): Promise<void> {
    return new Promise((resolve, reject) => {
      const failed = (error: Error): void =>
        reject(
          new DeviceError(
            'ERR_OPTION',
            `vsock: ${this.#path}: ${error.message}: remove an old socket, or name another`,
            {
              cause: error,
            },
          ),
        )
      this.#server.once('error', failed)
      // The socket is made before `listen` returns. Threads may not set the mode of new files.
      const before = isMainThread ? process.umask(0o177) : undefined
      try {
        this.#server.listen(this.#path, () => {
          this.#server.off('error', failed)
          this.#server.on('error', () => {})
          resolve()
        })
        if (before === undefined) chmodSync(this.#path, 0o600)
      } catch (error) {
        failed(error as Error)
      } finally {
        if (before !== undefined) process.umask(before)
      }
    })
  }

  /** As `VsockBackend.attach`. */
  attach(guest: VsockGuest): void {
    for (const socket of this.#sockets) socket.destroy()
    this.#guest = guest
  }

  /** As `VsockBackend.request`. */
  request(request: VsockRequest): void {
    if (this.#sockets.size >= MOST_SOCKETS) return request.refuse()
    const socket = connect({ path: `${this.#path}_${request.hostPort}`, allowHalfOpen: true })
    this.#keep(socket)
    socket.once('connect', () => {
      const wire = new Wire(socket)
      const stream = request.accept(wire)
      if (stream === null) socket.destroy()
      else wire.join(stream)
    })
    socket.once('close', () => request.refuse())
  }

  #keep(socket: Socket): void {
    this.#sockets.add(socket)
    socket.once('close', () => this.#sockets.delete(socket))
    // The `close` that follows does the rest.
    socket.on('error', () => {})
  }

  #accept(socket: Socket): void {
    this.#keep(socket)
    socket.setTimeout(LINE_MS, () => socket.destroy())
    let head = Buffer.alloc(0)
    const take = (bytes: Buffer): void => {
      head = Buffer.concat([head, bytes])
      const end = head.indexOf(0x0a)
      if (end < 0 && head.length < MOST_LINE) return
      socket.off('data', take)
      socket.setTimeout(0)
      socket.removeAllListeners('timeout')
      const [, port = ''] = /^CONNECT (\d{1,10})\r?$/.exec(head.toString('latin1', 0, Math.max(end, 0))) ?? []
      this.#connect(socket, port === '' ? Number.NaN : Number(port), head.subarray(end + 1))
    }
    socket.on('data', take)
    socket.once('end', () => {
      if (socket.listeners('data').includes(take)) socket.destroy()
    })
  }

  #connect(socket: Socket, port: number, rest: Uint8Array): void {
    socket.pause()
    const wire = new Wire(socket, (stream) => socket.write(`OK ${stream.hostPort}\n`))
    try {
      const stream = this.#guest?.connect(port, wire)
      if (stream === undefined) return void socket.destroy()
      // Copied, because the rest belongs to a pooled buffer.
      if (rest.length > 0) stream.write(Uint8Array.from(rest))
      wire.join(stream)
    } catch {
      // No port of a guest: the line was none.
      socket.destroy()
    }
  }

  /** Ends all connections, and removes the socket. */
  close(): void {
    this.#server.close()
    for (const socket of this.#sockets) socket.destroy()
  }
}

/** A Unix socket as the client of a connection. */
class Wire implements VsockClient {
  readonly #socket: Socket
  readonly #accepted: ((stream: VsockStream) => void) | undefined
  #stream: VsockStream | undefined

  /** @param accepted - the guest has accepted */
  constructor(socket: Socket, accepted?: (stream: VsockStream) => void) {
    this.#socket = socket
    this.#accepted = accepted
  }

  /** Lets bytes pass. */
  join(stream: VsockStream): void {
    const socket = this.#socket
    this.#stream = stream
    let hasEnded = false
    socket.on('data', (bytes) => {
      if (!stream.write(Uint8Array.from(bytes as Buffer))) socket.pause()
    })
    socket.once('end', () => {
      hasEnded = true
      stream.end()
    })
    socket.on('drain', () => stream.resume())
    // A stream that has ended may have bytes that wait for the guest.
    socket.once('close', (hadError: boolean) => {
      if (hadError || !hasEnded) stream.abort()
    })
    socket.resume()
  }

  connected(): void {
    if (this.#stream !== undefined) this.#accepted?.(this.#stream)
  }

  data(bytes: Uint8Array): void {
    if (!this.#socket.write(bytes)) this.#stream?.pause()
  }

  ended(): void {
    this.#socket.end()
  }

  drained(): void {
    this.#socket.resume()
  }

  closed(end: 'finished' | 'refused' | 'unreachable' | 'reset'): void {
    if (end === 'finished') this.#socket.end()
    else this.#socket.destroy()
  }
}
