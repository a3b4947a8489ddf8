import { type AddressInfo, createServer, type Socket } from 'node:net'
import { GdbSession, type GdbTarget } from '@retrap/gdb'

/** The bytes that gdb begins with: `+`, `-`, `$` and an interrupt. A browser, which a web page may send here, begins with others. */
const FIRST_BYTES: readonly (number | undefined)[] = [0x2b, 0x2d, 0x24, 0x03]

/**
 * Serves a machine to one gdb on 127.0.0.1, until gdb leaves.
 *
 * @param port - 0: one that is free
 * @param onListening - told of the port
 * @throws what the host throws where it cannot listen
 */
export async function serveGdb(
  target: GdbTarget,
  port: number,
  onListening: (port: number) => void,
  killed: Promise<unknown>,
): Promise<void> {
  const left = Promise.withResolvers<void>()
  let client: Socket | undefined
  const server = createServer((socket) => {
    socket.on('error', () => socket.destroy())
    if (client !== undefined) return void socket.destroy()
    client = socket
    socket.setNoDelay(true)
    const session = new GdbSession(target, {
      write: (bytes) => void (socket.destroyed || socket.write(bytes)),
      end: () => socket.destroySoon(),
    })
    let isGdb = false
    socket.on('data', (bytes) => {
      isGdb ||= FIRST_BYTES.includes(bytes[0])
      if (isGdb) session.receive(bytes)
      else socket.destroy()
    })
    socket.on('close', () => {
      session.closed()
      client = undefined
      if (isGdb) left.resolve()
    })
  })
  server.on('error', (error) => left.reject(error))
  server.listen({ host: '127.0.0.1', port }, () => onListening((server.address() as AddressInfo).port))
  try {
    await Promise.race([left.promise, killed])
  } finally {
    client?.destroySoon()
    server.close()
  }
}
