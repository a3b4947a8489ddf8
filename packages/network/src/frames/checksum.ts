import type { Ipv4Address } from '../addresses.ts'

/**
 * Adds bytes to a ones' complement sum, as 16-bit words in network order.
 *
 * @param start - a sum so far; behind an even number of bytes
 *
 * Source: RFC 1071, "Computing the Internet Checksum".
 */
export function addSum(bytes: Uint8Array, from: number, to: number, start = 0): number {
  let sum = start
  const even = from + ((to - from) & ~1)
  // 2^15 words of 16 bits and their carries fit in 32 bits: the longest packet has no more.
  for (let i = from; i < even; i += 2) sum += (bytes[i]! << 8) | bytes[i + 1]!
  if (even < to) sum += bytes[even]! << 8
  return (sum & 0xffff) + Math.floor(sum / 0x1_0000)
}

/** The checksum that a sum comes to. */
export function fold(sum: number): number {
  let value = sum
  while (value > 0xffff) value = (value & 0xffff) + (value >>> 16)
  return ~value & 0xffff
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
