import type { Ipv4Address } from '../addresses.ts'

/** The sum of the pseudo header that UDP and TCP include. Source: RFC 768, "Fields"; RFC 9293 §3.1. */
export function pseudoHeaderSum(
  source: Ipv4Address,
  destination: Ipv4Address,
  protocol: number,
  length: number,
): number {
  return (source >>> 16) + (source & 0xffff) + (destination >>> 16) + (destination & 0xffff) + protocol + length
}
