import { describe, expect, test } from 'vitest'
import { readIpv4 } from '../src/addresses.ts'
import { PROTOCOL_ICMP } from '../src/frames/ipv4.ts'
import { finishTcp, makeTcp, TCP_ACK, TCP_FIN, TCP_RST } from '../src/frames/tcp.ts'
import { NetworkError } from '../src/index.ts'
import { dhcpMessage, GATEWAY, GUEST, GUEST_MAC, TestGuest } from './support/test-guest.ts'

const ANYWHERE = 0xffff_ffff
const DNS = 0x0a000203
const text = (value: string): Uint8Array => new TextEncoder().encode(value)
const address = (value: string): number => readIpv4(value)!
const question = (name: string, type: number): Uint8Array =>
  Uint8Array.of(
    ...[0x12, 0x34, 1, 0, 0, 1, 0, 0, 0, 0, 0, 0],
    ...name.split('.').flatMap((label) => [label.length, ...text(label)]),
    ...[0, 0, type, 0, 1],
  )

describe('DHCP (RFC 2131)', () => {
  test('the first client gets .15, the next one .16, and each its own again', async () => {
    const guest = await TestGuest.create({ hostName: 'box' })
    const ask = (mac: number, type: number, wanted?: number): readonly [number, number] => {
      const more = wanted === undefined ? [] : [50, 4, 10, 0, 2, wanted]
      guest.sendUdp(68, 67, dhcpMessage(mac, [53, 1, type, ...more]), ANYWHERE, 0)
      guest.clock.settle()
      const { payload } = guest.datagrams.at(-1)!
      return [payload[242]!, payload[19]!]
    }
    expect(ask(GUEST_MAC, 1)).toEqual([2, 15])
    expect(ask(GUEST_MAC, 3, 15)).toEqual([5, 15])
    expect(ask(GUEST_MAC + 2, 1)).toEqual([2, 16])
    expect(ask(GUEST_MAC + 4, 1, 40)).toEqual([2, 40])
    expect(ask(GUEST_MAC + 4, 3, 15)).toEqual([6, 0])
    expect(ask(GUEST_MAC, 1)).toEqual([2, 15])
  })

  test('more clients than a network has addresses: none is given twice', async () => {
    const guest = await TestGuest.create({ network: '10.0.2.0/29' })
    const given: number[] = []
    for (let i = 0; i < 10; i++) {
      guest.sendUdp(68, 67, dhcpMessage(GUEST_MAC + 2 * i, [53, 1, 1]), ANYWHERE, 0)
      guest.clock.settle()
    }
    for (const { payload } of guest.datagrams) given.push(payload[19]!)
    expect(given).toEqual([4, 5, 6])
  })
})

describe('DNS (RFC 1035)', () => {
  test.each([
    { given: 'a name with addresses', name: 'guest.test', type: 1, code: 0, answers: 2 },
    { given: 'IPv6, which is not here', name: 'guest.test', type: 28, code: 0, answers: 0 },
    { given: 'a name that is not there', name: 'missing.test', type: 1, code: 3, answers: 0 },
    { given: 'a host that cannot tell', name: 'broken.test', type: 1, code: 2, answers: 0 },
    { given: 'another type, without a name server', name: 'guest.test', type: 16, code: 4, answers: 0 },
  ])('$given', async ({ name, type, code, answers }) => {
    const guest = await TestGuest.create()
    guest.sendUdp(1000, 53, question(name, type), DNS)
    await new Promise((resolve) => setTimeout(resolve, 0))
    guest.clock.settle()
    const answer = guest.datagrams[0]!
    expect([answer.payload[3]! & 15, answer.payload[7]]).toEqual([code, answers])
    expect(answer.source).toBe(DNS)
    if (answers > 0) expect([...answer.payload.subarray(-4)]).toEqual([192, 0, 2, 81])
  })
})

