/** Small kernels of tests for arm64 machines. */

/** MOVZ of a register. @param shift - 0, 16, 32 or 48 */
export const movz = (register: number, value: number, shift = 0): number =>
  (0xd280_0000 | ((shift / 16) << 21) | (value << 5) | register) >>> 0
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

/** A kernel that echoes bytes on its serial port, and powers off after a q. */
export const armEcho = (): Uint8Array<ArrayBuffer> =>
  armImage(
    // UARTLCR_H, UARTCR: the UART sends and receives eight bits.
    ...[movz(7, 0x0900, 16), movz(6, 0x60), 0xb900_2ce6, movz(6, 0x301), 0xb900_30e6],
    // ldr w6, [x7, #0x18]; tbnz w6, #4, -4; ldr w6, [x7]; str w6, [x7]; cmp w6, #'q'; b.ne -20
    ...[0xb940_18e6, 0x3727_ffe6, 0xb940_00e6, 0xb900_00e6, 0x7101_c4df, 0x54ff_ff61],
    ...POWER_OFF,
  )
