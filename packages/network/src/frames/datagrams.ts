import { checksumOf, sumWords } from '@retrap/device'
import { put16, get16 } from './bytes.ts'
import { type Ipv4Packet, PROTOCOL_ICMP, pseudoHeaderSum, PROTOCOL_UDP } from './ipv4.ts'
import type { Ipv4Address } from '../addresses.ts'

const ICMP_HEADER = 8
const ECHO_REPLY = 0
const UNREACHABLE = 3
const ECHO = 8

/** Codes of a "destination unreachable" message. Source: RFC 792; RFC 1812 §5.2.7.1. */
export const UNREACHABLE_HOST = 1
export const UNREACHABLE_PORT = 3
export const UNREACHABLE_PROHIBITED = 13

/** The answer to an echo request. @returns null for other messages, and for a wrong checksum */
export function echoReply({ payload: bytes }: Ipv4Packet): Uint8Array | null {
  if (bytes.length < ICMP_HEADER || bytes[0] !== ECHO || bytes[1] !== 0) return null
  if (checksumOf(sumWords(bytes, 0, bytes.length)) !== 0) return null
  const reply = bytes.slice()
  reply[0] = ECHO_REPLY
  return withChecksum(reply)
}

/** Whether a packet is an ICMP message that must not be answered by an error. Source: RFC 1122 §3.2.2. */
export function isIcmpError({ protocol, payload }: Ipv4Packet): boolean {
  return protocol === PROTOCOL_ICMP && payload[0] !== ECHO
}

/** Says that a packet has not reached its destination, with the packet's header and first 8 bytes. */
export function makeUnreachable({ header, payload }: Ipv4Packet, code: number): Uint8Array {
  const quoted = payload.subarray(0, 8)
  const message = new Uint8Array(ICMP_HEADER + header.length + quoted.length)
  message[0] = UNREACHABLE
  message[1] = code
  message.set(header, ICMP_HEADER)
  message.set(quoted, ICMP_HEADER + header.length)
  return withChecksum(message)
}

function withChecksum(message: Uint8Array): Uint8Array {
  put16(message, 2, 0)
  put16(message, 2, checksumOf(sumWords(message, 0, message.length)))
  return message
}

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

/** Builds a UDP datagram with its checksum. */
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