describe('DNS over TCP (RFC 7766)', () => {
  const framed = (message: Uint8Array): Uint8Array =>
    Uint8Array.of(message.length >> 8, message.length & 255, ...message)
  const turn = async (guest: TestGuest): Promise<void> => {
    for (let i = 0; i < 4; i++) {
      await new Promise((resolve) => setTimeout(resolve, 0))
      guest.clock.advance(500)
    }
  }

  test('answers questions in their order, in pieces or together, and ends with the guest', async () => {
    const guest = await TestGuest.create()
    const end = guest.tcp(1000, 53, DNS)
    guest.clock.advance(10)
    expect([end.connected, guest.host.tcp.length]).toEqual([true, 0])
    const [first, second] = ['guest.test', 'missing.test'].map((name) => framed(question(name, 1)))
    end.connection.write(first!.subarray(0, 1))
    await turn(guest)
    end.connection.write(first!.subarray(1, 20))
    await turn(guest)
    expect(end.received).toEqual([])
    end.connection.write(Uint8Array.of(...first!.subarray(20), ...second!, ...second!))
    await turn(guest)
    const lengths = [first!.length + 32, second!.length, second!.length]
    expect(end.received.length).toBe(lengths[0]! + lengths[1]! + lengths[2]!)
    // Its length, its name, one question and two answers; then two that have no such name.
    expect(end.received.slice(0, 10)).toEqual([0, lengths[0]! - 2, 0x12, 0x34, 0x81, 0x80, 0, 1, 0, 2])
    expect(end.received.slice(lengths[0], lengths[0]! + 6)).toEqual([0, lengths[1]! - 2, 0x12, 0x34, 0x81, 0x83])
    expect(end.connection.atEnd).toBe(false)
    end.connection.end()
    guest.clock.advance(100_000)
    expect([end.ended, guest.network.openConnections.tcp]).toEqual(['finished', 0])
  })

  test('a guest that asks and does not read keeps one answer of ours, and has all of them later', async () => {
    const guest = await TestGuest.create()
    const asked: number[] = []
    const query = async (message: Uint8Array, overTcp: boolean): Promise<Uint8Array> => {
      asked.push(Number(overTcp))
      return Uint8Array.from({ length: 60_000 }, (_, i) => (i < 12 ? message[i]! : i))
    }
    Object.assign(guest.host, { query })
    const end = guest.tcp(1000, 53, DNS)
    end.reads = false
    guest.clock.advance(10)
    for (let i = 0; i < 40; i++) end.connection.write(framed(question('a.test', 16)))
    end.connection.end()
    for (let i = 0; i < 20; i++) await turn(guest)
    expect(asked.length).toBeLessThan(15)
    end.reads = true
    end.drain()
    for (let i = 0; i < 60; i++) await turn(guest)
    expect([asked.length, new Set(asked), end.received.length]).toEqual([40, new Set([1]), 40 * 60_002])
    expect([end.received[1], end.received[60_001], end.received[60_003]]).toEqual([0x60, 59_999 & 255, 0x60])
    guest.clock.advance(100_000)
    expect([end.ended, guest.network.openConnections.tcp]).toEqual(['finished', 0])
  })

  test('what is no question breaks its connection off', async () => {
    const guest = await TestGuest.create()
    const end = guest.tcp(1000, 53, DNS)
    guest.clock.advance(10)
    end.connection.write(Uint8Array.of(0, 3, 1, 2, 3))
    guest.clock.advance(100)
    expect([end.ended, guest.network.openConnections.tcp]).toEqual(['reset', 0])
    guest.network.close()
  })
})

