// The checksum of IP, TCP, UDP and ICMP: network cards complete it, and networks behind them check it.
// Source: RFC 1071, "Computing the Internet Checksum".

/**
 * Adds bytes to a ones' complement sum, as 16-bit words in network order. A last byte alone is padded with 0.
 *
 * @param before - the sum of an even number of bytes before these
 * @returns the sum with its carries; exact for any length that memory holds
 */
export function sumWords(bytes: Uint8Array, from: number, to: number, before = 0): number {
  let sum = before
  for (let i = from; i + 1 < to; i += 2) sum += (bytes[i]! << 8) | bytes[i + 1]!
  if ((to - from) % 2 === 1) sum += bytes[to - 1]! << 8
  return sum
}

/** Returns a sum in 16 bits: its carries are added at the low end. */
export function foldSum(sum: number): number {
  let left = sum
  while (left > 0xffff) left = (left % 0x1_0000) + Math.floor(left / 0x1_0000)
  return left
}

/** Returns the checksum that a sum comes to; 0 for the sum over data with a right checksum. */
export const checksumOf = (sum: number): number => ~foldSum(sum) & 0xffff
