/** Reads four bytes, little-endian, as an unsigned number; bytes beyond the end are 0. */
export function word(bytes: Uint8Array, at: number): number {
  const [a = 0, b = 0, c = 0, d = 0] = bytes.subarray(at, at + 4)
  return (a | (b << 8) | (c << 16) | (d << 24)) >>> 0
}

/** Whether the bytes at an offset are these. */
export function matches(bytes: Uint8Array, at: number, expected: ArrayLike<number>): boolean {
  for (let i = 0; i < expected.length; i++) if (bytes[at + i] !== expected[i]) return false
  return true
}