describe('TCP', () => {
  test('streams pass both ways, and so do their ends', async () => {
    const guest = await TestGuest.create()
    const end = guest.tcp(1000, 80, address('192.0.2.1'))
    const [socket] = guest.host.tcp
    expect(socket!.to).toEqual({ address: '192.0.2.1', port: 80 })
    expect(end.connected).toBe(false)
    socket!.client.connected()
    guest.clock.advance(10)
    expect(end.connected).toBe(true)
    end.connection.write(text('GET'))
    socket!.client.data(text('answer'))
    socket!.client.ended()
    guest.clock.advance(100)
    expect(socket!.written).toEqual([...text('GET')])
    expect(end.received).toEqual([...text('answer')])
    expect([end.connection.atEnd, socket!.ended]).toEqual([true, false])
    end.connection.end()
    guest.clock.advance(100)
    expect(socket!.ended).toBe(true)
    guest.clock.advance(100_000)
    expect(guest.network.openConnections.tcp).toBe(0)
    expect(socket!.aborted).toBe(false)
  })

  test('the host itself is at the gateway', async () => {
    const guest = await TestGuest.create()
    guest.tcp(1000, 8080)
    expect(guest.host.tcp[0]!.to).toEqual({ address: '127.0.0.1', port: 8080 })
  })

  test.each([
    { to: '0.0.0.1', reaches: false },
    { to: '0.255.255.255', reaches: false },
    { to: '1.0.0.0', reaches: true },
    { to: '10.0.1.255', reaches: true },
    { to: '10.0.2.0', reaches: false },
    { to: '10.0.2.200', reaches: false },
    { to: '10.0.3.0', reaches: true },
    { to: '126.255.255.255', reaches: true },
    { to: '127.0.0.1', reaches: false },
    { to: '127.255.255.255', reaches: false },
    { to: '128.0.0.0', reaches: true },
    { to: '223.255.255.255', reaches: true },
  ])('a connection to $to leads there: $reaches', async ({ to, reaches }) => {
    const guest = await TestGuest.create()
    const end = guest.tcp(1000, 80, address(to))
    guest.clock.advance(10)
    expect(guest.host.tcp.map((each) => each.to)).toEqual(reaches ? [{ address: to, port: 80 }] : [])
    expect(end.ended).toBe(reaches ? null : 'refused')
  })

  test('a host that refuses: a reset; one that is not there: ICMP', async () => {
    const guest = await TestGuest.create()
    const refused = guest.tcp(1000, 80)
    guest.host.tcp[0]!.client.closed('refused')
    guest.clock.advance(1)
    expect(refused.ended).toBe('refused')
    guest.tcp(1001, 80)
    guest.host.tcp[1]!.client.closed('unreachable')
    guest.clock.advance(1)
    expect(guest.packets.at(-1)!.protocol).toBe(PROTOCOL_ICMP)
    expect([...guest.packets.at(-1)!.payload.subarray(0, 2)]).toEqual([3, 1])
  })

  test('a guest that reads nothing stops the host, and a full host stops the guest', async () => {
    const guest = await TestGuest.create()
    const end = guest.tcp(1000, 80)
    const socket = guest.host.tcp[0]!
    socket.client.connected()
    guest.clock.advance(10)
    end.reads = false
    let sent = 0
    for (; sent < 1000 && !socket.paused; sent++) {
      socket.client.data(new Uint8Array(10_000).fill(sent))
      guest.clock.advance(5)
    }
    expect(sent).toBeLessThan(200)
    end.reads = true
    end.drain()
    guest.clock.advance(5000)
    end.drain()
    expect(socket.paused).toBe(false)
    expect(end.received.length).toBe(sent * 10_000)
    socket.full = true
    let written = 0
    for (let i = 0; i < 2000; i++) {
      written += end.connection.write(new Uint8Array(1000))
      guest.clock.advance(1)
    }
    expect(written).toBeLessThan(1_500_000)
    expect(socket.written.length).toBeLessThan(100_000)
    socket.full = false
    socket.client.drained()
    guest.clock.advance(120_000)
    expect(socket.written.length).toBe(written)
  })

  test('a guest that never completes the handshake stops a host that talks first', async () => {
    const guest = await TestGuest.create()
    guest.full = true
    guest.tcp(1000, 80)
    const socket = guest.host.tcp[0]!
    socket.client.connected()
    socket.client.data(text('220 hello'))
    expect(socket.paused).toBe(true)
    guest.full = false
    guest.network.ready()
    guest.clock.advance(10)
    expect(socket.paused).toBe(false)
  })

  test('a reset of either side resets the other', async () => {
    const guest = await TestGuest.create()
    const [first, second] = [guest.tcp(1000, 80), guest.tcp(1001, 80)]
    for (const socket of guest.host.tcp) socket.client.connected()
    guest.clock.advance(10)
    first.connection.abort()
    guest.host.tcp[1]!.client.closed('reset')
    guest.clock.advance(10)
    expect([guest.host.tcp[0]!.aborted, second.ended]).toEqual([true, 'reset'])
    expect(guest.network.openConnections.tcp).toBe(0)
  })

  test.each([
    { what: 'an acknowledgment', flags: TCP_ACK, givesUp: false },
    { what: 'the end of its stream', flags: TCP_ACK | TCP_FIN, givesUp: false },
    { what: 'a reset', flags: TCP_RST, givesUp: true },
    { what: 'a reset that acknowledges', flags: TCP_RST | TCP_ACK, givesUp: true },
  ])('while the host still connects, $what of the guest gives up: $givesUp', async ({ flags, givesUp }) => {
    const guest = await TestGuest.create()
    guest.tcp(1000, 80)
    const ends = { localAddress: GUEST, localPort: 1000, remoteAddress: GATEWAY, remotePort: 80 }
    const header = { sequence: 1, acknowledgment: 0, flags, window: 1000 }
    guest.sendFrame(finishTcp(makeTcp(ends, header, 0), ends))
    expect([guest.host.tcp[0]!.aborted, guest.network.openConnections.tcp]).toEqual(givesUp ? [true, 0] : [false, 1])
  })

  test('a segment of no connection is answered by a reset that it accepts', async () => {
    const guest = await TestGuest.create()
    const end = guest.tcp(1000, 80)
    guest.host.tcp[0]!.client.connected()
    guest.clock.advance(10)
    // The network was started again; the guest goes on.
    guest.network.close()
    await guest.restart()
    end.connection.write(text('more'))
    guest.clock.advance(10)
    expect(end.ended).toBe('reset')
    expect(guest.segments.at(-1)!.flags & TCP_RST).not.toBe(0)
  })

  test('hostLoopback: no address leads to servers at 127.0.0.1, and others are reached', async () => {
    const guest = await TestGuest.create({ hostLoopback: false })
    for (const to of [GATEWAY, 0x7f00_0001, 0x7fff_fffe, 0, 1]) {
      guest.tcp(1000, 6379, to)
      guest.sendUdp(1000, 6379, text('x'), to)
    }
    guest.clock.settle()
    expect(guest.host.tcp.length).toBe(0)
    expect(guest.host.udp.flatMap(({ sent }) => sent)).toEqual([])
    guest.tcp(1001, 80, 0x0808_0808)
    guest.clock.settle()
    expect(guest.host.tcp.map(({ to }) => to)).toEqual([{ address: '8.8.8.8', port: 80 }])
  })

  test('restrict: nothing leads out, forwarded ports lead in', async () => {
    const guest = await TestGuest.create({ restrict: true, hostForwards: [{ hostPort: 2222, guestPort: 22 }] })
    guest.tcp(1000, 80)
    guest.sendUdp(5, 6, text('x'))
    guest.sendUdp(1000, 53, question('guest.test', 1), DNS)
    guest.clock.settle()
    expect([guest.host.tcp.length, guest.host.udp.length]).toEqual([0, 0])
    expect(guest.packets.map(({ payload }) => [...payload.subarray(0, 2)])).toEqual([
      [3, 13],
      [3, 13],
      [3, 13],
    ])
    const end = guest.listen(22)
    const socket = { written: '', ...nothing, write: (bytes: Uint8Array) => Boolean((socket.written += String(bytes))) }
    const client = guest.host.listeners[0]!.accept({ address: '127.0.0.1', port: 5000 }, socket)
    client.data(text('hi'))
    guest.clock.advance(100)
    expect(end.received).toEqual([...text('hi')])
    expect(guest.segments[0]).toMatchObject({ sourcePort: 5000, destinationPort: 22 })
    expect(guest.packets.at(-1)!.source).toBe(GATEWAY)
    end.connection.write(text('yo'))
    guest.clock.advance(100)
    expect(socket.written).toBe(String(text('yo')))
  })
})

