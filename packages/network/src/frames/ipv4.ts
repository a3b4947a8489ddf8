import { checksumOf, sumWords } from '@retrap/device'
import type { Ipv4Address } from '../addresses.ts'
import { get16, get32, put16, put32 } from './bytes.ts'
import { ETHERNET_HEADER, MAXIMUM_FRAME } from './ethernet.ts'

export const IPV4_HEADER = 20
export const PROTOCOL_ICMP = 1
export const PROTOCOL_TCP = 6
export const PROTOCOL_UDP = 17
const MORE_FRAGMENTS = 0x2000
const DO_NOT_FRAGMENT = 0x4000
const TTL = 64
/** The longest payload of one frame, in bytes. */
export const MTU: number = MAXIMUM_FRAME - ETHERNET_HEADER
/** Bytes before the payload of a packet without options. */
export const IPV4_PAYLOAD: number = ETHERNET_HEADER + IPV4_HEADER

/** An IPv4 packet, or a fragment of one. Source: RFC 791 §3.1. */
export interface Ipv4Packet {
  readonly source: Ipv4Address
  readonly destination: Ipv4Address
  readonly protocol: number
  readonly identification: number
  /** Place of the payload in the whole packet's, in bytes. */
  readonly offset: number
  readonly moreFragments: boolean
  /** The header as it came, for ICMP errors. */
  readonly header: Uint8Array
  readonly payload: Uint8Array
}

/** Parses the packet of a frame. @returns null if it is truncated, of another version, or has a wrong checksum */
export function readIpv4Packet(frame: Uint8Array): Ipv4Packet | null {
  const at = ETHERNET_HEADER
  if (frame.length < IPV4_PAYLOAD) return null
  const first = frame[at]!
  const headerBytes = (first & 15) * 4
  const totalBytes = get16(frame, at + 2)
  if (first >>> 4 !== 4 || headerBytes < IPV4_HEADER || totalBytes < headerBytes) return null
  // Short frames are padded: padding is not part of the packet.
  if (at + totalBytes > frame.length) return null
  if (checksumOf(sumWords(frame, at, at + headerBytes)) !== 0) return null
  const flags = get16(frame, at + 6)
  const offset = (flags & 0x1fff) * 8
  const payload = frame.subarray(at + headerBytes, at + totalBytes)
  if (offset + payload.length > 0xffff - IPV4_HEADER) return null
  return {
    source: get32(frame, at + 12),
    destination: get32(frame, at + 16),
    protocol: frame[at + 9]!,
    identification: get16(frame, at + 4),
    offset,
    moreFragments: (flags & MORE_FRAGMENTS) !== 0,
    header: frame.subarray(at, at + headerBytes),
    payload,
  }
}

/** The fields of a packet's header. */
export interface Ipv4Fields {
  readonly source: Ipv4Address
  readonly destination: Ipv4Address
  readonly protocol: number
}

/** Writes the header of a packet that fills the frame from {@link ETHERNET_HEADER} on. */
export function putIpv4(
  frame: Uint8Array,
  { source, destination, protocol }: Ipv4Fields,
  identification = 0,
  fragment: number = DO_NOT_FRAGMENT,
): void {
  const at = ETHERNET_HEADER
  frame[at] = 0x45
  frame[at + 1] = 0
  put16(frame, at + 2, frame.length - at)
  put16(frame, at + 4, identification)
  put16(frame, at + 6, fragment)
  frame[at + 8] = TTL
  frame[at + 9] = protocol
  put16(frame, at + 10, 0)
  put32(frame, at + 12, source)
  put32(frame, at + 16, destination)
  put16(frame, at + 10, checksumOf(sumWords(frame, at, at + IPV4_HEADER)))
}

/** Lays a payload out in frames, without Ethernet headers: one frame, or a fragment a frame. */
export function fragmentIpv4(fields: Ipv4Fields, payload: Uint8Array, identification: number): Uint8Array[] {
  const most = MTU - IPV4_HEADER
  const step = most & ~7
  const frames: Uint8Array[] = []
  for (let from = 0; from === 0 || from < payload.length; from += step) {
    const isLast = payload.length - from <= step || payload.length <= most
    const part = payload.subarray(from, isLast ? payload.length : from + step)
    const frame = new Uint8Array(IPV4_PAYLOAD + part.length)
    frame.set(part, IPV4_PAYLOAD)
    if (from === 0 && isLast) {
      putIpv4(frame, fields)
      return [frame]
    }
    putIpv4(frame, fields, identification, (from >>> 3) | (isLast ? 0 : MORE_FRAGMENTS))
    frames.push(frame)
  }
  return frames
}

/** The sum of the pseudo header that UDP and TCP include. Source: RFC 768, "Fields"; RFC 9293 §3.1. */
export function pseudoHeaderSum(
  source: Ipv4Address,
  destination: Ipv4Address,
  protocol: number,
  length: number,
): number {
  return (source >>> 16) + (source & 0xffff) + (destination >>> 16) + (destination & 0xffff) + protocol + length
}
