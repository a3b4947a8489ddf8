import { once } from 'node:events'
import { connect, type Socket } from 'node:net'
import type { Readable } from 'node:stream'
import { framePacket, PacketReader } from '@retrap/gdb'

/** A client of gdb's protocol, which waits for each reply. */
export class GdbClient {
  readonly #socket: Socket
  #printed = ''
  #reply = Promise.withResolvers<string>()

  constructor(socket: Socket) {
    this.#socket = socket
    const reader = new PacketReader({
      packet: (text) => {
        socket.write('+')
        const isOutput = text.startsWith('O') && text !== 'OK'
        if (isOutput) this.#printed += Buffer.from(text.slice(1), 'hex').toString()
        else this.#reply.resolve(text)
      },
      damaged: () => {},
      interrupt: () => {},
      again: () => {},
    })
    socket.on('data', (bytes) => reader.push(bytes))
    // A process that is ended with bytes unread resets the connection.
    socket.on('error', () => {})
    socket.on('close', () => this.#reply.reject(new Error('retrap has ended')))
  }

  async ask(packet: string): Promise<string> {
    this.#printed = ''
    this.#reply = Promise.withResolvers()
    this.#socket.write(framePacket(packet))
    return this.#reply.promise
  }

  /** Does a `monitor` command. @returns what it prints */
  async monitor(command: string): Promise<string> {
    await this.ask(`qRcmd,${Buffer.from(command).toString('hex')}`)
    return this.#printed
  }

  /** Connects to the program that says on its standard error where gdb attaches. */
  static async of(stderr: Readable): Promise<GdbClient> {
    let said = ''
    let port: string | undefined
    while (port === undefined) {
      said += String((await once(stderr, 'data'))[0])
      port = /target remote 127\.0\.0\.1:(\d+)'/.exec(said)?.[1]
    }
    stderr.resume()
    const socket = connect(Number(port), '127.0.0.1')
    await once(socket, 'connect')
    return new GdbClient(socket)
  }
}
