/**
 * No-operation sequences of 1 to 9 bytes for 32- and 64-bit code (SDM vol. 2B, NOP, "Recommended Multi-Byte Sequence of
 * NOP Instruction").
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

/** For 16-bit code: moves of SI to itself, which every CPU has, from the 8086 on. */
const SHORT_NOPS: readonly (readonly number[])[] = [
  // NOP; MOV SI, SI; LEA SI, [SI+0] with 8 and with 16 bits of displacement
  [0x90],
  [0x89, 0xf6],
  [0x8d, 0x74, 0x00],
  [0x8d, 0xb4, 0x00, 0x00],
]

/**
 * Padding that may be executed, of as few instructions as can be.
 *
 * @param length - bytes to fill
 * @param bits - mode of the code
 */
export function codePadding(length: number, bits: 16 | 32 | 64): Uint8Array {
  const padding = new Uint8Array(length)
  const sequences = bits === 16 ? SHORT_NOPS : LONG_NOPS
  for (let offset = 0; offset < length;) {
    const sequence = sequences[Math.min(length - offset, sequences.length) - 1] ?? [0x90]
    padding.set(sequence, offset)
    offset += sequence.length
  }
  return padding
}
