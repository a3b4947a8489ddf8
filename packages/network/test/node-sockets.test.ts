import { getServers, setServers } from 'node:dns'
import { once } from 'node:events'
import { type AddressInfo, connect, createServer } from 'node:net'
import { expect, test } from 'vitest'
import { NetworkError, type SocketAddress, type TcpSocket, type TcpSocketClient } from '../src/index.ts'
import { nodeSockets } from '../src/node/index.ts'
import { until } from './support/test-card.ts'

const sockets = nodeSockets()
const HOME = '127.0.0.1'

/** A client that notes what it hears. */
function listener() {
  const heard: string[] = []
  const client: TcpSocketClient = {
    connected: () => void heard.push('connected'),
    data: (bytes) => void heard.push(`data ${String.fromCharCode(...bytes)}`),
    ended: () => void heard.push('ended'),
    drained: () => void heard.push('drained'),
    closed: (end) => void heard.push(`closed ${end}`),
  }
  return { heard, client }
}

test('a connection, its data and its two ends', async () => {
  const server = createServer({ allowHalfOpen: true }, (socket) => {
    socket.on('data', (bytes) => socket.write(bytes.toString().toUpperCase())).on('end', () => socket.end('bye'))
  }).listen(0, HOME)
  await once(server, 'listening')
  const { heard, client } = listener()
  const socket = sockets.connectTcp({ address: HOME, port: (server.address() as AddressInfo).port }, client)
  expect(heard).toEqual([])
  await until(() => heard.length > 0)
  socket.write(Buffer.from('hi'))
  await until(() => heard.length > 1)
  socket.end()
  await until(() => heard.includes('closed finished'))
  expect(heard).toEqual(['connected', 'data HI', 'data bye', 'ended', 'closed finished'])
  server.close()
})

test('a port where nobody listens', async () => {
  const { heard, client } = listener()
  sockets.connectTcp({ address: HOME, port: 1 }, client)
  await until(() => heard.length > 0)
  expect(heard).toEqual(['closed refused'])
})

test('a port that is listened on: connections wait until they are wanted; a taken port is refused', async () => {
  const accepted: { from: SocketAddress; socket: TcpSocket }[] = []
  const { heard, client } = listener()
  const open = await sockets.listenTcp({ address: HOME, port: 0 }, (from, socket) => {
    accepted.push({ from, socket })
    return client
  })
  await expect(sockets.listenTcp({ address: HOME, port: open.port }, () => client)).rejects.toThrow(NetworkError)
  const other = connect(open.port, HOME)
  other.on('error', () => {})
  other.write('early')
  await until(() => accepted.length === 1)
  await new Promise((resolve) => setTimeout(resolve, 30))
  expect(heard).toEqual([])
  accepted[0]!.socket.resume()
  await until(() => heard.length > 0)
  expect([heard, accepted[0]!.from]).toEqual([['data early'], { address: HOME, port: other.localPort }])
  accepted[0]!.socket.abort()
  await until(() => other.destroyed)
  open.close()
})

test('datagrams, there and back', async () => {
  const back: string[] = []
  const bound = await sockets.bindUdp({ address: HOME, port: 0 }, (from, bytes) => bound.send(from, bytes.toReversed()))
  await expect(sockets.bindUdp({ address: HOME, port: bound.port }, () => {})).rejects.toThrow(NetworkError)
  const socket = sockets.openUdp((_from, bytes) => void back.push(String.fromCharCode(...bytes)))
  // The first datagram goes to a port where nothing listens, and is lost; the second one arrives.
  socket.send({ address: HOME, port: 1 }, Buffer.from('lost'))
  socket.send({ address: HOME, port: bound.port }, Buffer.from('abc'))
  await until(() => back.length > 0)
  expect(back).toEqual(['cba'])
  socket.close()
  socket.close()
  bound.close()
  socket.send({ address: HOME, port: bound.port }, Buffer.from('late'))
})

test('names', async () => {
  expect(await sockets.lookup('localhost')).toContain(HOME)
})

test('a name server is asked by UDP, and by TCP, the second one where the first does not answer', async () => {
  const server = createServer((socket) => {
    socket
      .on('error', () => {})
      .on('data', (bytes) => {
        // The question, backwards, in two pieces.
        const answer = Buffer.from([...bytes.subarray(0, 2), ...bytes.subarray(2).toReversed()])
        socket.write(answer.subarray(0, 1))
        setTimeout(() => socket.write(Buffer.concat([answer.subarray(1), Buffer.from('more')])), 5)
      })
  }).listen(0, HOME)
  await once(server, 'listening')
  const { port } = server.address() as AddressInfo
  const bound = await sockets.bindUdp({ address: HOME, port }, (from, bytes) =>
    bound.send(from, Uint8Array.of(bytes[0]!, bytes[1]!, 9)),
  )
  const before = getServers()
  setServers([`${HOME}:1`, `${HOME}:${port}`])
  try {
    const message = Uint8Array.from({ length: 300 }, (_, i) => i)
    expect([...(await sockets.query!(message, true))]).toEqual([...message.toReversed()])
    setServers([`${HOME}:${port}`])
    expect([...(await sockets.query!(message, false))]).toEqual([0, 1, 9])
    setServers([`${HOME}:1`])
    await expect(sockets.query!(message, true)).rejects.toThrow('no name server answers')
  } finally {
    setServers(before)
    bound.close()
    server.close()
  }
})