const nothing = { end() {}, abort() {}, pause() {}, resume() {} }

describe('TFTP (RFC 1350)', () => {
  const request = Uint8Array.of(0, 1, ...text('kernel\0octet\0'))

  test('without a folder every request is answered with an error', async () => {
    const guest = await TestGuest.create({})
    guest.sendUdp(1000, 69, request)
    guest.clock.advance(1)
    expect(guest.datagrams).toMatchObject([{ sourcePort: 69, destinationPort: 1000 }])
    expect([...guest.datagrams[0]!.payload.subarray(0, 4)]).toEqual([0, 5, 0, 2])
  })

  test('a few files are read at once, and one for each client', async () => {
    const reads: (() => void)[] = []
    const bootFiles = (): Promise<Uint8Array> => new Promise((resolve) => reads.push(() => resolve(Uint8Array.of(7))))
    const guest = await TestGuest.create({ bootFiles })
    for (const port of [1000, 1000, 1001, 1002, 1003, 1004, 1005]) guest.sendUdp(port, 69, request)
    expect(reads.length).toBe(4)
    for (const finish of reads.splice(0)) finish()
    await new Promise(setImmediate)
    guest.clock.advance(1)
    expect(guest.datagrams.map(({ destinationPort }) => destinationPort)).toEqual([1000, 1001, 1002, 1003])
    guest.sendUdp(1004, 69, request)
    expect(reads.length).toBe(1)
  })
})

