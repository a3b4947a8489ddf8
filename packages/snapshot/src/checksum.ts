import { crc32 as sum } from '@retrap/basics'

/** CRC-32 as zlib and PNG have it. */
export function crc32(bytes: Uint8Array): number {
  return sum(bytes)
}
