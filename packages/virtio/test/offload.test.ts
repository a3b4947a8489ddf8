// What the card completes for its driver, against sums by definition and segments that are put together again.
import fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import { framesOf, type PacketHeader, readPacketHeader } from '../src/devices/net/offload.ts'

/** The remainder of the 16-bit words by 0xffff: 0 over data with its checksum (RFC 1071). */
function remainder(bytes: Uint8Array): number {
  let sum = 0n
  for (const [i, byte] of bytes.entries()) sum += BigInt(byte) << (i % 2 === 0 ? 8n : 0n)
  return Number(sum % 0xffffn)
}

const viewOf = (bytes: Uint8Array): DataView => new DataView(bytes.buffer, bytes.byteOffset, bytes.length)

test('the header in front of a packet (VIRTIO 1.2, §5.1.6)', () => {
  expect(readPacketHeader(Uint8Array.of(0xff, 0x81, 9, 9, 0x34, 0x12, 0x78, 0x56, 0xbc, 0x9a, 7, 7))).toEqual({
    ...{ needsChecksum: true, segmentation: 1, segmentBytes: 0x1234, checksumStart: 0x5678, checksumOffset: 0x9abc },
  })
  const zero = { needsChecksum: false, segmentation: 4, segmentBytes: 0, checksumStart: 0, checksumOffset: 0 }
  expect(readPacketHeader(Uint8Array.of(0xfe, 4, 0, 0, 0, 0, 0, 0, 0, 0))).toEqual(zero)
})

describe('a checksum', () => {
  const header = (checksumStart: number, checksumOffset: number): PacketHeader => ({
    ...{ needsChecksum: true, segmentation: 0, segmentBytes: 0, checksumStart, checksumOffset },
  })
  // Words whose sums come near 0x10000 and its multiples.
  const words = fc.array(fc.constantFrom(0, 1, 0x7fff, 0x8000, 0x8001, 0xfffe, 0xffff), { maxLength: 40, size: 'max' })

  test('covers all from its start on, the field’s own content included', () => {
    fc.assert(
      fc.property(words, fc.nat(40), fc.nat(40), fc.boolean(), (list, start, offset, odd) => {
        const frame = new Uint8Array(2 * list.length + (odd ? 1 : 0)).fill(0x80)
        for (const [i, word] of list.entries()) viewOf(frame).setUint16(2 * i, word)
        const before = frame.slice()
        const at = start + 2 * (offset >> 1)
        const frames = framesOf(frame, header(start, at - start))
        if (at + 2 > frame.length) {
          expect(frames).toBe(null)
          return
        }
        expect(frames).toEqual([frame])
        const sum = viewOf(frame).getUint16(at)
        expect(sum).not.toBe(0)
        // What the field had is part of the sum, as the pseudo-header's is.
        expect((remainder(before.subarray(start)) + sum) % 0xffff).toBe(0)
        before.set(frame.subarray(at, at + 2), at)
        expect(frame).toEqual(before)
      }),
      { numRuns: 500 },
    )
  })

  test.each([
    [[0x8000, 0x8000, 0], 0xfffe],
    [[0xffff, 0, 0], 0xffff],
    [[0x8000, 0x7fff, 0], 0xffff],
    [[0xffff, 1, 0], 0xfffe],
    [[0xffff, 0xffff, 0xffff, 3, 0], 0xfffc],
    [[0, 0, 0], 0xffff],
  ])('of %j is %i', (list, sum) => {
    const frame = new Uint8Array(2 * list.length)
    for (const [i, word] of list.entries()) viewOf(frame).setUint16(2 * i, word)
    framesOf(frame, header(0, frame.length - 2))
    expect(viewOf(frame).getUint16(frame.length - 2)).toBe(sum)
  })

  test('lies within the frame, and nothing is done where none is wanted', () => {
    expect(framesOf(new Uint8Array(60), header(34, 24))).not.toBe(null)
    expect(framesOf(new Uint8Array(60), header(34, 25))).toBe(null)
    const frame = new Uint8Array(10).fill(7)
    expect(framesOf(frame, { ...header(0, 0), needsChecksum: false })).toEqual([new Uint8Array(10).fill(7)])
  })
})

interface Packet {
  readonly v6: boolean
  readonly tagged: boolean
  readonly optionWords: number
  readonly ipWords: number
  readonly flags: number
  readonly identification: number
  readonly sequence: number
  readonly data: Uint8Array
}

/** A TCP packet of any length, as a driver hands it over. */
function longPacket({ v6, tagged, optionWords, ipWords, flags, identification, sequence, data }: Packet) {
  const ip = tagged ? 18 : 14
  const tcp = ip + (v6 ? 40 + 8 * ipWords : 20 + 4 * ipWords)
  const start = tcp + 20 + 4 * optionWords
  const frame = new Uint8Array(start + data.length)
  for (let i = 0; i < start; i++) frame[i] = i * 37
  const view = viewOf(frame)
  view.setUint16(12, tagged ? 0x8100 : v6 ? 0x86dd : 0x0800)
  frame[ip] = v6 ? 0x60 : 0x45 + ipWords
  if (!v6) view.setUint16(ip + 4, identification)
  frame[tcp + 12] = ((5 + optionWords) << 4) | 1
  frame[tcp + 13] = flags
  view.setUint32(tcp + 4, sequence)
  frame.set(data, start)
  return { frame, ip, tcp, start }
}

