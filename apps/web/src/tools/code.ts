/** Instruction sets and their modes, by their names in the form. */
export const MODES = {
  x64: 'x86, 64-bit',
  x32: 'x86, 32-bit',
  x16: 'x86, 16-bit',
  a64: 'Arm A64',
  a32: 'Arm A32',
  t32: 'Arm T32',
} as const
export type Mode = keyof typeof MODES

/** Ways to write an x86 instruction. */
export const SYNTAXES = { intel: 'Intel', att: 'AT&T', nasm: 'NASM' } as const
export type Syntax = keyof typeof SYNTAXES

/** A part of an encoding: some of its bytes, or bits of its word. */
export interface Part {
  readonly name: string
  /** Hexadecimal digits. */
  readonly value: string
  readonly text: string
  /** Returns the instruction's bytes with another value of this part; null for an invalid value. Absent: the part depends on others. */
  readonly change?: (value: string) => Uint8Array | null
  readonly parts?: readonly Part[]
}

/** An instruction, taken apart. */
export interface Line {
  readonly address: bigint
  readonly bytes: Uint8Array
  readonly text: string
  readonly parts: readonly Part[]
}

/** Most bytes disassembled at once. */
export const SHOWN_BYTES = 4096

/**
 * Parses bytes in usual notations: `48 89 d8`, `4889d8`, `0x48, 0x89`, `\x48\x89`.
 *
 * @returns null for other text
 */
export function readBytes(text: string): Uint8Array | null {
  const digits = text.replaceAll(/0x|\\x|[\s,;]/gi, '')
  if (digits.length % 2 !== 0 || !/^[\da-f]*$/i.test(digits)) return null
  const pairs = digits.match(/../g) ?? []
  return Uint8Array.from(pairs, (pair) => Number.parseInt(pair, 16))
}

/** Bytes as digits, with blanks between them. */
export const hexOf = (bytes: Uint8Array): string =>
  Array.from(bytes, (byte) => byte.toString(16).padStart(2, '0')).join(' ')

/** Returns a copy of bytes with a range replaced. */
export function replaced(bytes: Uint8Array, from: number, to: number, others: Uint8Array): Uint8Array {
  const all = new Uint8Array(bytes.length - (to - from) + others.length)
  all.set(bytes.subarray(0, from))
  all.set(others, from)
  all.set(bytes.subarray(to), from + others.length)
  return all
}

/** Parses the value of a field in hexadecimal. @returns null for more bits than the field has */
export function readField(text: string, width: number): number | null {
  if (!/^(0x)?[\da-f]{1,8}$/i.test(text.trim())) return null
  const value = Number.parseInt(text, 16)
  return value < 2 ** width ? value : null
}
