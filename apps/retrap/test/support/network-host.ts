import { randomBytes } from 'node:crypto'
import { createSocket } from 'node:dgram'
import { once } from 'node:events'
import { createServer as createHttp } from 'node:http'
import { type AddressInfo, connect, createServer } from 'node:net'

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

/** Talks to the guest's port 7 once the guest has printed READY: it answers with what it is sent, through a port of the host's. */
export function echoWhenReady(port: number, sent: Uint8Array) {
  const echoed: Buffer[] = []
  let talks = false
  const connectIn = (): void => {
    const socket = connect({ port, host: '127.0.0.1', allowHalfOpen: true })
    socket.on('data', (part) => echoed.push(part))
    // The guest does not listen yet, and refuses.
    socket.on('error', () => setTimeout(connectIn, 100))
    socket.end(sent)
  }
  return {
    onOutput: (output: string): void => {
      if (talks || !output.includes('READY')) return
      talks = true
      connectIn()
    },
    received: (): Buffer => Buffer.concat(echoed),
  }
}

/** What the lines of a text have after their first words. */
export const linesOf =
  (text: string) =>
  (word: string): string =>
    new RegExp(`^${word} (.*?)\\s*$`, 'm').exec(text)?.[1] ?? ''

/** A port of the host that nobody has. */
export async function freePort(): Promise<number> {
  const server = createServer().listen(0, '127.0.0.1')
  await once(server, 'listening')
  const { port } = server.address() as AddressInfo
  await new Promise((resolve) => server.close(resolve))
  return port
}
