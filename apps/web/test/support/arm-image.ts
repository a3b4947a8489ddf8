/**
 * An arm64 Image that reads the serial port's flags for ever.
 *
 * Source: Linux, Documentation/arch/arm64/booting.rst; Arm ARM (DDI 0487) C6.2, "B", "LDR (immediate)", "MOVZ".
 */
export function loopingArmImage(): Uint8Array {
  const words = new Uint32Array(19)
  // Behind the header: movz x1, 900h, lsl 16; ldr w3, [x1, 18h]; b back to it.
  words[0] = 0x1400_0010
  words.set([0xd2a1_2001, 0xb940_1823, 0x17ff_ffff], 16)
  words[4] = words.length * 4
  words[14] = 0x644d_5241
  return new Uint8Array(words.buffer)
}
