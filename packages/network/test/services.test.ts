// What the gateway and its name server answer, byte by byte.
import { describe, expect, test } from 'vitest'
import { DhcpServer, type DhcpOptions } from '../src/user/dhcp.ts'
import { DnsForwarder } from '../src/user/dns.ts'
import { TftpServer } from '../src/user/tftp.ts'
import { HostNetwork } from './support/test-guest.ts'
import { VirtualClock } from './support/virtual-clock.ts'

const hex = (text: string): Uint8Array => new Uint8Array(Buffer.from(text.replaceAll(/\s/g, ''), 'hex'))
const text = (value: string): number[] => [...new TextEncoder().encode(value)]
const settle = (): Promise<void> => new Promise((resolve) => setImmediate(resolve))

describe('DHCP (RFC 2131, RFC 2132)', () => {
  const OPTIONS: DhcpOptions = {
    subnet: { network: 0x8a000200, mask: 0xffffff00 },
    gateway: 0x8a000202,
    dns: 0x8a000203,
    firstAddress: 0x8a00020f,
    isolated: false,
  }
  const MAC = hex('525400123456')

  function ask(
    options: readonly number[],
    { client = '00000000', flags = '0000', mac = MAC, magic = '63825363' } = {},
  ): Uint8Array {
    const message = new Uint8Array(240 + options.length)
    message.set(hex('01010600 a1b2c3d4 0007'))
    message.set(hex(flags), 10)
    message.set(hex(client), 12)
    message.set(mac, 28)
    message.fill(0x33, 34, 44)
    message.set(hex(magic), 236)
    message.set(options, 240)
    return message
  }

  /** The options of an answer, by code. */
  function optionsOf(message: Uint8Array): Record<number, number[]> {
    const found: Record<number, number[]> = {}
    for (let at = 240; message[at] !== 255; at += 2 + message[at + 1]!) {
      found[message[at]!] = [...message.subarray(at + 2, at + 2 + message[at + 1]!)]
    }
    return found
  }

  test('an offer has all fields', () => {
    const server = new DhcpServer({
      ...OPTIONS,
      ...{ hostName: 'box', domainName: 'home.test', bootFile: 'kernel', serverName: 'boot' },
    })
    const { message, address, mac } = server.receive(ask([53, 1, 1, 255]))!
    expect(message.length).toBe(304)
    expect(new DhcpServer(OPTIONS).receive(ask([53, 1, 1, 255]))!.message.length).toBe(300)
    expect(message.subarray(0, 28)).toEqual(hex('02010600 a1b2c3d4 0000 0000 00000000 8a00020f 8a000202 00000000'))
    expect(message.subarray(28, 44)).toEqual(Uint8Array.of(...MAC, ...Array<number>(10).fill(0x33)))
    expect([...message.subarray(44, 108)].every((byte) => byte === 0)).toBe(true)
    expect([...message.subarray(108, 236)]).toEqual([...text('kernel'), ...Array<number>(122).fill(0)])
    expect(message.subarray(236, 240)).toEqual(hex('63825363'))
    expect(optionsOf(message)).toEqual({
      53: [2],
      54: [0x8a, 0, 2, 2],
      51: [0, 1, 0x51, 0x80],
      1: [255, 255, 255, 0],
      3: [0x8a, 0, 2, 2],
      6: [0x8a, 0, 2, 3],
      12: text('box'),
      15: text('home.test'),
      66: text('boot'),
      67: text('kernel'),
    })
    expect([address, mac]).toEqual([0x8a00020f, 0x525400123456])
  })

  test('long names are cut where their fields end, and the message grows', () => {
    const long = 'x'.repeat(300)
    const { message } = new DhcpServer({ ...OPTIONS, bootFile: long, hostName: long }).receive(ask([53, 1, 1, 255]))!
    expect([message[108 + 126], message[108 + 127], message.length]).toEqual([
      120,
      0,
      240 + 3 + 4 * 6 + 6 + 2 * 257 + 1,
    ])
    expect([optionsOf(message)[67]!.length, message.at(-1)]).toEqual([255, 255])
  })

  test('without a way out, and without a name server, none is told', () => {
    const codes = (options: Partial<DhcpOptions>): string[] =>
      Object.keys(optionsOf(new DhcpServer({ ...OPTIONS, ...options }).receive(ask([53, 1, 1, 255]))!.message))
    expect(codes({ isolated: true })).toEqual(['1', '51', '53', '54'])
    expect(codes({ dns: null })).toEqual(['1', '3', '51', '53', '54'])
  })

  test.each([
    { given: 'no address', request: {}, to: [0x8a00020f, 0x525400123456], says: ['0000', '00000000'] },
    {
      given: 'a wish for a broadcast',
      request: { flags: '8000' },
      to: [0xffffffff, 0xffffffffffff],
      says: ['8000', '00000000'],
    },
    { given: 'other flags', request: { flags: '7fff' }, to: [0x8a00020f, 0x525400123456], says: ['0000', '00000000'] },
    {
      given: 'an address',
      request: { client: '8a000230', flags: '8000' },
      to: [0x8a000230, 0x525400123456],
      says: ['8000', '8a000230'],
    },
  ])('a client with $given is reached', ({ request, to, says }) => {
    const { message, address, mac } = new DhcpServer(OPTIONS).receive(ask([53, 1, 1, 255], request))!
    expect([address, mac]).toEqual(to)
    expect([message.subarray(10, 12), message.subarray(12, 16)]).toEqual(says.map(hex))
  })

  test('a request for another address is refused, of all, and says nothing more', () => {
    const server = new DhcpServer(OPTIONS)
    server.receive(ask([53, 1, 1, 255]))
    const { message, address, mac } = server.receive(
      ask([53, 1, 3, 50, 4, 0x8a, 0, 2, 0x10, 255], { client: '8a000230' }),
    )!
    expect(optionsOf(message)).toEqual({ 53: [6], 54: [0x8a, 0, 2, 2] })
    expect([address, mac, message.subarray(12, 20)]).toEqual([0xffffffff, 0xffffffffffff, new Uint8Array(8)])
    // A renewal names it as the client's.
    const renewed = server.receive(ask([53, 1, 3, 255], { client: '8a00020f' }))!
    expect([optionsOf(renewed.message)[53], renewed.address]).toEqual([[5], 0x8a00020f])
  })

  test('INFORM gets what there is to know, and no address', () => {
    const { message } = new DhcpServer(OPTIONS).receive(ask([53, 1, 8, 255], { client: '8a000230' }))!
    expect(Object.keys(optionsOf(message))).toEqual(['1', '3', '6', '53', '54'])
    expect(message.subarray(12, 20)).toEqual(hex('8a000230 00000000'))
  })

  test('BOOTP has no type, and gets an address', () => {
    const { message } = new DhcpServer(OPTIONS).receive(ask([255]))!
    expect(Object.keys(optionsOf(message))).toEqual(['1', '3', '6', '54'])
    expect(message.subarray(16, 20)).toEqual(hex('8a00020f'))
  })

  test('what is no request of Ethernet, or another server’s, is not answered', () => {
    const changed = (at: number): Uint8Array => {
      const message = ask([53, 1, 1, 255])
      message[at]!++
      return message
    }
    const server = new DhcpServer(OPTIONS)
    const other = [
      ...[changed(0), changed(1), changed(2), changed(239), ask([53, 1, 1, 255]).subarray(0, 239)],
      ask([53, 1, 1, 54, 4, 0x8a, 0, 2, 3, 255]),
      ...[0, 2, 5, 6, 9].map((type) => ask([53, 1, type, 255])),
    ]
    expect(other.map((message) => server.receive(message))).toEqual(other.map(() => null))
    expect(server.receive(ask([53, 1, 1, 54, 4, 0x8a, 0, 2, 2, 255]))).not.toBe(null)
    expect(server.receive(ask([]))).not.toBe(null)
  })

  test('padding passes, the first of each option counts, and a cut one ends them', () => {
    const type = (options: readonly number[]): number[] | undefined =>
      optionsOf(new DhcpServer(OPTIONS).receive(ask(options))!.message)[53]
    expect([type([0, 0, 53, 1, 8, 53, 1, 1]), type([12, 3, 1, 2, 3, 53, 1, 8]), type([53, 1, 1])]).toEqual([
      [5],
      [5],
      [2],
    ])
    expect([type([53, 2, 1]), type([53]), type([255, 53, 1, 1])]).toEqual([undefined, undefined, undefined])
  })

  test('a wish is granted within the range, and where it is free', () => {
    const granted = (last: number, options: Partial<DhcpOptions> = {}): number =>
      new DhcpServer({ ...OPTIONS, ...options }).receive(ask([53, 1, 1, 50, 4, 0x8a, 0, 2, last, 255]))!.message[19]!
    expect([14, 15, 16, 254, 255].map((last) => granted(last))).toEqual([15, 15, 16, 254, 15])
    expect([granted(20, { dns: 0x8a000214 }), granted(20, { gateway: 0x8a000214 })]).toEqual([15, 15])
    expect(granted(20, { firstAddress: 0x8a000213, gateway: 0x8a000213, dns: 0x8a000214 })).toBe(21)
    const elsewhere = new DhcpServer(OPTIONS).receive(ask([53, 1, 1, 50, 4, 0x8a, 0, 3, 20, 255]))!
    expect(elsewhere.message.subarray(16, 20)).toEqual(hex('8a00020f'))
    expect(new DhcpServer(OPTIONS).receive(ask([53, 1, 1, 50, 3, 0x8a, 0, 2, 255]))!.message[19]).toBe(15)
  })

  test('an address that is given back is free again, and so is the oldest of 256', () => {
    const server = new DhcpServer({ ...OPTIONS, subnet: { network: 0x8a000000, mask: 0xffff0000 } })
    const macOf = (i: number): Uint8Array => Uint8Array.of(2, 0, 0, 0, i >> 8, i & 255)
    const give = (i: number): number => {
      const { message } = server.receive(ask([53, 1, 1, 255], { mac: macOf(i) }))!
      return message[18]! * 256 + message[19]!
    }
    expect([give(0), give(1)]).toEqual([0x20f, 0x210])
    for (const type of [7, 4]) {
      expect(server.receive(ask([53, 1, type, 255], { mac: macOf(0) }))).toBe(null)
      expect([give(9), give(0)]).toEqual([0x20f, 0x211])
      server.receive(ask([53, 1, 7, 255], { mac: macOf(9) }))
      server.receive(ask([53, 1, 7, 255], { mac: macOf(0) }))
      expect(give(0)).toBe(0x20f)
    }
    const full = new DhcpServer({ ...OPTIONS, subnet: { network: 0x8a000000, mask: 0xffff0000 } })
    const given = Array.from({ length: 257 }, (_, i) => {
      const { message } = full.receive(ask([53, 1, 1, 255], { mac: macOf(i) }))!
      return message[18]! * 256 + message[19]!
    })
    expect([given[255], given[256]]).toEqual([0x20f + 255, 0x20f])
  })
})

