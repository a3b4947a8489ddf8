/** The firmware image's size; its last byte lies below 4 GiB and, once more, below 1 MiB. */
const IMAGE_BYTES = 0x1_0000
/** Where a CPU starts, from the image's beginning (SDM vol. 3A, "First Instruction Executed"). */
const RESET_VECTOR = 0xfff0

/**
 * A firmware image that runs `code` in real mode with CS = F000, from the image's first byte on.
 * The code is so short that it is written as bytes, with the assembly beside it.
 */
export function realModeFirmware(...code: readonly (readonly [bytes: string, assembly: string])[]): Uint8Array {
  const image = new Uint8Array(IMAGE_BYTES).fill(0xf4)
  image.set(code.flatMap(([bytes]) => bytes.split(' ').map((byte) => Number.parseInt(byte, 16))))
  image.set([0xea, 0x00, 0x00, 0x00, 0xf0], RESET_VECTOR) // jmp 0xf000:0
  return image
}

/** Leaves no way to deliver an exception: the first one ends in a shutdown. */
export const NO_INTERRUPT_TABLE = ['2e 0f 01 1e 00 01', 'lidt cs:[0x100] ; where the image says limit 0'] as const

/** {@link realModeFirmware} with the descriptor that {@link NO_INTERRUPT_TABLE} loads. */
export function firmwareWithoutInterrupts(...code: readonly (readonly [string, string])[]): Uint8Array {
  const image = realModeFirmware(NO_INTERRUPT_TABLE, ...code)
  image.fill(0, 0x100, 0x106)
  return image
}
