/**
 * An arm64 Image that runs in a circle.
 *
 * Source: Linux, Documentation/arch/arm64/booting.rst; Arm ARM (DDI 0487) C6.2, "B".
 */
export function loopingArmImage(): Uint8Array {
  const words = new Uint32Array(17)
  // Behind the header, and to itself.
  words[0] = 0x1400_0010
  words[16] = 0x1400_0000
  words[4] = words.length * 4
  words[14] = 0x644d_5241
  return new Uint8Array(words.buffer)
}