describe('DNS (RFC 1035 §4)', () => {
  const ask = async (message: Uint8Array, host: Partial<HostNetwork> & object = {}): Promise<Uint8Array | null> => {
    let answer: Uint8Array | null = null
    new DnsForwarder(Object.assign(new HostNetwork(), host)).receive(message, (bytes) => (answer = bytes))
    await settle()
    return answer
  }
  const QUESTION = '05 6775657374 04 74657374 00 0001 0001'

  test('an answer repeats the question, and names each address', async () => {
    expect(await ask(hex(`abcd 0100 0001 0003 0002 0001 ${QUESTION} ffff`))).toEqual(
      hex(`abcd 8180 0001 0002 0000 0000 ${QUESTION}
        c00c 0001 0001 0000001e 0004 c0000250
        c00c 0001 0001 0000001e 0004 c0000251`),
    )
  })

  test('24 addresses at most, and only those of IPv4', async () => {
    const addresses = [...Array.from({ length: 30 }, (_, i) => `192.0.2.${i}`), '::1', 'x']
    const answer = await ask(hex(`0000 0000 0001 0000 0000 0000 ${QUESTION}`), { lookup: async () => addresses })
    expect([answer![7], answer!.length, answer!.at(-1)]).toEqual([24, 12 + 16 + 24 * 16, 23])
    const some = await ask(hex(`0000 0000 0001 0000 0000 0000 ${QUESTION}`), { lookup: async () => ['::1', '1.2.3.4'] })
    expect([some![7], [...some!.subarray(-4)]]).toEqual([1, [1, 2, 3, 4]])
  })

  test.each([
    {
      given: 'a status request',
      message: `1111 1000 0001 0000 0000 0000 ${QUESTION}`,
      answer: `1111 9084 0001 0000 00000000 ${QUESTION}`,
    },
    {
      given: 'two questions',
      message: `1111 0900 0002 0000 0000 0000 ${QUESTION}`,
      answer: '1111 8984 0000 0000 00000000',
    },
    {
      given: 'another class',
      message: '1111 0000 0001 0000 0000 0000 0161 00 0001 0003',
      answer: '1111 8084 0001 0000 00000000 0161 00 0001 0003',
    },
    {
      given: 'a name that no host has',
      message: '1111 0000 0001 0000 0000 0000 012e 00 0001 0001',
      answer: '1111 8084 0000 0000 00000000',
    },
    {
      given: 'a name that is cut',
      message: '1111 0000 0001 0000 0000 0000 0361 61',
      answer: '1111 8084 0000 0000 00000000',
    },
    {
      given: 'a label of 64 bytes',
      message: `1111 0000 0001 0000 0000 0000 40 ${'61'.repeat(64)} 00 0001 0001`,
      answer: '1111 8084 0000 0000 00000000',
    },
    {
      given: 'a question without its class',
      message: '1111 0000 0001 0000 0000 0000 0161 00 0001 00',
      answer: '1111 8084 0000 0000 00000000',
    },
    {
      given: 'a label of 63 bytes',
      message: `1111 0000 0001 0000 0000 0000 3f ${'61'.repeat(63)} 00 0001 0001`,
      answer: `1111 8083 0001 0000 00000000 3f ${'61'.repeat(63)} 00 0001 0001`,
    },
    {
      given: 'an IPv6 address',
      message: '1111 0000 0001 0000 0000 0000 05 6775657374 04 74657374 00 001c 0001',
      answer: '1111 8080 0001 0000 00000000 05 6775657374 04 74657374 00 001c 0001',
    },
  ])('$given', async ({ message, answer }) => {
    expect(await ask(hex(message))).toEqual(hex(answer))
  })

  test('what is cut in its header, and an answer, are not answered', async () => {
    expect(await ask(hex(`1111 0000 0001 0000 0000 00`))).toBe(null)
    expect(await ask(hex(`1111 8000 0001 0000 0000 0000 ${QUESTION}`))).toBe(null)
    expect(await ask(hex(`1111 0000 0000 0000 0000 0000`))).toEqual(hex('1111 8084 0000 0000 0000 0000'))
  })

  test('another type goes to the host’s name server, and 64 questions at once', async () => {
    const asked: ((answer: Uint8Array) => void)[] = []
    const host = Object.assign(new HostNetwork(), {
      query: () => new Promise<Uint8Array>((resolve) => asked.push(resolve)),
    })
    const dns = new DnsForwarder(host)
    const replies: number[] = []
    const other = hex('1111 0000 0001 0000 0000 0000 0161 00 0010 0001')
    for (let i = 0; i < 66; i++) dns.receive(other, ([first]) => replies.push(first!))
    expect(asked.length).toBe(64)
    asked[0]!(Uint8Array.of(9))
    await settle()
    expect(replies).toEqual([9])
    for (let i = 0; i < 2; i++) dns.receive(other, () => {})
    expect(asked.length).toBe(65)
  })
})

