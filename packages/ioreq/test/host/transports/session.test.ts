/** Conversations over sockets: what is acknowledged, sent again, and refused. */
import { once } from 'node:events'
import { type AddressInfo, connect, createServer, type Socket } from 'node:net'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import type { Frame } from '../../../src/host/frames.ts'
import { PacketSocket } from '../../../src/host/node/packet-socket.ts'
import { Session } from '../../../src/host/node/session.ts'

const server = createServer()
beforeAll(async () => {
  server.listen(0, '127.0.0.1')
  await once(server, 'listening')
})
afterAll(() => void server.close())

/** Two ends of a connection. */
async function pair(): Promise<readonly [Socket, Socket]> {
  const accepted = once(server, 'connection') as Promise<[Socket]>
  const socket = connect((server.address() as AddressInfo).port, '127.0.0.1')
  const [other] = await accepted
  return [socket, other]
}

const frame = (call: number): Frame => ({ kind: 'settle', call }) as Frame
const until = async (what: () => boolean): Promise<void> => {
  for (let i = 0; i < 2000 && !what(); i++) await new Promise((resolve) => setTimeout(resolve, 1))
  if (!what()) throw new Error('it does not come to that')
}

/** A session whose other side is the test: it sees packets, and sends what it likes. */
async function session() {
  const [near, far] = await pair()
  const peer = new PacketSocket(far)
  const [acknowledged, data]: [number[], number[]] = [[], []]
  peer.onAck = (number) => acknowledged.push(number)
  peer.onData = (number) => data.push(number)
  const frames: Frame[] = []
  const lost: (Error | null)[] = []
  const one = new Session(
    (each) => frames.push(each),
    (error) => lost.push(error),
    () => {},
  )
  one.connect(new PacketSocket(near), 0)
  const packets: Uint8Array[] = []
  /** Packets as another session makes them. */
  const maker = new Session(
    () => {},
    () => {},
    () => {},
  )
  maker.connect({ socket: { write: (bytes: Uint8Array) => packets.push(bytes) } } as unknown as PacketSocket, 0)
  const make = (count: number): Uint8Array[] => {
    for (let i = 0; i < count; i++) maker.send(frame(i))
    return packets
  }
  return { one, peer, acknowledged, data, frames, lost, make }
}

describe('frames of a session', () => {
  test('are acknowledged at the end of the turn, from the first one on, and at once when there are 64', async () => {
    const { peer, acknowledged, frames, make, one } = await session()
    const packets = make(200)
    peer.socket.write(packets[0]!)
    await until(() => acknowledged.length > 0)
    expect([acknowledged, one.received]).toEqual([[1], 1])
    for (const packet of packets.slice(1)) peer.socket.write(packet)
    await until(() => acknowledged.at(-1) === 200)
    expect(frames.length).toBe(200)
    // The first one was acknowledged: 64 more are 65.
    expect(acknowledged.slice(1).every((number, i, all) => number - (all[i - 1] ?? 1) <= 64)).toBe(true)
    one.close()
  })

  test('come once: what is sent again is left out, what leaves one out ends the session', async () => {
    const { peer, frames, lost, make } = await session()
    const packets = make(5)
    for (const i of [0, 1, 0, 1, 2]) peer.socket.write(packets[i]!)
    await until(() => frames.length === 3)
    peer.socket.write(packets[4]!)
    await until(() => lost.length > 0)
    expect(lost).toMatchObject([{ code: 'ERR_PROTOCOL', message: 'frame 5 follows 3' }])
  })

  test('that nobody has acknowledged are sent again over the next connection', async () => {
    const { one, peer, data, lost } = await session()
    for (let i = 0; i < 5; i++) one.send(frame(i))
    await until(() => data.length === 5)
    peer.ack(2)
    peer.socket.destroy()
    await until(() => lost.length > 0)
    expect([lost, one.connected, one.closed]).toEqual([[null], false, false])
    const [near, far] = await pair()
    const again: number[] = []
    new PacketSocket(far).onData = (number) => again.push(number)
    one.connect(new PacketSocket(near), 3)
    await until(() => again.length === 2)
    expect(again).toEqual([4, 5])
    one.close()
  })

  test('cannot be acknowledged before they are sent', async () => {
    const { one, peer, lost } = await session()
    one.send(frame(1))
    peer.ack(1)
    peer.ack(2)
    await until(() => lost.length > 0)
    expect(lost).toMatchObject([{ code: 'ERR_PROTOCOL', message: 'frame 2 was acknowledged, 1 is the last' }])
  })

  test('wait from a mebibyte on, until they are acknowledged', async () => {
    const { one, peer, data } = await session()
    const bytes = new Uint8Array(1 << 17)
    const large = { kind: 'dmaDone', call: 1, ok: true, bytes } as Frame
    let sent = 0
    for (; one.writable; sent++) one.send(large)
    let drained = false
    void one.drained().then(() => (drained = true))
    await until(() => data.length === sent)
    expect([drained, sent >= 1]).toEqual([false, true])
    peer.ack(sent)
    await until(() => drained)
    expect(one.writable).toBe(true)
    await one.drained()
    for (; one.writable;) one.send(large)
    one.close()
    await one.drained()
    expect(one.writable).toBe(false)
  })
})
