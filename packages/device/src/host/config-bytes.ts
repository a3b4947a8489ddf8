/** Reads a little-endian word. */
export function wordOf(bytes: Uint8Array, at: number): number {
  return bytes[at]! | (bytes[at + 1]! << 8)
}

/** Reads a little-endian doubleword, unsigned. */
export function longOf(bytes: Uint8Array, at: number): number {
  return (wordOf(bytes, at) | (wordOf(bytes, at + 2) << 16)) >>> 0
}

/** Writes a little-endian word. */
export function putWord(bytes: Uint8Array, at: number, value: number): void {
  bytes[at] = value
  bytes[at + 1] = value >>> 8
}

/** Writes a little-endian doubleword. */
export function putLong(bytes: Uint8Array, at: number, value: number): void {
  putWord(bytes, at, value)
  putWord(bytes, at + 2, value >>> 16)
}
