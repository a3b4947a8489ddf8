/**
 * No-operation sequences of 1 to 9 bytes (SDM vol. 2B, NOP, "Recommended Multi-Byte Sequence of NOP Instruction").
 */
const LONG_NOPS: readonly (readonly number[])[] = [
  [0x90],
  [0x66, 0x90],
  [0x0f, 0x1f, 0x00],
  [0x0f, 0x1f, 0x40, 0x00],
  [0x0f, 0x1f, 0x44, 0x00, 0x00],
  [0x66, 0x0f, 0x1f, 0x44, 0x00, 0x00],
  [0x0f, 0x1f, 0x80, 0x00, 0x00, 0x00, 0x00],
  [0x0f, 0x1f, 0x84, 0x00, 0x00, 0x00, 0x00, 0x00],
  [0x66, 0x0f, 0x1f, 0x84, 0x00, 0x00, 0x00, 0x00, 0x00],
]

/**
 * Padding that may be executed.
 *
 * 16-bit code gets single-byte NOPs: the long forms have other lengths there, and such code may run on a CPU without them.
 *
 * @param length - bytes to fill
 * @param bits - the mode it is executed in
 */
export function codePadding(length: number, bits: 16 | 32 | 64): Uint8Array {
  const padding = new Uint8Array(length).fill(0x90)
  if (bits === 16) return padding
  for (let offset = 0; offset < length;) {
    const sequence = LONG_NOPS[Math.min(length - offset, LONG_NOPS.length) - 1] ?? [0x90]
    padding.set(sequence, offset)
    offset += sequence.length
  }
  return padding
}
