// Frames, byte by byte: what is made is read here field by field, and what is read was laid out here, both after the RFCs.
import fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import { makeArp, readArp, readEthernet } from '../src/frames/ethernet.ts'
import { echoReply, isIcmpError, makeUnreachable, makeUdp, readUdp } from '../src/frames/datagrams.ts'
import { fragmentIpv4, type Ipv4Packet, putIpv4, readIpv4Packet } from '../src/frames/ipv4.ts'
import { Reassembly } from '../src/frames/reassembly.ts'
import { finishTcp, makeTcp, readTcp, resetFor, sackOption, synOptions } from '../src/frames/tcp.ts'
import { VirtualClock } from './support/virtual-clock.ts'

const hex = (text: string): Uint8Array => new Uint8Array(Buffer.from(text.replaceAll(/\s/g, ''), 'hex'))
const word = fc.oneof(fc.nat(0xffff_ffff), fc.constantFrom(0, 0x7fff_ffff, 0x8000_0000, 0xffff_ffff))
const half = fc.oneof(fc.nat(0xffff), fc.constantFrom(0, 255, 256, 0x8000, 0xffff))

/** The checksum of RFC 1071, by its definition: the words and it are a multiple of 0xffff. */
function checksum(...parts: readonly Uint8Array[]): number {
  let sum = 0n
  for (const part of parts) {
    for (const [i, byte] of part.entries()) sum += BigInt(byte) << (i % 2 === 0 ? 8n : 0n)
  }
  const rest = Number(sum % 0xffffn)
  // Words that are not all 0 add up to 0xffff, never to 0.
  return sum === 0n ? 0xffff : rest === 0 ? 0 : 0xffff - rest
}

const viewOf = (bytes: Uint8Array): DataView => new DataView(bytes.buffer, bytes.byteOffset, bytes.length)

/** What UDP and TCP put in front of their checksums' bytes. */
function pseudoHeader(source: number, destination: number, protocol: number, length: number): Uint8Array {
  const bytes = new Uint8Array(12)
  const view = viewOf(bytes)
  view.setUint32(0, source)
  view.setUint32(4, destination)
  bytes[9] = protocol
  view.setUint16(10, length)
  return bytes
}

interface Header {
  readonly source: number
  readonly destination: number
  readonly protocol: number
  readonly identification: number
  readonly fragment: number
  readonly optionWords: number
}

/** A frame with an IPv4 packet, and padding behind it. */
function ipv4Frame(header: Header, payload: Uint8Array, padding = 0): Uint8Array {
  const length = 20 + 4 * header.optionWords
  const frame = new Uint8Array(14 + length + payload.length + padding).fill(0x5a)
  const packet = frame.subarray(14)
  const view = viewOf(packet)
  packet[0] = 0x40 + length / 4
  view.setUint16(2, length + payload.length)
  view.setUint16(4, header.identification)
  view.setUint16(6, header.fragment)
  packet[9] = header.protocol
  view.setUint16(10, 0)
  view.setUint32(12, header.source)
  view.setUint32(16, header.destination)
  view.setUint16(10, checksum(packet.subarray(0, length)))
  packet.set(payload, length)
  return frame
}

const packetOf = (protocol: number, payload: Uint8Array, source = 0x0a00020f, destination = 0x0a000202): Ipv4Packet =>
  readIpv4Packet(ipv4Frame({ source, destination, protocol, identification: 7, fragment: 0, optionWords: 0 }, payload))!

