import { checksumOf, sumWords } from '@retrap/device'
import { get16 } from './frame-bytes.ts'

/*
 * Source: PCI/PCI-X Family of Gigabit Ethernet Controllers Software Developer's Manual, §3.2.9, "Receive Packet Checksum
 * Offloading".
 */

const IPV4 = 0x0800
const IPV6 = 0x86dd
const IPV6_BYTES = 40
const TCP = 6
const UDP = 17

// RXCSUM.
const IP_OFFLOAD = 1 << 8
const PAYLOAD_OFFLOAD = 1 << 9
const IPV6_OFFLOAD = 1 << 10

// Status and errors of a descriptor.
const IGNORE = 0x04
const PAYLOAD_CHECKED = 0x20
const IP_CHECKED = 0x40
const PAYLOAD_WRONG = 0x20
const IP_WRONG = 0x40

/** Bits of a descriptor's status, and of its errors in the bits from 8 on. */
export function checkReceived(frame: Uint8Array, start: number, control: number): number {
  const type = start >= 2 && start + 20 <= frame.length ? get16(frame, start - 2) : 0
  if (type === IPV4 && frame[start]! >>> 4 === 4) return checkIpv4(frame, start, control)
  const isIpv6 = type === IPV6 && frame[start]! >>> 4 === 6 && start + IPV6_BYTES <= frame.length
  if (!isIpv6 || (control & (IPV6_OFFLOAD | PAYLOAD_OFFLOAD)) !== (IPV6_OFFLOAD | PAYLOAD_OFFLOAD)) return IGNORE
  const bytes = get16(frame, start + 4)
  return checkPayload(frame, start + IPV6_BYTES, bytes, frame[start + 6]!, start + 8, 32) || IGNORE
}

function checkIpv4(frame: Uint8Array, start: number, control: number): number {
  const headerBytes = 4 * (frame[start]! & 15)
  const total = get16(frame, start + 2)
  if (headerBytes < 20 || total < headerBytes || start + total > frame.length) return IGNORE
  let found = 0
  if ((control & IP_OFFLOAD) !== 0) {
    const isRight = checksumOf(sumWords(frame, start, start + headerBytes)) === 0
    found |= IP_CHECKED | (isRight ? 0 : IP_WRONG << 8)
  }
  // A fragment's payload is not whole.
  const isFragment = (get16(frame, start + 6) & 0x3fff) !== 0
  if ((control & PAYLOAD_OFFLOAD) !== 0 && !isFragment)
    found |= checkPayload(frame, start + headerBytes, total - headerBytes, frame[start + 9]!, start + 12, 8)
  return found === 0 ? IGNORE : found
}

/** @param addresses - offset and length of the pseudo-header's addresses, in bytes */
function checkPayload(
  frame: Uint8Array,
  start: number,
  bytes: number,
  protocol: number,
  addresses: number,
  addressBytes: number,
): number {
  const field = protocol === TCP ? 16 : 6
  if ((protocol !== TCP && protocol !== UDP) || bytes < field + 2 || start + bytes > frame.length) return 0
  if (protocol === UDP && get16(frame, start + field) === 0) return 0
  const pseudo = sumWords(frame, addresses, addresses + addressBytes, protocol + bytes)
  const isRight = checksumOf(sumWords(frame, start, start + bytes, pseudo)) === 0
  return PAYLOAD_CHECKED | (isRight ? 0 : PAYLOAD_WRONG << 8)
}
