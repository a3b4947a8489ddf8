import { checksumOf, sumWords } from '@retrap/device'
import { get16, put16 } from './bytes.ts'
import { pseudoHeaderSum, type Ipv4Packet, PROTOCOL_UDP } from './ipv4.ts'
import type { Ipv4Address } from '../addresses.ts'

const UDP_HEADER = 8
/** The longest payload: an IPv4 packet without the two headers. */
export const MOST_UDP_BYTES: number = 0xffff - 20 - UDP_HEADER

/** A datagram. Source: RFC 768. */
export interface UdpDatagram {
  readonly sourcePort: number
  readonly destinationPort: number
  readonly payload: Uint8Array
}

/** Reads a packet's datagram. @returns null for one that is cut or has a wrong checksum */
export function readUdp({ payload: bytes, source, destination }: Ipv4Packet): UdpDatagram | null {
  if (bytes.length < UDP_HEADER) return null
  const length = get16(bytes, 4)
  if (length < UDP_HEADER || length > bytes.length) return null
  // A checksum of 0: the sender has made none.
  const sum = pseudoHeaderSum(source, destination, PROTOCOL_UDP, length)
  if (get16(bytes, 6) !== 0 && checksumOf(sumWords(bytes, 0, length, sum)) !== 0) return null
  return {
    sourcePort: get16(bytes, 0),
    destinationPort: get16(bytes, 2),
    payload: bytes.subarray(UDP_HEADER, length),
  }
}

/** Makes a datagram with its checksum. */
export function makeUdp(
  source: Ipv4Address,
  destination: Ipv4Address,
  { sourcePort, destinationPort, payload }: UdpDatagram,
): Uint8Array {
  const bytes = new Uint8Array(UDP_HEADER + payload.length)
  put16(bytes, 0, sourcePort)
  put16(bytes, 2, destinationPort)
  put16(bytes, 4, bytes.length)
  bytes.set(payload, UDP_HEADER)
  const sum = pseudoHeaderSum(source, destination, PROTOCOL_UDP, bytes.length)
  put16(bytes, 6, checksumOf(sumWords(bytes, 0, bytes.length, sum)) || 0xffff)
  return bytes
}