describe('Ethernet and ARP', () => {
  const REQUEST = hex(`ffffffffffff 525400123456 0806  0001 0800 06 04 0001
    525400123456 0a00020f 000000000000 0a000202`)
  const REPLY = hex(`525400123456 52550a000202 0806  0001 0800 06 04 0002
    52550a000202 0a000202 525400123456 8a00020f`)

  test('a request and a reply have the bytes of RFC 826', () => {
    const request = { operation: 'request', senderMac: 0x525400123456, sender: 0x0a00020f, target: 0x0a000202 } as const
    const reply = { operation: 'reply', senderMac: 0x52550a000202, sender: 0x0a000202, target: 0x8a00020f } as const
    expect(makeArp(request)).toEqual(REQUEST)
    expect(makeArp(reply, 0x525400123456)).toEqual(REPLY)
    expect([readArp(REQUEST), readArp(REPLY)]).toEqual([request, reply])
  })

  test('a bit that differs matters where RFC 826 says so', () => {
    for (let bit = 0; bit < 8 * REQUEST.length; bit++) {
      const frame = REQUEST.slice()
      frame[bit >> 3]! ^= 0x80 >> (bit & 7)
      const at = (bit >> 3) - 14
      // Hardware, protocol, lengths; an operation of 1 is one bit from 3, 5 and more, none of which is known, nor is 0.
      const isRefused = (at >= 0 && at < 8) || (at === 8 && bit % 8 === 7)
      expect([bit, readArp(frame) === null]).toEqual([bit, isRefused])
    }
    expect(readArp(REQUEST.subarray(0, 41))).toBe(null)
    expect(readArp(Uint8Array.of(...REQUEST, 0, 0))).not.toBe(null)
  })

  test('a header is 14 bytes, and no group sends', () => {
    expect(readEthernet(REPLY.subarray(0, 14))).toEqual({
      destination: 0x525400123456,
      source: 0x52550a000202,
      type: 0x0806,
    })
    expect(readEthernet(REPLY.subarray(0, 13))).toBe(null)
    expect(readEthernet(hex('525400123456 01005e000001 0800'))).toBe(null)
    expect(readEthernet(hex('01005e000001 525400123456 0800'))).not.toBe(null)
  })
})

describe('IPv4 (RFC 791)', () => {
  const header = fc.record({
    source: word,
    destination: word,
    protocol: fc.nat(255),
    identification: half,
    fragment: fc.nat(0x3fff),
    optionWords: fc.nat(10),
  })

  test('a packet is read as it was laid out, and not with any bit of its header wrong', () => {
    fc.assert(
      fc.property(
        header,
        fc.uint8Array({ maxLength: 64, size: 'max' }),
        fc.nat(30),
        fc.nat(),
        (fields, payload, padding, flip) => {
          const frame = ipv4Frame(fields, payload, padding)
          const end = (fields.fragment & 0x1fff) * 8 + payload.length
          const { source, destination, protocol, identification } = fields
          const headerBytes = 20 + 4 * fields.optionWords
          const expected = {
            ...{ source, destination, protocol, identification, payload },
            offset: (fields.fragment & 0x1fff) * 8,
            moreFragments: fields.fragment >= 0x2000,
            header: frame.subarray(14, 14 + headerBytes),
          }
          expect(readIpv4Packet(frame)).toEqual(end > 65_515 ? null : expected)
          expect(readIpv4Packet(frame.subarray(0, frame.length - padding - 1))).toBe(null)
          frame[14 + (flip % headerBytes)]! ^= 1 << (flip % 8)
          expect(readIpv4Packet(frame)).toBe(null)
        },
      ),
    )
  })

  test('a header has at least 20 bytes, and lies within its packet', () => {
    const make = (first: number, total: number): Uint8Array => {
      const frame = new Uint8Array(100)
      frame[14] = first
      viewOf(frame).setUint16(16, total)
      const length = 4 * (first & 15)
      viewOf(frame).setUint16(24, checksum(frame.subarray(14, 14 + length)))
      return frame
    }
    expect([make(0x45, 20), make(0x46, 24), make(0x45, 86)].map((frame) => readIpv4Packet(frame) !== null)).toEqual([
      true,
      true,
      true,
    ])
    for (const [first, total] of [
      [0x44, 20],
      [0x45, 19],
      [0x46, 23],
      [0x55, 20],
      [0x35, 20],
      [0x45, 87],
    ] as const) {
      expect([first, total, readIpv4Packet(make(first, total))]).toEqual([first, total, null])
    }
    expect(readIpv4Packet(make(0x45, 20).subarray(0, 33))).toBe(null)
    expect(readIpv4Packet(make(0x45, 20).subarray(0, 34))).not.toBe(null)
  })

  test('a header of ours: no fragments unless asked for, 64 hops, a right sum', () => {
    const frame = new Uint8Array(14 + 20 + 3)
    putIpv4(frame, { source: 0x8a00020f, destination: 0xc0a80001, protocol: 17 })
    expect(frame.subarray(14, 24)).toEqual(hex('4500 0017 0000 4000 4011'))
    expect(frame.subarray(26, 34)).toEqual(hex('8a00020f c0a80001'))
    expect(checksum(frame.subarray(14, 34))).toBe(0)
    expect([...frame.subarray(34)]).toEqual([0, 0, 0])
  })

  test.each([0, 1, 1479, 1480, 1481, 2960, 2961, 20_000])('a payload of %d bytes is cut where it must be', (bytes) => {
    const payload = Uint8Array.from({ length: bytes }, (_, i) => i * 31)
    const fields = { source: 1, destination: 2, protocol: 17 }
    const packets = fragmentIpv4(fields, payload, 0xbeef).map((frame) => [frame, readIpv4Packet(frame)!] as const)
    expect(packets.length).toBe(Math.max(1, Math.ceil(bytes / 1480)))
    for (const [i, [frame, packet]] of packets.entries()) {
      const isLast = i === packets.length - 1
      expect(packet).toMatchObject({ offset: 1480 * i, moreFragments: !isLast })
      expect(packet.payload).toEqual(payload.subarray(1480 * i, 1480 * (i + 1)))
      expect(packet.identification).toBe(packets.length > 1 ? 0xbeef : 0)
      expect((frame[20]! & 0x40) !== 0).toBe(packets.length === 1)
    }
  })
})

