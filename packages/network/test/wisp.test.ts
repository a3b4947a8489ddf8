/** The outside through a Wisp relay: wisp-js, which others wrote, and relays that keep no rules. */
import { createSocket } from 'node:dgram'
import { once } from 'node:events'
import { createServer } from 'node:http'
import { type AddressInfo, createServer as createTcpServer, type Socket } from 'node:net'
import { logging, server as relay } from '@mercuryworkshop/wisp-js/server'
import fc from 'fast-check'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { type FrameSocket, NetworkError, UserNetwork, WispSockets, type WispSocketsOptions } from '../src/index.ts'
import { FakeWebSocket } from './support/fake-web-socket.ts'
import { Client } from './support/tcp-client.ts'
import { until } from './support/test-card.ts'
import { TestGuest } from './support/test-guest.ts'
import { VirtualClock } from './support/virtual-clock.ts'

const DNS = 0x0a000203

const latin1 = (text: string): Uint8Array => Buffer.from(text, 'latin1')

describe.each([
  { version: 1, protocols: [] },
  { version: 2, protocols: ['wisp-v2'] },
])('through wisp-js, version $version', ({ protocols }) => {
  const http = createServer().on('upgrade', (...given) => relay.routeRequest(...given))
  /** Sends back what comes, and ends after `bye`. */
  const echo = createTcpServer({ allowHalfOpen: true }, (socket) => {
    sockets.push(socket)
    socket.on('error', () => {})
    socket.on('end', () => socket.end())
    socket.on('data', (bytes) => {
      socket.write(bytes)
      if (bytes.includes('bye')) socket.end()
    })
  })
  const datagrams = createSocket('udp4')
  const sockets: Socket[] = []
  let wisp: WispSockets
  let port: number

  beforeAll(async () => {
    logging.set_level(logging.NONE)
    relay.options.allow_loopback_ips = relay.options.allow_private_ips = true
    relay.options.dns_method = async () => '127.0.0.1'
    datagrams.on('message', (bytes, from) => datagrams.send(`${String(bytes)}!`, from.port, from.address))
    for (const server of [http, echo]) server.listen(0, '127.0.0.1')
    datagrams.bind(0, '127.0.0.1')
    await Promise.all([once(http, 'listening'), once(echo, 'listening'), once(datagrams, 'listening')])
    port = (echo.address() as AddressInfo).port
    const url = `ws://127.0.0.1:${(http.address() as AddressInfo).port}/`
    wisp = new WispSockets(() => new WebSocket(url, protocols) as unknown as FrameSocket)
  })
  afterAll(() => {
    wisp.close()
    for (const socket of sockets) socket.destroy()
    http.closeAllConnections()
    http.close()
    echo.close()
    datagrams.close()
  })

  /** The relay's own computer, which is reached by a name alone. */
  async function connect(name = 'echo.test', at = port) {
    const [address] = (await wisp.lookup(name))!
    const client = new Client()
    return { client, socket: wisp.connectTcp({ address: address!, port: at }, client) }
  }

  test('bytes go both ways, and the other side’s end is an end', async () => {
    const { client, socket } = await connect()
    await until(() => client.isConnected)
    socket.write(latin1('hello'))
    await until(() => client.text === 'hello')
    socket.write(latin1(' bye'))
    await until(() => client.isEnded)
    expect([client.text, client.end]).toEqual(['hello bye', null])
    socket.end()
    await until(() => client.end !== null)
    expect(client.end).toBe('finished')
  })

  test('more than a relay takes at once arrives whole and in order', async () => {
    const { client, socket } = await connect()
    const text = '0123456789abcdef'.repeat(256)
    const part = latin1(text)
    for (let written = 0; written < 300; written++) {
      if (socket.write(part.slice())) continue
      const { drains } = client
      await until(() => client.drains > drains)
    }
    await until(() => client.text.length === 300 * text.length)
    expect(client.text === text.repeat(300)).toBe(true)
    expect(client.drains).toBeGreaterThan(0)
    socket.abort()
  })

  test('a client that pauses gets no more, and all of it later', async () => {
    const { client, socket } = await connect()
    await until(() => client.isConnected)
    socket.pause()
    socket.write(latin1('later'))
    await new Promise((resolve) => setTimeout(resolve, 100))
    expect(client.text).toBe('')
    socket.resume()
    await until(() => client.text === 'later')
    socket.abort()
    expect(client.end).toBe(null)
  })

  test('nobody listens: the connection is broken off; nor is there a way to the relay’s own computer by its address', async () => {
    const { client } = await connect('echo.test', 1)
    await until(() => client.end !== null)
    expect(client.end).toBe('reset')
    const itself = new Client()
    wisp.connectTcp({ address: '127.0.0.1', port }, itself)
    await until(() => itself.end !== null)
    expect([itself.end, itself.isConnected]).toEqual(['refused', false])
  })

  test('datagrams go both ways, and come from the address that was asked', async () => {
    const [address] = (await wisp.lookup('echo.test'))!
    const to = { address: address!, port: datagrams.address().port }
    const got: unknown[] = []
    const udp = wisp.openUdp((from, bytes) => got.push(from, String(Buffer.from(bytes))))
    udp.send(to, latin1('one'))
    await until(() => got.length === 2)
    expect(got).toEqual([to, 'one!'])
    udp.close()
  })

  test('a guest of a user network looks a name up, and talks to it; no port can be forwarded to the guest', async () => {
    const guest = await TestGuest.create({ sockets: wisp })
    const settled = (what: () => boolean): Promise<void> => until(() => (guest.clock.advance(5), what()))
    guest.sendUdp(999, 53, latin1('\0\x01\x01\0\0\x01\0\0\0\0\0\0\x04echo\x04test\0\0\x01\0\x01'), DNS)
    await settled(() => guest.datagrams.length === 1)
    const address = Buffer.from(guest.datagrams[0]!.payload).readUInt32BE(39)
    const end = guest.tcp(1000, port, address)
    await settled(() => end.connected)
    end.connection.write(latin1('bye'))
    await settled(() => end.connection.atEnd)
    expect(String.fromCharCode(...end.received)).toBe('bye')
    end.connection.end()
    await settled(() => end.ended !== null)
    guest.clock.advance(100_000)
    expect([end.ended, guest.network.openConnections.tcp]).toEqual(['finished', 0])
    guest.network.close()
    const forward = { sockets: wisp, hostForwards: [{ hostPort: 0, guestPort: 80 }] }
    await expect(UserNetwork.open(forward)).rejects.toThrow(NetworkError)
  })
})