test('an address outside of the usual network: the message names the network', async () => {
  await expect(TestGuest.create({ host: '192.0.2.1' })).rejects.toThrow(
    'host 192.0.2.1: expected an address of 10.0.2.0/24',
  )
})

describe('UDP and ICMP', () => {
  test('a port of the guest has one socket, answers of anyone come back to it, and it closes when idle', async () => {
    const guest = await TestGuest.create()
    guest.sendUdp(500, 600, text('one'), address('192.0.2.7'))
    guest.sendUdp(500, 601, text('two'))
    expect(guest.host.udp.length).toBe(1)
    const [socket] = guest.host.udp
    expect(socket!.sent.map(({ to }) => to)).toEqual([
      { address: '192.0.2.7', port: 600 },
      { address: '127.0.0.1', port: 601 },
    ])
    socket!.receive({ address: '127.0.0.1', port: 601 }, text('back'))
    socket!.receive({ address: '192.0.2.9', port: 9 }, text('other'))
    guest.clock.settle()
    expect(guest.datagrams.map(({ source, sourcePort }) => [source, sourcePort])).toEqual([
      [GATEWAY, 601],
      [address('192.0.2.9'), 9],
    ])
    guest.clock.advance(200_000)
    expect(socket!.open).toBe(true)
    guest.clock.advance(400_000)
    expect(socket!.open).toBe(false)
  })

  test('many peers of a forwarded port leave the sockets of the guest alone', async () => {
    const guest = await TestGuest.create({ hostForwards: [{ protocol: 'udp', hostPort: 5353, guestPort: 53 }] })
    guest.sendUdp(1000, 123, text('time?'), 0xc0000201)
    const own = guest.host.udp.at(-1)!
    for (let i = 0; i < 300; i++) guest.host.udp[0]!.receive({ address: '198.51.100.1', port: 1 + i }, text('x'))
    own.receive({ address: '192.0.2.1', port: 123 }, text('now'))
    guest.clock.advance(1)
    expect(guest.datagrams.at(-1)).toMatchObject({ destinationPort: 1000, sourcePort: 123 })
    expect(own.open).toBe(true)
  })

  test('long datagrams pass in fragments, both ways', async () => {
    const guest = await TestGuest.create()
    const long = Uint8Array.from({ length: 20_000 }, (_, i) => i * 7)
    guest.sendUdp(500, 600, long)
    const [socket] = guest.host.udp
    expect(socket!.sent[0]!.bytes).toEqual(long)
    socket!.receive({ address: '127.0.0.1', port: 600 }, long)
    guest.clock.settle()
    expect(guest.datagrams[0]!.payload).toEqual(long)
  })

  test('the gateway answers echo requests; of others the guest is told that they are not sent', async () => {
    const guest = await TestGuest.create()
    const echo = Uint8Array.of(8, 0, 0xe5, 0xca, 0x12, 0x34, 0, 1, 1, 2, 3, 4)
    echo.set([0, 0], 2)
    const sum = [0x0800, 0x1234, 1, 0x0102, 0x0304].reduce((a, b) => a + b)
    echo.set([(~sum >> 8) & 255, ~sum & 255], 2)
    guest.send(PROTOCOL_ICMP, echo)
    guest.send(PROTOCOL_ICMP, echo, address('192.0.2.1'))
    guest.clock.settle()
    const [reply, error] = guest.packets
    expect([...reply!.payload]).toEqual([0, 0, (~(sum - 0x800) >> 8) & 255, ~(sum - 0x800) & 255, ...echo.subarray(4)])
    expect([...error!.payload.subarray(0, 2)]).toEqual([3, 13])
    expect(reply!.destination).toBe(GUEST)
  })
})

