import { crc32 } from '@retrap/basics'

export const get16 = (bytes: Uint8Array, at: number): number => (bytes[at]! << 8) | bytes[at + 1]!

export function put16(bytes: Uint8Array, at: number, value: number): void {
  bytes[at] = value >>> 8
  bytes[at + 1] = value
}

/**
 * Appends a frame's check sequence.
 *
 * @param length - bytes of the frame; four follow
 *
 * Source: IEEE 802.3-2018, §3.2.9, "Frame Check Sequence field".
 */
export function putCheckSequence(bytes: Uint8Array, length: number): void {
  const crc = crc32(bytes.subarray(0, length))
  for (let i = 0; i < 4; i++) bytes[length + i] = crc >>> (8 * i)
}
