// Numbers and bytes as the protocol writes them.

const DIGITS = '0123456789abcdef'

/** Encodes bytes as two hex digits each. */
export function toHex(bytes: Uint8Array): string {
  let text = ''
  for (const byte of bytes) text += DIGITS[byte >>> 4]! + DIGITS[byte & 15]!
  return text
}

/** Decodes two hex digits a byte; undefined for other text. */
export function fromHex(text: string): Uint8Array | undefined {
  if (text.length % 2 !== 0 || !/^[\da-f]*$/i.test(text)) return undefined
  return Uint8Array.from({ length: text.length / 2 }, (_, i) => Number.parseInt(text.slice(2 * i, 2 * i + 2), 16))
}

/** Parses a hex number of at most 64 bits; undefined for other text. */
export function parseBig(text: string | undefined): bigint | undefined {
  return text !== undefined && /^[\da-f]{1,16}$/i.test(text) ? BigInt(`0x${text}`) : undefined
}

/** Parses a hex number of at most 32 bits; undefined for other text. */
export function parseSmall(text: string | undefined): number | undefined {
  return text !== undefined && /^[\da-f]{1,8}$/i.test(text) ? Number.parseInt(text, 16) : undefined
}

/** Little-endian bytes of a number. */
export function littleEndian(value: bigint, bytes: number): Uint8Array {
  const out = new Uint8Array(bytes)
  let rest = value
  for (let i = 0; i < bytes; i++) {
    out[i] = Number(rest & 0xffn)
    rest >>= 8n
  }
  return out
}

/** The number that little-endian bytes stand for. */
export function fromLittleEndian(bytes: Uint8Array): bigint {
  let value = 0n
  for (let i = bytes.length - 1; i >= 0; i--) value = (value << 8n) | BigInt(bytes[i]!)
  return value
}

/** Each character's code as a byte: packets are bytes, not text. */
export function latin1(text: string): Uint8Array {
  return Uint8Array.from(text, (character) => character.charCodeAt(0))
}
