import { PAGE_BYTES } from '@retrap/memory'

/** Words of a frame. */
export const WORDS: number = PAGE_BYTES / 4

/** Whether a frame is zeros. @param first - word of its first byte */
export function isZero(u32: Uint32Array, first: number): boolean {
  for (let i = first; i < first + WORDS; i += 8) {
    const some =
      u32[i]! | u32[i + 1]! | u32[i + 2]! | u32[i + 3]! | u32[i + 4]! | u32[i + 5]! | u32[i + 6]! | u32[i + 7]!
    if (some !== 0) return false
  }
  return true
}

/** Whether a frame has these contents; false where that would take long to find out. @param first - as of `isZero` */
export function isSame(u32: Uint32Array, first: number, contents: Uint8Array): boolean {
  if (contents.byteOffset % 4 !== 0) return false
  const words = new Uint32Array(contents.buffer, contents.byteOffset, WORDS)
  for (let i = 0; i < WORDS; i++) if (u32[first + i] !== words[i]) return false
  return true
}
