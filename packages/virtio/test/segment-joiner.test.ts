import { describe, expect, test } from 'vitest'
import { framesOf, readPacketHeader } from '../src/devices/net/offload.ts'
import { SegmentJoiner } from '../src/devices/net/segment-joiner.ts'

const IP = 14
const TCP = 34

/** A packet as a driver hands it on for segmentation: `data` bytes, `options` bytes of TCP options. */
function packetOf(data: number, options = 12): Uint8Array {
  const headers = TCP + 20 + options
  const packet = Uint8Array.from({ length: headers + data }, (_, i) => (i * 7) & 0xff)
  const view = new DataView(packet.buffer)
  view.setUint16(12, 0x0800)
  packet.set([0x45, 0], IP)
  view.setUint16(IP + 2, packet.length - IP)
  packet.set([0, 1, 0x40, 0, 64, 6], IP + 4)
  packet[TCP + 12] = ((20 + options) / 4) << 4
  packet[TCP + 13] = 0x18
  return packet
}

/** The header that says: cut into segments of so many bytes. */
const tso = (segment: number, headers: number): number[] => [
  ...[1, 1, headers & 255, headers >> 8, segment & 255, segment >> 8],
  ...[TCP, 0, 16, 0],
]

/** What a wire has of a packet. */
function segmentsOf(packet: Uint8Array, segment: number, headers: number): Uint8Array[] {
  return framesOf(packet.slice(), readPacketHeader(Uint8Array.from(tso(segment, headers))))!
}

/** Packets that a card hands on. */
function joined(frames: readonly Uint8Array[], headerBytes = 12): { header: number[]; packet: Uint8Array }[] {
  const joiner = new SegmentJoiner()
  const packets: { header: number[]; packet: Uint8Array }[] = []
  const finish = (): void => {
    if (!joiner.holds) return
    const bytes = joiner.finish(headerBytes)
    packets.push({ header: [...bytes.subarray(0, 10)], packet: bytes.slice(headerBytes) })
    joiner.clear()
  }
  for (const frame of frames) {
    if (joiner.join(frame)) continue
    finish()
    if (!joiner.begin(frame)) packets.push({ header: [], packet: frame })
  }
  finish()
  return packets
}