describe('fragments', () => {
  const fragment = (from: number, to: number, more: boolean, id = 7): Ipv4Packet => ({
    ...packetOf(
      17,
      Uint8Array.from({ length: to - from }, (_, i) => (from + i) * 7),
      1,
      2,
    ),
    ...{ identification: id, offset: from, moreFragments: more },
  })
  const whole = (to: number): Uint8Array => Uint8Array.from({ length: to }, (_, i) => i * 7)

  test('in any order and more than once, they are the packet, once', () => {
    fc.assert(
      fc.property(
        fc.uniqueArray(fc.integer({ min: 1, max: 400 }), { maxLength: 40, size: 'max' }),
        fc.integer({ min: 1, max: 100 }),
        fc.infiniteStream(fc.nat()),
        (cuts, last, random) => {
          const edges = [0, ...cuts.map((cut) => cut * 8).sort((a, b) => a - b)]
          const total = edges.at(-1)! + last
          const parts = edges.map((from, i) => fragment(from, edges[i + 1] ?? total, i + 1 < edges.length))
          const order = parts
            .flatMap((part) => [part, part])
            .map((part) => [random.next().value as number, part] as const)
            .sort(([a], [b]) => a - b)
          const reassembly = new Reassembly(new VirtualClock())
          const missing = new Set(parts)
          for (const [, part] of order) {
            if (missing.size === 0) break
            const isLast = missing.delete(part) && missing.size === 0
            const packet = reassembly.add(part)
            if (parts.length === 1) expect(packet).toBe(part)
            else expect(packet?.payload ?? null).toEqual(isLast ? whole(total) : null)
          }
        },
      ),
    )
  })

  test.each([
    ['that overlap at the front', [fragment(8, 24, true), fragment(0, 16, true), fragment(24, 30, false)]],
    ['that overlap at the back', [fragment(0, 16, true), fragment(8, 24, true), fragment(24, 30, false)]],
    ['behind the end', [fragment(8, 16, false), fragment(16, 24, true), fragment(0, 8, true)]],
    ['with two ends', [fragment(8, 16, false), fragment(16, 24, false), fragment(0, 8, true)]],
    ['that end in the midst of 8 bytes', [fragment(0, 7, true), fragment(7, 16, false)]],
    ['without bytes', [fragment(0, 8, true), fragment(8, 8, false)]],
  ])('%s are no packet', (_, parts) => {
    const reassembly = new Reassembly(new VirtualClock())
    expect(parts.map((part) => reassembly.add(part))).toEqual(parts.map(() => null))
  })

  test('of several packets are kept apart by ends, protocol and number', () => {
    const first = fragment(0, 8, true)
    for (const other of [{ source: 9 }, { destination: 9 }, { protocol: 6 }, { identification: 9 }]) {
      const reassembly = new Reassembly(new VirtualClock())
      expect([reassembly.add(first), reassembly.add({ ...fragment(8, 16, false), ...other })]).toEqual([null, null])
      expect(reassembly.add(fragment(8, 16, false))!.payload).toEqual(whole(16))
    }
  })

  test('wait for a minute, 64 of a packet, and of 16 packets', () => {
    const clock = new VirtualClock()
    let reassembly = new Reassembly(clock)
    reassembly.add(fragment(0, 8, true))
    clock.advance(59_999)
    expect(reassembly.add(fragment(8, 16, false))).not.toBe(null)
    reassembly.add(fragment(0, 8, true))
    clock.advance(60_000)
    expect(reassembly.add(fragment(8, 16, false))).toBe(null)

    for (const [count, fits] of [
      [64, true],
      [65, false],
    ] as const) {
      reassembly = new Reassembly(clock)
      let packet = null
      for (let i = 0; i < count; i++) packet = reassembly.add(fragment(8 * i, 8 * i + 8, i + 1 < count))
      expect(packet !== null).toBe(fits)
    }

    for (const [others, isThere] of [
      [15, true],
      [16, false],
    ] as const) {
      reassembly = new Reassembly(clock)
      for (let id = 0; id <= others; id++) reassembly.add(fragment(0, 8, true, id))
      expect(reassembly.add(fragment(8, 16, false, 0)) !== null).toBe(isThere)
    }
  })
})