/** A packet of the relay's. */
const packet = (type: number, stream: number, ...payload: number[]): Uint8Array => {
  const bytes = Uint8Array.of(type, 0, 0, 0, 0, ...payload)
  new DataView(bytes.buffer).setUint32(1, stream, true)
  return bytes
}
/** The number of the stream in a packet of ours. */
const streamOf = (bytes: Uint8Array): number => new DataView(bytes.buffer).getUint32(1, true)
const [CONNECT, DATA, CONTINUE, CLOSE, INFO] = [1, 2, 3, 4, 5]
const FIRST = packet(CONTINUE, 0, 2, 0, 0, 0)
const TO = { address: '192.0.2.1', port: 80 }

/** A packet of the relay's before it is written. @param stream - 0, or which of our streams, from the last one on */
interface Described {
  readonly type: number
  readonly stream: number
  readonly payload: Uint8Array
}
const isPacket = (what: unknown): what is Described => typeof what === 'object' && what !== null && 'payload' in what

describe('a relay of the test’s own', () => {
  function start(options: WispSocketsOptions = {}) {
    const clock = new VirtualClock()
    const made: FakeWebSocket[] = []
    const refused: string[] = []
    const ready: boolean[] = []
    let state = 1
    const random = (): number => ((state = (state * 1_103_515_245 + 12_345) >>> 0) >>> 8) / 2 ** 24
    const open = (): FakeWebSocket => {
      const socket = new FakeWebSocket()
      made.push(socket)
      return socket
    }
    const wisp = new WispSockets(open, {
      clock,
      random,
      onReady: () => ready.push(true),
      onRefused: (why) => refused.push(why),
      ...options,
    })
    const connect = (): { client: Client; socket: ReturnType<WispSockets['connectTcp']> } => {
      const client = new Client()
      return { client, socket: wisp.connectTcp(TO, client) }
    }
    return { clock, made, refused, ready, wisp, connect, socket: made[0]! }
  }

  /** Connects to a relay that has answered and has one open stream. */
  function connected() {
    const all = start()
    all.socket.open()
    all.socket.receive(FIRST)
    all.clock.advance(1000)
    const stream = all.connect()
    all.clock.settle()
    return { ...all, ...stream, web: all.socket, tcp: stream.socket, id: streamOf(all.socket.sent[0]!) }
  }

  test('of version 1 has no INFO: streams wait for it for a moment alone, and then begin', () => {
    const { clock, socket, ready, connect } = start()
    const { client } = connect()
    socket.open()
    socket.receive(FIRST)
    clock.advance(200)
    expect([socket.sent, client.isConnected, ready]).toEqual([[], false, []])
    clock.advance(200)
    expect([client.isConnected, ready]).toEqual([true, [true]])
    const [sent] = socket.sent
    expect([sent!.length, sent![0], sent![5], sent!.subarray(6, 8), String(Buffer.from(sent!.subarray(8)))]).toEqual([
      ...[17, CONNECT, 1, Uint8Array.of(80, 0), TO.address],
    ])
  })

  test.each([
    ['before it takes packets', [packet(INFO, 0, 2, 0, 1, 0, 0, 0, 0), FIRST]],
    ['afterwards', [FIRST, packet(INFO, 0, 2, 0, 1, 0, 0, 0, 0)]],
  ])('of version 2 says so %s: it is answered, and streams begin at once', (_, messages) => {
    const { clock, socket, connect } = start()
    const { client } = connect()
    socket.open()
    for (const message of messages) socket.receive(message)
    clock.settle()
    expect(socket.sent[0]).toEqual(packet(INFO, 0, 2, 0, 1, 0, 0, 0, 0))
    expect([socket.sent.length, client.isConnected]).toEqual([2, true])
  })

  test('without UDP gets no datagrams; one that wants a password is refused, with the reason', () => {
    const { socket, wisp } = start()
    socket.open()
    for (const message of [packet(INFO, 0, 2, 0), FIRST]) socket.receive(message)
    wisp.openUdp(() => {}).send(TO, latin1('lost'))
    expect(socket.sent).toEqual([packet(INFO, 0, 2, 0)])
    const guarded = start({ reconnectMs: Infinity })
    guarded.socket.open()
    guarded.socket.receive(packet(INFO, 0, 2, 0, 2, 0, 0, 0, 0))
    expect([guarded.refused, guarded.socket.readyState]).toEqual([['it asks for a password'], 3])
  })

  test('that never answers is given up after 10 s, and tried again 2 s later; connections are told', () => {
    const { clock, made, socket, refused, connect } = start()
    const { client } = connect()
    socket.open()
    clock.advance(11_000)
    expect([client.end, refused, socket.readyState]).toEqual([
      ...['unreachable', ['it does not answer as a Wisp relay does'], 3],
    ])
    const between = connect()
    clock.settle()
    expect(between.client.end).toBe('unreachable')
    clock.advance(2000)
    expect(made.length).toBe(2)
  })

  test('gets as many packets as it takes, and the rest when it takes more', () => {
    const { web, tcp, client, id, clock } = connected()
    expect(['a', 'b', 'c', 'd'].map((text) => tcp.write(latin1(text)))).toEqual([true, true, false, false])
    const data = (): string =>
      web.sent
        .filter(([type]) => type === DATA)
        .map((bytes) => String.fromCharCode(bytes[5]!))
        .join('')
    expect(data()).toBe('ab')
    web.receive(packet(CONTINUE, id, 1, 0, 0, 0))
    clock.settle()
    expect([data(), client.drains]).toEqual(['abc', 0])
    web.receive(packet(CONTINUE, id, 5, 0, 0, 0))
    clock.settle()
    expect([data(), client.drains]).toEqual(['abcd', 1])
  })

  test('that is slower than the guest makes it wait', () => {
    const { web, tcp, client, id, clock } = connected()
    web.receive(packet(CONTINUE, id, 0xff, 0xff, 0xff, 0xff))
    web.bufferedAmount = 2 << 20
    expect(tcp.write(latin1('a'))).toBe(false)
    clock.advance(1000)
    expect(client.drains).toBe(0)
    web.bufferedAmount = 0
    clock.advance(20)
    expect([client.drains, web.sent.length]).toEqual([1, 2])
  })

  test('hears of the guest’s end when the other side is silent for 10 s, since it would lose the answer before', () => {
    const { web, tcp, client, id, clock } = connected()
    tcp.end()
    clock.advance(9000)
    web.receive(packet(DATA, id, 0x41))
    clock.advance(9000)
    expect([web.sent.length, client.text, client.end]).toEqual([1, 'A', null])
    clock.advance(2000)
    expect(web.sent[1]).toEqual(packet(CLOSE, id, 2))
    expect([client.isEnded, client.end]).toEqual([true, 'finished'])
  })

  test('that is lost breaks connections off', () => {
    const { web, client, made, clock } = connected()
    web.close()
    expect(client.end).toBe('reset')
    clock.advance(2000)
    expect(made.length).toBe(2)
  })

  test('floods a guest that takes nothing: 64 MiB are held, and the connection is broken off', () => {
    const { web, tcp, client, id } = connected()
    tcp.pause()
    const flood = new Uint8Array(5 + (8 << 20))
    flood.set(packet(DATA, id))
    for (let i = 0; i < 8; i++) web.receive(flood)
    expect(client.end).toBe(null)
    web.receive(flood)
    expect(client.end).toBe('reset')
    expect(web.sent.at(-1)).toEqual(packet(CLOSE, id, 1))
    // What was held is free again: the next connection may have as much.
    web.receive(flood)
    expect(client.text).toBe('')
  })

  test('sends anything: nothing is thrown, numbers of streams stay its own, and timers stay few', () => {
    const message = fc.oneof(
      { weight: 1, arbitrary: fc.uint8Array({ maxLength: 40 }) },
      { weight: 1, arbitrary: fc.constantFrom<unknown>('text', null, new Blob(['x'])) },
      {
        weight: 4,
        arbitrary: fc
          .tuple(fc.integer({ min: 0, max: 6 }), fc.integer({ min: 0, max: 3 }), fc.uint8Array({ maxLength: 12 }))
          .map(([type, stream, payload]) => ({ type, stream, payload })),
      },
    )
    fc.assert(
      fc.property(fc.array(message, { maxLength: 60 }), fc.array(fc.nat(8), { maxLength: 60 }), (messages, acts) => {
        const { clock, made, wisp, connect } = start()
        const open: ReturnType<typeof connect>[] = []
        const udp = wisp.openUdp(() => {})
        made[0]!.open()
        for (const [i, what] of messages.entries()) {
          const act = acts[i] ?? 0
          if (act === 1) open.push(connect())
          if (act === 2) open.at(-1)?.socket.write(latin1('x'))
          if (act === 3) open.at(-1)?.socket.end()
          if (act === 4) open.pop()?.socket.abort()
          if (act === 5) udp.send(TO, latin1('x'))
          if (act === 6) clock.advance(500)
          if (act === 7) open.at(-1)?.socket.pause()
          if (act === 8) open.at(-1)?.socket.resume()
          const socket = made.at(-1)!
          if (socket.readyState === 0) socket.open()
          const ours = socket.sent.filter(([type]) => type === CONNECT).map(streamOf)
          if (isPacket(what))
            socket.receive(packet(what.type, what.stream === 0 ? 0 : (ours.at(-what.stream) ?? 77), ...what.payload))
          else socket.receive(what)
          clock.settle()
        }
        clock.advance(60_000)
        for (const { client } of open)
          if (client.end !== null) expect(client.isConnected || client.end !== 'reset').toBe(true)
        wisp.close()
        expect(clock.timers).toBe(0)
      }),
      { numRuns: 300 },
    )
  })
})
