import { checksumOf, sumWords } from '@retrap/device'

/*
 * A network card's work for its driver: it completes checksums, and cuts long TCP segments.
 *
 * Sources: VIRTIO 1.2, §5.1.6.2, "Packet Transmission"; RFC 1071, "Computing the Internet Checksum"; RFC 9293, §3.1.
 */

/** Header in front of each packet, as the driver has written it. */
export interface PacketHeader {
  /** `NEEDS_CSUM`: the checksum at `checksumStart + checksumOffset` covers all from `checksumStart` on. */
  readonly needsChecksum: boolean
  /** The packet to cut: 0 none, 1 TCP over IPv4, 4 TCP over IPv6. */
  readonly segmentation: number
  /** Bytes of data of each segment. */
  readonly segmentBytes: number
  readonly checksumStart: number
  readonly checksumOffset: number
}

const NEEDS_CHECKSUM = 1
const TCP_V4 = 1
const TCP_V6 = 4
const ECN = 0x80
/** Bytes of the header that the driver fills. The count of buffers follows, if negotiated. */
export const PACKET_HEADER_BYTES = 10
/** A guest that asks for smaller segments has a packet of 64 KiB cut into more than anybody needs. */
const LEAST_SEGMENT = 256

/** Each segment has a copy of the headers: longer ones, which none have, would make far more bytes of a packet. */
const MOST_HEADER_BYTES = 512

const ETHERNET_BYTES = 14
const TAG_BYTES = 4
const TAGGED = 0x8100
const IPV4_CHECKSUM = 10
const IPV4_SOURCE = 12
const IPV6_BYTES = 40
const IPV6_SOURCE = 8
const TCP_BYTES = 20
const TCP_SEQUENCE = 4
const TCP_FLAGS = 13
const TCP_CHECKSUM = 16
const TCP_PROTOCOL = 6
const FIN_AND_PSH = 0x09
const CWR = 0x80

export function readPacketHeader(bytes: Uint8Array): PacketHeader {
  const view = new DataView(bytes.buffer, bytes.byteOffset)
  return {
    needsChecksum: (view.getUint8(0) & NEEDS_CHECKSUM) !== 0,
    segmentation: view.getUint8(1) & ~ECN,
    segmentBytes: view.getUint16(4, true),
    checksumStart: view.getUint16(6, true),
    checksumOffset: view.getUint16(8, true),
  }
}

export function put16(bytes: Uint8Array, at: number, value: number): void {
  bytes[at] = value >>> 8
  bytes[at + 1] = value
}

export const get16 = (bytes: Uint8Array, at: number): number => (bytes[at]! << 8) | bytes[at + 1]!

/**
 * Makes the frames that a packet of the driver stands for.
 *
 * @param frame - the packet without its header; the function may change it
 * @returns null for a packet that contradicts its header
 */
export function framesOf(frame: Uint8Array, header: PacketHeader): Uint8Array[] | null {
  if (header.segmentation !== 0) return segments(frame, header)
  if (!header.needsChecksum) return [frame]
  const { checksumStart, checksumOffset } = header
  const at = checksumStart + checksumOffset
  if (at + 2 > frame.length) return null
  // The field holds the pseudo-header's sum. A checksum of 0 would mean that there is none.
  put16(frame, at, checksumOf(sumWords(frame, checksumStart, frame.length)) || 0xffff)
  return [frame]
}

function segments(frame: Uint8Array, header: PacketHeader): Uint8Array[] | null {
  const { segmentation, segmentBytes, needsChecksum, checksumStart: tcp } = header
  if ((segmentation !== TCP_V4 && segmentation !== TCP_V6) || !needsChecksum || segmentBytes < LEAST_SEGMENT)
    return null
  const v6 = segmentation === TCP_V6
  const ip = ETHERNET_BYTES + (frame.length > ETHERNET_BYTES && get16(frame, 12) === TAGGED ? TAG_BYTES : 0)
  const least = v6 ? IPV6_BYTES : 20
  if (tcp < ip + least || tcp + TCP_BYTES > frame.length || frame[ip]! >>> 4 !== (v6 ? 6 : 4)) return null
  const ipBytes = v6 ? tcp - ip : 4 * (frame[ip]! & 15)
  const data = tcp + 4 * (frame[tcp + 12]! >>> 4)
  if (ip + ipBytes !== tcp || data < tcp + TCP_BYTES || data > frame.length || data > MOST_HEADER_BYTES) return null
  const found: Uint8Array[] = []
  const sequence = new DataView(frame.buffer, frame.byteOffset).getUint32(tcp + TCP_SEQUENCE)
  for (let at = data, index = 0; at < frame.length || index === 0; at += segmentBytes, index++) {
    const end = Math.min(at + segmentBytes, frame.length)
    const part = new Uint8Array(data + end - at)
    part.set(frame.subarray(0, data))
    part.set(frame.subarray(at, end), data)
    new DataView(part.buffer).setUint32(tcp + TCP_SEQUENCE, (sequence + at - data) >>> 0)
    if (end < frame.length) part[tcp + TCP_FLAGS]! &= ~FIN_AND_PSH
    if (index > 0) part[tcp + TCP_FLAGS]! &= ~CWR
    if (v6) put16(part, ip + 4, part.length - ip - IPV6_BYTES)
    else finishIpv4(part, ip, tcp, index)
    put16(part, tcp + TCP_CHECKSUM, 0)
    const addresses = v6 ? ip + IPV6_SOURCE : ip + IPV4_SOURCE
    const pseudo = sumWords(part, addresses, addresses + (v6 ? 32 : 8), TCP_PROTOCOL + part.length - tcp)
    put16(part, tcp + TCP_CHECKSUM, checksumOf(sumWords(part, tcp, part.length, pseudo)))
    found.push(part)
  }
  return found
}

/** Length, identification and checksum of an IPv4 header. */
function finishIpv4(frame: Uint8Array, ip: number, end: number, index: number): void {
  put16(frame, ip + 2, frame.length - ip)
  put16(frame, ip + 4, (get16(frame, ip + 4) + index) & 0xffff)
  put16(frame, ip + IPV4_CHECKSUM, 0)
  put16(frame, ip + IPV4_CHECKSUM, checksumOf(sumWords(frame, ip, end)))
}