describe('ICMP (RFC 792)', () => {
  const echo = (bytes: string): Uint8Array => {
    const message = hex(bytes)
    viewOf(message).setUint16(2, checksum(message))
    return message
  }

  test('an echo request is answered with its own bytes', () => {
    for (const bytes of ['0800 0000 1234 0001', '0800 0000 1234 0001 0102 03', '0800 0000 ffff ffff ffff']) {
      const reply = echoReply(packetOf(1, echo(bytes)))!
      expect(reply.subarray(4)).toEqual(hex(bytes).subarray(4))
      expect([reply[0], reply[1], checksum(reply)]).toEqual([0, 0, 0])
    }
  })

  test('other messages, cut ones and wrong sums are not', () => {
    const wrong = echo('0800 0000 1234 0001')
    wrong[7]!++
    for (const message of [
      wrong,
      echo('0000 0000 1234 0001'),
      echo('0801 0000 1234 0001'),
      echo('0800 0000 1234 00'),
    ]) {
      expect(echoReply(packetOf(1, message))).toBe(null)
    }
  })

  test('an error quotes the header and 8 bytes, and is not answered itself', () => {
    const packet = packetOf(17, hex('0102030405060708090a'))
    const message = makeUnreachable(packet, 13)
    expect(message.subarray(0, 2)).toEqual(hex('030d'))
    expect(message.subarray(4)).toEqual(Uint8Array.of(0, 0, 0, 0, ...packet.header, 1, 2, 3, 4, 5, 6, 7, 8))
    expect(checksum(message)).toBe(0)
    const answers = [packet, packetOf(1, message), packetOf(1, echo('0800 0000 1234 0001')), packetOf(1, hex('00'))]
    expect(answers.map(isIcmpError)).toEqual([false, true, false, true])
  })
})

describe('UDP (RFC 768)', () => {
  test('a datagram is read as it was laid out, with a sum or without; what it says of its length counts', () => {
    const bytes = fc.uint8Array({ maxLength: 64, size: 'max' })
    fc.assert(
      fc.property(word, word, half, half, bytes, fc.nat(4), (source, destination, from, to, payload, more) => {
        const length = 8 + payload.length
        const message = new Uint8Array(length + more).fill(0x77)
        const view = viewOf(message)
        view.setUint16(0, from)
        view.setUint16(2, to)
        view.setUint16(4, length)
        view.setUint16(6, 0)
        message.set(payload, 8)
        const read = () => readUdp(packetOf(17, message, source, destination))
        const expected = { sourcePort: from, destinationPort: to, payload }
        expect(read()).toEqual(expected)
        const sum = checksum(pseudoHeader(source, destination, 17, length), message.subarray(0, length)) || 0xffff
        view.setUint16(6, sum)
        expect(read()).toEqual(expected)
        expect(makeUdp(source, destination, expected)).toEqual(message.subarray(0, length))
        view.setUint16(6, sum ^ 0x10 || 0x11)
        expect(read()).toBe(null)
      }),
    )
  })

  test('a length below 8 or beyond the packet is none', () => {
    for (const [says, has, isRead] of [
      [8, 8, true],
      [7, 8, false],
      [9, 8, false],
      [9, 9, true],
      [8, 7, false],
    ] as const) {
      const message = new Uint8Array(has)
      viewOf(message).setUint16(4, says)
      expect([says, has, readUdp(packetOf(17, message)) !== null]).toEqual([says, has, isRead])
    }
  })
})

