// The programs on the host that guests of the devices bench talk to over their network.
import { once } from 'node:events'
import { type AddressInfo, createServer, type Server, type Socket } from 'node:net'
import type { HostPorts } from './guest.ts'

const CHUNK = new Uint8Array(64 << 10)

/** Sends so many bytes, then closes. */
async function sendAll(socket: Socket, bytes: number): Promise<void> {
  for (let left = bytes; left > 0; left -= CHUNK.length) {
    if (!socket.write(CHUNK.subarray(0, left))) await once(socket, 'drain')
  }
  socket.end()
}

/** Opens ports on 127.0.0.1, and calls `use` with them. @param sourceBytes - what the source sends a connection */
export async function withHostPorts<T>(sourceBytes: number, use: (ports: HostPorts) => Promise<T>): Promise<T> {
  const sockets = new Set<Socket>()
  const open = async (serve: (socket: Socket) => void): Promise<Server> => {
    const server = createServer({ allowHalfOpen: true, noDelay: true }, (socket) => {
      sockets.add(socket.on('error', () => undefined))
      serve(socket)
    })
    await once(server.listen(0, '127.0.0.1'), 'listening')
    return server
  }
  const servers = [
    await open((socket) => socket.on('end', () => socket.end()).resume()),
    await open((socket) => void sendAll(socket, sourceBytes).catch(() => undefined)),
    await open((socket) => socket.on('data', (bytes) => socket.write(bytes)).on('end', () => socket.end())),
  ]
  try {
    const [sink = 0, source = 0, echo = 0] = servers.map((server) => (server.address() as AddressInfo).port)
    return await use({ sink, source, echo })
  } finally {
    for (const server of servers) server.close()
    for (const socket of sockets) socket.destroy()
  }
}