describe('joined TCP segments (VIRTIO 1.2, §5.1.6.4)', () => {
  test.each([
    { data: 3 * 1448, options: 12, segment: 1448 },
    { data: 10 * 1460 + 1, options: 0, segment: 1460 },
    { data: 65_000, options: 12, segment: 1448 },
    { data: 1461, options: 0, segment: 1460 },
  ])('$data bytes in segments of $segment are cut into the same segments again', ({ data, options, segment }) => {
    const headers = TCP + 20 + options
    const frames = segmentsOf(packetOf(data, options), segment, headers)
    const packets = joined(frames)
    expect(packets).toHaveLength(1)
    const [{ header, packet }] = packets as [{ header: number[]; packet: Uint8Array }]
    expect(header).toEqual(tso(segment, headers))
    expect(packet.length).toBe(headers + data)
    expect(framesOf(packet, readPacketHeader(Uint8Array.from(header)))).toEqual(frames)
  })

  test('one segment is handed on as it came, and its checksum is said to be right', () => {
    const [frame] = segmentsOf(packetOf(100), 1448, TCP + 32)
    expect(joined([frame!])).toEqual([{ header: [2, 0, 0, 0, 0, 0, 0, 0, 0, 0], packet: frame }])
    // Ethernet frames have at least 60 bytes: what is behind the packet is no data.
    const padded = new Uint8Array(frame!.length + 6)
    padded.set(frame!)
    expect(joined([padded], 10)[0]?.packet).toEqual(frame)
  })

  const headers = TCP + 32
  const three = (): Uint8Array[] => segmentsOf(packetOf(3 * 1448), 1448, headers)
  const change = (frame: Uint8Array, at: number, value: number): Uint8Array => {
    const other = frame.slice()
    other[at] = value
    return other
  }
  /** Changes a field of the TCP header, with the checksum of what results. */
  const resend = (frame: Uint8Array, at: number, value: number): Uint8Array => {
    const other = change(frame, at, value)
    const view = new DataView(other.buffer)
    view.setUint16(TCP + 16, 0)
    let sum = 6 + other.length - TCP
    for (let i = IP + 12; i < other.length; i += 2) sum += other[i]! * 256 + (other[i + 1] ?? 0)
    while (sum > 0xffff) sum = (sum & 0xffff) + Math.floor(sum / 65_536)
    view.setUint16(TCP + 16, ~sum & 0xffff)
    return other
  }

  test.each<[what: string, of: (frame: Uint8Array) => Uint8Array]>([
    ['another destination', (frame) => change(frame, 5, 0x77)],
    ['another port', (frame) => resend(frame, TCP + 1, 0x77)],
    ['another acknowledgment', (frame) => resend(frame, TCP + 11, 0x77)],
    ['another window', (frame) => resend(frame, TCP + 15, 0x77)],
    ['another time stamp', (frame) => resend(frame, TCP + 25, 0x77)],
    ['a gap before it', (frame) => resend(frame, TCP + 7, frame[TCP + 7]! + 1)],
  ])('a segment with %s begins a packet of its own', (_, of) => {
    const [first, second] = three()
    const other = of(second!)
    expect(joined([first!, other]).map(({ packet }) => packet)).toEqual([first, other])
  })

  test.each<[what: string, of: (frame: Uint8Array) => Uint8Array]>([
    ['a FIN', (frame) => resend(frame, TCP + 13, 0x11)],
    ['a wrong checksum', (frame) => change(frame, 200, frame[200]! ^ 1)],
    ['a wrong checksum of IPv4', (frame) => change(frame, IP + 8, 9)],
    ['a fragment', (frame) => change(frame, IP + 6, 0x20)],
    ['a length beyond its frame', (frame) => change(frame, IP + 2, 0x7f)],
    ['a header without end', (frame) => change(frame, TCP + 12, 0x30)],
    ['no IPv4', (frame) => change(frame, 12, 0x86)],
    ['an end in its header', (frame) => frame.subarray(0, 40)],
  ])('%s is handed on as it is', (_, of) => {
    const [first, second] = three()
    const other = of(second!)
    expect(joined([first!, other])).toEqual([
      { header: [2, 0, 0, 0, 0, 0, 0, 0, 0, 0], packet: first },
      { header: [], packet: other },
    ])
  })

  test('a push and a short segment end a packet', () => {
    const [first, second, third] = three()
    const pushed = resend(first!, TCP + 13, 0x18)
    expect(joined([pushed, second!]).map(({ packet }) => packet.length)).toEqual([first!.length, second!.length])
    // The last of three has the push.
    const next = resend(first!, TCP + 5, 0)
    expect(joined([second!, third!, next]).map(({ packet }) => packet.length)).toEqual([
      headers + 2 * 1448,
      next.length,
    ])
  })

  test('a segment follows a shorter one in a packet of its own', () => {
    const short = segmentsOf(packetOf(1448 + 100), 1448, headers)
    const [first, second] = short.map((frame) => resend(frame, TCP + 13, 0x10)) as [Uint8Array, Uint8Array]
    const view = new DataView(second.buffer)
    const third = second.slice()
    new DataView(third.buffer).setUint32(TCP + 4, view.getUint32(TCP + 4) + 100)
    const lengths = joined([first, second, resend(third, TCP + 13, 0x10)]).map(({ packet }) => packet.length)
    expect(lengths).toEqual([headers + 1548, headers + 100])
  })

  test('a packet has no more bytes than IPv4 can say', () => {
    const frames = segmentsOf(packetOf(44 * 1448), 1448, headers).map((frame) => resend(frame, TCP + 13, 0x10))
    const follow = resend(frames[0]!, TCP + 13, 0x10)
    const view = new DataView(follow.buffer)
    const last = new DataView(frames.at(-1)!.buffer).getUint32(TCP + 4)
    view.setUint32(TCP + 4, last + 1448)
    const more = resend(follow, TCP + 13, 0x10)
    const after = more.slice()
    new DataView(after.buffer).setUint32(TCP + 4, last + 2 * 1448)
    const lengths = joined([...frames, more, resend(after, TCP + 13, 0x10)]).map(({ packet }) => packet.length)
    expect(lengths).toEqual([headers + 45 * 1448, headers + 1448])
  })
})