describe('TFTP (RFC 1350, RFC 2347)', () => {
  const CLIENT = { address: 1, port: 2 } as never
  const request = (...parts: readonly string[]): Uint8Array =>
    Uint8Array.of(0, 1, ...text(parts.map((part) => `${part}\0`).join('')))
  const acknowledge = (block: number): Uint8Array => Uint8Array.of(0, 4, block >> 8, block & 255)
  const file = (bytes: number): Uint8Array => Uint8Array.from({ length: bytes }, (_, i) => i * 3 + (i >> 8))

  const serve = (bytes: number) => {
    const clock = new VirtualClock()
    const server = new TftpServer(async (name) => (name === 'kernel' ? file(bytes) : null), clock)
    const replies: Uint8Array[] = []
    const ask = async (message: Uint8Array, client = CLIENT): Promise<Uint8Array | undefined> => {
      const before = replies.length
      server.receive(client, message, (reply) => replies.push(reply))
      await settle()
      return replies.length === before ? undefined : replies.at(-1)
    }
    return { ask, clock, replies, server }
  }

  test.each([
    [0, 512, []],
    [511, 512, []],
    [512, 512, []],
    [513, 512, []],
    [2000, 8, ['blksize', '8']],
    [2000, 512, ['blksize', '7']],
    [2000, 512, ['BLKSIZE', '512']],
    [2936, 1468, ['blksize', '1468']],
    [2937, 1468, ['blksize', '1469']],
    [2000, 512, ['blksize', 'x']],
    [2000, 512, ['blksize', '9.5']],
  ] as const)('%d bytes come in blocks of %d', async (bytes, blockBytes, options) => {
    const { ask } = serve(bytes)
    let reply = await ask(
      request('kernel', 'octet', ...options, ...(options.length > 0 ? ['tsize', '0', 'other', '1'] : [])),
    )
    if (options.length > 0) {
      const parts = ['blksize', String(blockBytes), 'tsize', String(bytes)]
      expect(reply).toEqual(Uint8Array.of(0, 6, ...text(parts.map((part) => `${part}\0`).join(''))))
      expect(await ask(acknowledge(1))).toBe(undefined)
      reply = await ask(acknowledge(0))
    }
    const received: number[] = []
    for (let block = 1; ; block++) {
      expect([...reply!.subarray(0, 4)]).toEqual([0, 3, block >> 8, block & 255])
      received.push(...reply!.subarray(4))
      expect(await ask(acknowledge(block - 1))).toBe(undefined)
      reply = await ask(acknowledge(block))
      if (reply === undefined) break
    }
    expect(received).toEqual([...file(bytes)])
    expect(Math.floor(bytes / blockBytes) + 1).toBe(Math.ceil((received.length + 1) / blockBytes))
  })

  test('the number of a block has 16 bits', async () => {
    const { ask } = serve(8 * 65_540)
    await ask(request('kernel', 'OCTET', 'blksize', '8'))
    for (let block = 0; block < 65_535; block += 1) {
      // Only the ends are waited for: a reply to an acknowledgment comes at once.
      if (block === 0 || block > 65_530) await ask(acknowledge(block))
      else void ask(acknowledge(block))
    }
    expect([...(await ask(acknowledge(65_535)))!.subarray(0, 4)]).toEqual([0, 3, 0, 0])
    expect([...(await ask(acknowledge(0)))!.subarray(0, 4)]).toEqual([0, 3, 0, 1])
    expect(await ask(acknowledge(0))).toBe(undefined)
  })

  test.each([
    {
      given: 'no such file',
      message: request('none', 'octet'),
      answer: [0, 5, 0, 1, ...text('none: there is no such file\0')],
    },
    { given: 'a write', message: Uint8Array.of(0, 2, 0, 0), answer: [0, 5, 0, 2, ...text('files are only read\0')] },
    { given: 'mail', message: request('kernel', 'mail'), answer: [0, 5, 0, 4, ...text('mode mail: expected octet\0')] },
    {
      given: 'a name without its end',
      message: Uint8Array.of(0, 1, 65, 66),
      answer: [0, 5, 0, 4, ...text('mode : expected octet\0')],
    },
  ])('$given: an error', async ({ message, answer }) => {
    expect([...(await serve(1).ask(message))!]).toEqual(answer)
  })

  test('what is cut, unknown, or acknowledges nothing is not answered; an error ends a transfer', async () => {
    const { ask } = serve(2000)
    const others = [Uint8Array.of(0, 4, 0), Uint8Array.of(0, 9, 0, 0), acknowledge(1)]
    for (const message of others) expect(await ask(message)).toBe(undefined)
    expect((await ask(request('kernel', 'NetASCII')))!.length).toBe(516)
    await ask(Uint8Array.of(0, 5, 0, 0))
    expect(await ask(acknowledge(1))).toBe(undefined)
  })

  test('16 transfers at once; the oldest makes room', async () => {
    const { ask } = serve(2000)
    const client = (port: number) => ({ address: 1, port }) as never
    for (let port = 0; port < 17; port++) await ask(request('kernel', 'octet'), client(port))
    expect(await ask(acknowledge(1), client(0))).toBe(undefined)
    expect((await ask(acknowledge(1), client(1)))![3]).toBe(2)
  })

  test('of 16 transfers, that which was silent for longest makes room', async () => {
    const { ask } = serve(2000)
    const client = (port: number) => ({ address: 1, port }) as never
    for (let port = 0; port < 16; port++) await ask(request('kernel', 'octet'), client(port))
    expect((await ask(acknowledge(1), client(0)))![3]).toBe(2)
    // A client that asks again keeps its place.
    await ask(request('kernel', 'octet'), client(1))
    await ask(request('kernel', 'octet'), client(16))
    expect(await ask(acknowledge(1), client(2))).toBe(undefined)
    expect((await ask(acknowledge(2), client(0)))![3]).toBe(3)
    expect((await ask(acknowledge(1), client(1)))![3]).toBe(2)
  })

  test('a client that is silent for a minute has gone', async () => {
    const { ask, clock } = serve(2000)
    const other = { address: 1, port: 3 } as never
    await ask(request('kernel', 'octet'))
    await ask(request('kernel', 'octet'), other)
    clock.advance(59_000)
    expect((await ask(acknowledge(1)))![3]).toBe(2)
    clock.advance(59_000)
    expect(await ask(acknowledge(1), other)).toBe(undefined)
    expect((await ask(acknowledge(2)))![3]).toBe(3)
    clock.advance(61_000)
    expect(await ask(acknowledge(3))).toBe(undefined)
    expect(clock.timers).toBe(0)
  })

  test('what nothing has followed for a second is sent again, then after two, four and more', async () => {
    const { ask, clock, replies } = serve(600)
    await ask(request('kernel', 'octet', 'blksize', '512'))
    const numbers = (): number[][] => replies.splice(0).map((reply) => [...reply.subarray(0, 4)])
    numbers()
    clock.advance(999)
    expect(numbers()).toEqual([])
    clock.advance(1)
    expect(numbers()).toEqual([[0, 6, 98, 108]])
    await ask(acknowledge(0))
    expect(numbers()).toEqual([[0, 3, 0, 1]])
    const times: number[] = []
    for (let ms = 100; ms <= 10_000; ms += 100) {
      clock.advance(100)
      if (replies.length > 0) times.push(ms)
      expect(numbers().every((number) => number.join(' ') === '0 3 0 1')).toBe(true)
    }
    expect(times).toEqual([1000, 3000, 7000])
    // An acknowledgment that comes twice does not send a block twice.
    await ask(acknowledge(0))
    expect(numbers()).toEqual([])
    await ask(acknowledge(1))
    expect(numbers()).toEqual([[0, 3, 0, 2]])
    await ask(acknowledge(2))
    clock.advance(60_000)
    expect(numbers()).toEqual([])
    expect(clock.timers).toBe(0)
  })

  test('a server that is closed sends nothing, and keeps no timer', async () => {
    const { ask, clock, server } = serve(2000)
    await ask(request('kernel', 'octet'))
    const late = ask(request('kernel', 'octet'), { address: 1, port: 3 } as never)
    server.close()
    expect(await late).toBe(undefined)
    expect(await ask(acknowledge(1))).toBe(undefined)
    expect(clock.timers).toBe(0)
  })
})
