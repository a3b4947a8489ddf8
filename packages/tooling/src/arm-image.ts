/** Small kernels of tests for arm64 machines. */

/** MOVZ of a register. @param shift - 0, 16, 32 or 48 */
export const movz = (register: number, value: number, shift = 0): number =>
  (0xd280_0000 | ((shift / 16) << 21) | (value << 5) | register) >>> 0
/** MOVK of a register. */
export const movk = (register: number, value: number, shift = 0): number =>
  (0xf280_0000 | ((shift / 16) << 21) | (value << 5) | register) >>> 0

/** SYSTEM_OFF of PSCI. */
export const POWER_OFF: readonly number[] = [movz(0, 0x8400, 16), movk(0, 8), 0xd400_0002]

/**
 * An arm64 Image: the header of the boot protocol, whose first instruction jumps behind it.
 *
 * Source: Linux, Documentation/arch/arm64/booting.rst.
 */
export function armImage(...program: readonly number[]): Uint8Array<ArrayBuffer> {
  const words = new Uint32Array(16 + program.length)
  words[0] = 0x1400_0010 // b .+64
  words[4] = words.byteLength
  words[14] = 0x644d_5241
  words.set(program, 16)
  return new Uint8Array(words.buffer)
}