test('a card without room gets its frames later, in order', async () => {
  const guest = await TestGuest.create()
  guest.full = true
  for (let i = 0; i < 5; i++) guest.sendUdp(500 + i, 67, dhcpMessage(GUEST_MAC + 2 * i, [53, 1, 1]), ANYWHERE, 0)
  guest.clock.settle()
  expect(guest.frames.length).toBe(0)
  guest.full = false
  guest.network.ready()
  guest.clock.settle()
  expect(guest.datagrams.map(({ payload }) => payload[19])).toEqual([15, 16, 17, 18, 19])
})

test.each([
  { network: '10.0.2.0/30' },
  { network: '10.0.2.0' },
  { host: '10.0.3.2' },
  { host: '10.0.2.3' },
  { dhcpStart: '10.0.2.2' },
  { dns: 'here' },
  { hostForwards: [{ hostPort: 70_000, guestPort: 22 }] },
  { hostForwards: [{ hostPort: 0, guestPort: 0 }] },
  { hostForwards: [{ hostPort: 0, guestPort: 1, guestAddress: '192.0.2.1' }] },
])('%o is refused', async (options) => {
  await expect(TestGuest.create(options)).rejects.toThrow(NetworkError)
})

describe('ports of forwards', () => {
  const address = '10.0.2.100'
  const accept = (): null => null
  test.each<{ readonly field: string; readonly least: number; readonly of: (port: number) => object }>([
    // Port 0 of the host: whichever is free.
    { field: 'hostPort', least: 0, of: (hostPort) => ({ hostForwards: [{ hostPort, guestPort: 22 }] }) },
    { field: 'guestPort', least: 1, of: (guestPort) => ({ hostForwards: [{ hostPort: 22, guestPort }] }) },
    { field: 'port', least: 1, of: (port) => ({ guestForwards: [{ address, port, accept }] }) },
  ])('$field is from $least to 65535', async ({ least, of }) => {
    for (const port of [least, 65_535]) expect(await TestGuest.create(of(port)).then(() => 'made')).toBe('made')
    for (const port of [least - 1, 65_536, 22.5, NaN, Infinity])
      expect(await TestGuest.create(of(port)).catch((error: unknown) => error)).toMatchObject({ code: 'ERR_OPTION' })
  })
})
