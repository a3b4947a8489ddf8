/** Hexadecimal digits of numbers. `toString(16)` costs more than all else that a printed instruction needs. */

const TWELVE_BITS = 0xfff
const TWENTY_FOUR_BITS = 0x1000000

/** By number below 4096, once it was asked for: `0x1f`, and the three digits `01f`. */
const short: string[] = /*#__PURE__*/ new Array<string>(TWELVE_BITS + 1)
const padded: string[] = /*#__PURE__*/ new Array<string>(TWELVE_BITS + 1)

const threeDigits = (value: number): string => (padded[value] ??= value.toString(16).padStart(3, '0'))

const sixDigits = (value: number): string => threeDigits(value >>> 12) + threeDigits(value & TWELVE_BITS)

/**
 * A number as `0x1f`.
 *
 * @param value - an integer from 0 to 2^53 - 1
 */
export function prefixedHex(value: number): string {
  if (value <= TWELVE_BITS) return (short[value] ??= `0x${value.toString(16)}`)
  if (value < TWENTY_FOUR_BITS) return prefixedHex(value >>> 12) + threeDigits(value & TWELVE_BITS)
  return prefixedHex(Math.floor(value / TWENTY_FOUR_BITS)) + sixDigits(value % TWENTY_FOUR_BITS)
}

/** The unsigned 64-bit number of two words, as `0x1f`. */
export function prefixedHexWords(lo: number, hi: number): string {
  const high = hi >>> 0
  if (high < 1 << 21) return prefixedHex(high * 2 ** 32 + (lo >>> 0))
  return prefixedHex(high >>> 16) + sixDigits(((high & 0xffff) << 8) | (lo >>> 24)) + sixDigits(lo & 0xffffff)
}
