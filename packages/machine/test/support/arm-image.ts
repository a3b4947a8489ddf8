/* Instructions of A64. */
export const movz = (register: number, value: number, shift = 0): number =>
  (0xd280_0000 | ((shift / 16) << 21) | (value << 5) | register) >>> 0
export const movk = (register: number, value: number, shift = 0): number =>
  (0xf280_0000 | ((shift / 16) << 21) | (value << 5) | register) >>> 0

/** An arm64 Image: the header of the boot protocol, whose first instruction jumps behind it. */
export function image(...program: number[]): Uint8Array {
  const words = new Uint32Array(16 + program.length)
  words[0] = 0x1400_0010 // b .+64
  words.set([words.length * 4], 4)
  words[14] = 0x644d_5241
  words.set(program, 16)
  return new Uint8Array(words.buffer)
}
