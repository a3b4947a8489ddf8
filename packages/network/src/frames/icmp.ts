import { checksumOf, sumWords } from '@retrap/device'
import { put16 } from './bytes.ts'
import { type Ipv4Packet, PROTOCOL_ICMP } from './ipv4.ts'

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
