// Numbers in commands and their data are big-endian.

/** Reads 16 bits. */
export const be16 = (bytes: Uint8Array, at: number): number => (bytes[at]! << 8) | bytes[at + 1]!
/** Reads 24 bits. */
export const be24 = (bytes: Uint8Array, at: number): number => (bytes[at]! << 16) | be16(bytes, at + 1)
/** Reads 32 bits. */
export const be32 = (bytes: Uint8Array, at: number): number => be16(bytes, at) * 0x1_0000 + be16(bytes, at + 2)
/** Reads 64 bits: exact up to 2^53. A larger number is beyond the end of every medium. */
export const be64 = (bytes: Uint8Array, at: number): number => be32(bytes, at) * 2 ** 32 + be32(bytes, at + 4)

/** The bytes of 16 bits. */
export const bytes16 = (value: number): readonly number[] => [(value >> 8) & 0xff, value & 0xff]
/** The bytes of 32 bits. */
export const bytes32 = (value: number): readonly number[] => [
  ...bytes16(Math.floor(value / 0x1_0000)),
  ...bytes16(value & 0xffff),
]
/** The bytes of 64 bits. */
export const bytes64 = (value: number): readonly number[] => [
  ...bytes32(Math.floor(value / 2 ** 32)),
  ...bytes32(value >>> 0),
]

/** ASCII characters, filled up with blanks. */
export const text = (value: string, bytes: number): readonly number[] =>
  [...value.slice(0, bytes).padEnd(bytes)].map((character) => character.charCodeAt(0) & 0x7f)

const COMMAND_BYTES = 16

/** Pads a command to 16 bytes with zeros: transports may shorten it. */
export function wholeCommand(command: Uint8Array): Uint8Array {
  if (command.length >= COMMAND_BYTES) return command
  const whole = new Uint8Array(COMMAND_BYTES)
  whole.set(command)
  return whole
}