describe('TCP (RFC 9293)', () => {
  const option = fc.oneof(
    fc.constant<number[]>([1]),
    fc.nat(0xffff).map((mss) => [2, 4, mss >> 8, mss & 255]),
    fc.nat(20).map((shift) => [3, 3, shift]),
    fc.constant<number[]>([4, 2]),
    fc.constant<number[]>([8, 10, 1, 2, 3, 4, 5, 6, 7, 8]),
    // Of a length that is not theirs.
    fc.constantFrom<number[]>([2, 3, 9], [3, 4, 9, 9], [4, 3, 9], [2, 2], [3, 2]),
  )

  test('a segment is read as it was laid out, with the options of a SYN', () => {
    fc.assert(
      fc.property(
        fc.record({ source: word, destination: word, from: half, to: half, sequence: word, acknowledgment: word }),
        fc.record({ flags: fc.nat(255), window: half, options: fc.array(option, { maxLength: 4 }) }),
        fc.uint8Array({ maxLength: 40, size: 'max' }),
        ({ source, destination, from, to, sequence, acknowledgment }, { flags, window, options }, payload) => {
          const plain = options.flat()
          const words = Math.ceil(plain.length / 4)
          const message = new Uint8Array(20 + 4 * words + payload.length)
          const view = viewOf(message)
          view.setUint16(0, from)
          view.setUint16(2, to)
          view.setUint32(4, sequence)
          view.setUint32(8, acknowledgment)
          message[12] = (5 + words) << 4
          message[13] = flags
          view.setUint16(14, window)
          message.set(plain, 20)
          message.set(payload, 20 + 4 * words)
          view.setUint16(16, checksum(pseudoHeader(source, destination, 6, message.length), message))
          const last = (kind: number, length: number): number[] | undefined =>
            (flags & 2) === 0 ? undefined : options.findLast((each) => each[0] === kind && each[1] === length)
          const [mss, shift] = [last(2, 4), last(3, 3)]
          const read = readTcp(packetOf(6, message, source, destination))
          expect(read).toEqual({
            ...{ sourcePort: from, destinationPort: to, sequence, acknowledgment, window, payload },
            flags: flags % 64,
            mss: mss === undefined ? null : mss[2]! * 256 + mss[3]!,
            // RFC 7323 §2.3: 14 at most.
            windowShift: shift === undefined ? null : Math.min(14, shift[2]!),
            sackPermitted: last(4, 2) !== undefined,
          })
          message[from % message.length]! ^= 1 << (to % 8)
          expect(readTcp(packetOf(6, message, source, destination))).toBe(null)
        },
      ),
      { numRuns: 300 },
    )
  })

  const summed = (message: Uint8Array): Ipv4Packet => {
    viewOf(message).setUint16(16, 0)
    viewOf(message).setUint16(16, checksum(pseudoHeader(0x0a00020f, 0x0a000202, 6, message.length), message))
    return packetOf(6, message)
  }

  test('a header has at least 20 bytes, and lies within its packet', () => {
    for (const [words, bytes, isRead] of [
      [5, 20, true],
      [4, 20, false],
      [6, 23, false],
      [6, 24, true],
      [5, 19, false],
    ] as const) {
      const message = new Uint8Array(Math.max(20, bytes))
      message[12] = words << 4
      const packet = summed(message)
      const cut = { ...packet, payload: packet.payload.subarray(0, bytes) }
      expect([words, bytes, readTcp(cut) !== null]).toEqual([words, bytes, isRead])
    }
  })

  test.each([
    ['that is cut in its length', '02', null],
    ['without a length', '0200 0204', null],
    ['of one byte', '0201 05b4', null],
    ['that is cut in its value', '0101 0205 05b4 0204', null],
    ['behind an end', '0002 0405 b400', null],
    ['behind another', '0101 0204 05b4', 1460],
    ['that ends with the header', '0204 05b4', 1460],
  ])('an option %s', (_, bytes, mss) => {
    const options = hex(bytes)
    const message = new Uint8Array(20 + Math.ceil(options.length / 4) * 4)
    message.set(options, message.length - options.length)
    message.fill(1, 20, message.length - options.length)
    message[12] = (message.length / 4) << 4
    message[13] = 2
    expect(readTcp(summed(message))!.mss).toBe(mss)
  })

  test('a segment of ours has the bytes that it is to have', () => {
    const ends = { localAddress: 0x8a000202, localPort: 0x1234, remoteAddress: 0x0a00020f, remotePort: 0xfedc }
    const options = synOptions(4, true)
    expect(options).toEqual(hex('0204 05b4 01 0303 04 0101 0402'))
    expect([synOptions(null, false), synOptions(14, false), synOptions(null, true)]).toEqual([
      hex('0204 05b4'),
      hex('0204 05b4 01 0303 0e'),
      hex('0204 05b4 0101 0402'),
    ])
    const header = { sequence: 0x8765_4321, acknowledgment: 0x9abc_def0, flags: 0x12, window: 0xa5b6, options }
    const made = makeTcp(ends, header, 3)
    expect([made.payloadAt, made.frame.length]).toEqual([14 + 20 + 32, 14 + 20 + 32 + 3])
    made.frame.set([1, 2, 3], made.payloadAt)
    const packet = readIpv4Packet(finishTcp(made, ends))!
    expect(packet).toMatchObject({ source: ends.localAddress, destination: ends.remoteAddress, protocol: 6 })
    const { payload } = packet
    expect(payload.subarray(0, 16)).toEqual(hex('1234 fedc 87654321 9abcdef0 80 12 a5b6'))
    expect(payload.subarray(18)).toEqual(Uint8Array.of(0, 0, ...options, 1, 2, 3))
    expect(checksum(pseudoHeader(ends.localAddress, ends.remoteAddress, 6, payload.length), payload)).toBe(0)
  })

  test('later data is named by its ends (RFC 2018 §3)', () => {
    const blocks = [
      [1, 0x8000_0002],
      [0xffff_fff0, 5],
    ] as const
    expect(sackOption(blocks)).toEqual(hex('0101 0512 00000001 80000002 fffffff0 00000005'))
  })

  test.each([
    { given: 'data', flags: 0, bytes: 5, sequence: 0, acknowledgment: 105, answer: 0x14 },
    { given: 'a SYN', flags: 2, bytes: 0, sequence: 0, acknowledgment: 101, answer: 0x14 },
    { given: 'a SYN with data and FIN', flags: 3, bytes: 2, sequence: 0, acknowledgment: 104, answer: 0x14 },
    { given: 'an acknowledgment', flags: 16, bytes: 9, sequence: 0x9000_0000, acknowledgment: 0, answer: 4 },
  ])('$given to nobody is answered by a reset that fits', ({ flags, bytes, sequence, acknowledgment, answer }) => {
    const ends = { localAddress: 1, localPort: 2, remoteAddress: 3, remotePort: 4 }
    const other = { window: 9, mss: null, windowShift: null, sackPermitted: false, sourcePort: 4, destinationPort: 2 }
    const segment = { ...other, flags, payload: new Uint8Array(bytes), sequence: 100, acknowledgment: 0x9000_0000 }
    const reset = readTcp(readIpv4Packet(resetFor(segment, ends)!)!)
    expect(reset).toMatchObject({
      sequence,
      acknowledgment,
      flags: answer,
      window: 0,
      sourcePort: 2,
      destinationPort: 4,
    })
    expect(reset!.payload.length).toBe(0)
    expect(resetFor({ ...segment, flags: flags | 4 }, ends)).toBe(null)
  })
})
