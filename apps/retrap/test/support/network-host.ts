import { createHash, randomBytes } from 'node:crypto'
import { createSocket } from 'node:dgram'
import { once } from 'node:events'
import { createServer as createHttp } from 'node:http'
import { type AddressInfo, connect, createServer } from 'node:net'

export const sha256 = (bytes: Uint8Array): string => createHash('sha256').update(bytes).digest('hex')

/** What a guest meets on the host: a web server with so many bytes, and a port that takes what it is sent. */
export async function openHost(bytes = 5_000_000) {
  const data = randomBytes(bytes)
  const http = createHttp((_request, response) => response.end(data)).listen(0, '127.0.0.1')
  const taken: Buffer[] = []
  const sink = createServer((socket) => socket.on('data', (bytes) => taken.push(bytes)).on('error', () => {})).listen(
    0,
    '127.0.0.1',
  )
  await Promise.all([once(http, 'listening'), once(sink, 'listening')])
  const port = (sink.address() as AddressInfo).port
  const udp = createSocket('udp4')
  // A TFTP server for files of one block: its only text is the name that it was asked for.
  udp.on('message', (bytes, from) => {
    const name = bytes.subarray(2, bytes.indexOf(0, 2))
    if (bytes[1] === 1) udp.send(Buffer.concat([Buffer.from([0, 3, 0, 1]), name]), from.port, from.address)
  })
  udp.bind(port, '127.0.0.1')
  return {
    data,
    taken,
    ports: { http: (http.address() as AddressInfo).port, sink: port },
    close() {
      http.close()
      http.closeAllConnections()
      sink.close()
      udp.close()
    },
  }
}

export type Host = Awaited<ReturnType<typeof openHost>>

/** Talks to the guest's port 7, which answers with what it is sent, through a port of the host's. */
export function echoThrough(port: number, sent: Uint8Array): Buffer[] {
  const echoed: Buffer[] = []
  const connectIn = (): void => {
    const socket = connect({ port, host: '127.0.0.1', allowHalfOpen: true })
    socket.on('data', (part) => echoed.push(part))
    // The guest does not listen yet, and refuses.
    socket.on('error', () => setTimeout(connectIn, 100))
    socket.end(sent)
  }
  connectIn()
  return echoed
}

/** A port of the host that nobody has. */
export async function freePort(): Promise<number> {
  const server = createServer().listen(0, '127.0.0.1')
  await once(server, 'listening')
  const { port } = server.address() as AddressInfo
  await new Promise((resolve) => server.close(resolve))
  return port
}
