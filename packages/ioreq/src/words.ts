import type { Word64 } from '@retrap/device'

/** Spreads the low `size` bytes of a 64-bit value over `bytes` from `at` on. */
export function putBytes(bytes: Uint8Array, at: number, size: number, lo: number, hi: number): void {
  for (let i = 0; i < size; i++) bytes[at + i] = i < 4 ? lo >>> (8 * i) : hi >>> (8 * (i - 4))
}

/** Four bytes from `at` on; bytes past the end count as 0. */
export function wordAt(bytes: Uint8Array, at: number): number {
  return (
    ((bytes[at] ?? 0) | ((bytes[at + 1] ?? 0) << 8) | ((bytes[at + 2] ?? 0) << 16) | ((bytes[at + 3] ?? 0) << 24)) >>> 0
  )
}

/** Fills in the value of a bus that nobody drives: ones, as many as fit `size` bytes. */
export function allOnes(size: number, into: Word64): void {
  into.lo = size >= 4 ? 0xffff_ffff : 2 ** (8 * size) - 1
  into.hi = size > 4 ? 2 ** (8 * (size - 4)) - 1 : 0
}
