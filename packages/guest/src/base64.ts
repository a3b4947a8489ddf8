const ALPHABET = 'ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/'
const NONE = 0xff

/** The value of each character; {@link NONE}: invalid. */
const VALUES = new Uint8Array(128).fill(NONE)
for (let value = 0; value < ALPHABET.length; value++) VALUES[ALPHABET.charCodeAt(value)] = value

/** Returns bytes as base64. Source: RFC 4648, §4. */
export function encodeBase64(bytes: Uint8Array): string {
  let text = ''
  for (let at = 0; at < bytes.length; at += 3) {
    const left = bytes.length - at
    const bits = (bytes[at]! << 16) | ((bytes[at + 1] ?? 0) << 8) | (bytes[at + 2] ?? 0)
    text += ALPHABET[bits >>> 18]! + ALPHABET[(bits >>> 12) & 63]!
    text += left > 1 ? ALPHABET[(bits >>> 6) & 63]! : '='
    text += left > 2 ? ALPHABET[bits & 63]! : '='
  }
  return text
}

/**
 * Returns the bytes of a text in base64; null if invalid: a wrong length, character or padding, or set padding bits (RFC
 * 4648, §3.5). So each byte sequence has exactly one encoding.
 */
export function decodeBase64(text: string): Uint8Array | null {
  if (text.length % 4 !== 0) return null
  const padding = text.endsWith('==') ? 2 : text.endsWith('=') ? 1 : 0
  const bytes = new Uint8Array((text.length / 4) * 3 - padding)
  const end = text.length - padding
  let bits = 0
  let count = 0
  let to = 0
  for (let at = 0; at < end; at++) {
    const value = VALUES[text.charCodeAt(at)] ?? NONE
    if (value === NONE) return null
    bits = ((bits << 6) | value) & 0xfff
    count += 6
    if (count < 8) continue
    count -= 8
    bytes[to++] = bits >>> count
  }
  return (bits & ((1 << count) - 1)) === 0 ? bytes : null
}
