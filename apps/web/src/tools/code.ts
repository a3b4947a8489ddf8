/** Instruction sets and their modes, as the form names them. */
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

/** A part of an encoding: bytes of it, or bits of its word. */
export interface Part {
  readonly name: string
  /** Hexadecimal digits. */
  readonly value: string
  readonly text: string
}

/** An instruction, taken apart. */
export interface Line {
  readonly address: bigint
  readonly bytes: Uint8Array
  readonly text: string
  readonly parts: readonly Part[]
}

/** More is cut off: it is a page for people. */
export const MOST_BYTES = 4096

/**
 * Reads bytes as people write them: `48 89 d8`, `4889d8`, `0x48, 0x89`, `\x48\x89`.
 *
 * @returns null for what has something else in it
 */
export function readBytes(text: string): Uint8Array | null {
  const digits = text.replaceAll(/0x|\\x|[\s,;]/gi, '')
  if (digits.length % 2 !== 0 || !/^[\da-f]*$/i.test(digits)) return null
  const pairs = digits.match(/../g) ?? []
  return Uint8Array.from(pairs.slice(0, MOST_BYTES), (pair) => Number.parseInt(pair, 16))
}

/** Bytes as digits, with blanks between them. */
export const hexOf = (bytes: Uint8Array): string =>
  Array.from(bytes, (byte) => byte.toString(16).padStart(2, '0')).join(' ')