const header = (v6: boolean, segmentBytes: number, checksumStart: number): PacketHeader => ({
  ...{ needsChecksum: true, segmentation: v6 ? 4 : 1, segmentBytes, checksumStart, checksumOffset: 16 },
})

describe('a long TCP segment', () => {
  const packet: fc.Arbitrary<Packet> = fc.record({
    v6: fc.boolean(),
    tagged: fc.boolean(),
    optionWords: fc.nat(10),
    ipWords: fc.nat(10),
    flags: fc.nat(255),
    identification: fc.constantFrom(0, 5, 0xfffe, 0xffff),
    sequence: fc.constantFrom(0, 1000, 0x7fff_ff00, 0xffff_ff00),
    data: fc
      .integer({ min: 0, max: 2000 })
      .map((bytes) => Uint8Array.from({ length: bytes }, (_, i) => i * 7 + (i >> 8))),
  })

  test('becomes segments that are the same stream, each with right lengths, numbers, flags and sums', () => {
    fc.assert(
      fc.property(packet, fc.integer({ min: 256, max: 1500 }), (given, most) => {
        const { frame, ip, tcp, start } = longPacket(given)
        const { v6, flags, identification, sequence, data } = given
        const frames = framesOf(frame.slice(), header(v6, most, tcp))!
        expect(frames.length).toBe(Math.max(1, Math.ceil(data.length / most)))
        const stream: number[] = []
        for (const [i, each] of frames.entries()) {
          const view = viewOf(each)
          const isLast = i === frames.length - 1
          expect(each.length).toBe(start + (isLast ? data.length - most * i : most))
          expect(view.getUint32(tcp + 4)).toBe((sequence + stream.length) % 2 ** 32)
          // FIN and PSH belong to the last one, CWR to the first.
          expect(each[tcp + 13]).toBe(flags & (isLast ? 0xff : 0xf6) & (i === 0 ? 0xff : 0x7f))
          if (v6) expect(view.getUint16(ip + 4)).toBe(each.length - ip - 40)
          else {
            expect(view.getUint16(ip + 2)).toBe(each.length - ip)
            expect(view.getUint16(ip + 4)).toBe((identification + i) % 0x1_0000)
            expect(remainder(each.subarray(ip, tcp))).toBe(0)
          }
          const addresses = v6 ? each.subarray(ip + 8, ip + 40) : each.subarray(ip + 12, ip + 20)
          const length = each.length - tcp
          const pseudo = Uint8Array.of(...addresses, 0, 6, length >> 8, length & 255)
          expect((remainder(pseudo) + remainder(each.subarray(tcp))) % 0xffff).toBe(0)
          // All else of the headers stays.
          const same = [
            ...(v6 ? [4, 5] : [2, 3, 4, 5, 10, 11]).map((at) => ip + at),
            ...[4, 5, 6, 7, 13, 16, 17].map((at) => tcp + at),
          ]
          const [before, after] = [frame.slice(0, start), each.slice(0, start)]
          for (const at of same) before[at] = after[at] = 0
          expect(after).toEqual(before)
          stream.push(...each.subarray(start))
        }
        expect(stream).toEqual([...data])
      }),
      { numRuns: 150 },
    )
  })

  const PLAIN: Packet = {
    ...{ v6: false, tagged: false, optionWords: 0, ipWords: 0, flags: 0, identification: 0, sequence: 0 },
    data: new Uint8Array(0),
  }
  const cut = (
    given: Partial<Packet>,
    change: (frame: Uint8Array, header: { -readonly [K in keyof PacketHeader]: PacketHeader[K] }) => Uint8Array | void,
  ) => {
    const { frame, tcp } = longPacket({ ...PLAIN, ...given })
    const fields = { ...header(given.v6 === true, 1000, tcp) }
    return framesOf(change(frame, fields) ?? frame, fields)
  }

  test.each<[string, Partial<Packet>, Parameters<typeof cut>[1], boolean]>([
    ['as it is', {}, () => {}, true],
    ['over IPv6', { v6: true }, () => {}, true],
    ['with segments of 256 bytes', {}, (_, h) => void (h.segmentBytes = 256), true],
    ['with segments of 255 bytes', {}, (_, h) => void (h.segmentBytes = 255), false],
    ['without a checksum', {}, (_, h) => void (h.needsChecksum = false), false],
    ['of another kind', {}, (_, h) => void (h.segmentation = 3), false],
    ['that says IPv6 and is IPv4', {}, (_, h) => void (h.segmentation = 4), false],
    ['that says IPv4 and is IPv6', { v6: true }, (_, h) => void (h.segmentation = 1), false],
    ['whose TCP header begins earlier', {}, (_, h) => void h.checksumStart--, false],
    ['whose TCP header begins earlier, over IPv6', { v6: true }, (_, h) => void h.checksumStart--, false],
    ['whose TCP header is cut', {}, (frame) => frame.subarray(0, frame.length - 1), false],
    ['whose TCP header is shorter than 20 bytes', {}, (frame) => void (frame[14 + 20 + 12] = 0x40), false],
    ['whose TCP header is longer than it', {}, (frame) => void (frame[14 + 20 + 12] = 0x60), false],
    ['whose IPv4 header is longer than it says', {}, (frame) => void (frame[14] = 0x46), false],
    ['with headers of 510 bytes', { v6: true, ipWords: 54, optionWords: 1 }, () => {}, true],
    ['with headers of 514 bytes', { v6: true, ipWords: 55 }, () => {}, false],
  ])('%s is cut: %o', (_, given, change, isCut) => {
    expect(cut(given, change) !== null).toBe(isCut)
  })
})
