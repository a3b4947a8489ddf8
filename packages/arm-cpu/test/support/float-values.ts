/** Random floating-point numbers near which things change. */
type Random = () => number

/** Bits of the fraction, and of the exponent. */
const FORMATS = { 16: [10, 5], 32: [23, 8], 64: [52, 11] } as const

/** An encoding of 16, 32 or 64 bits. */
function encoding(random: Random, bits: 16 | 32 | 64): bigint {
  const [fractionBits, exponentBits] = FORMATS[bits]
  const ones = (1n << BigInt(exponentBits)) - 1n
  const bias = ones >> 1n
  const wide = (BigInt(random()) << 32n) | BigInt(random())
  const mask = (1n << BigInt(fractionBits)) - 1n
  const make = (exponent: bigint, fraction: bigint): bigint =>
    (BigInt(random() & 1) << BigInt(bits - 1)) | (exponent << BigInt(fractionBits)) | (fraction & mask)
  const few = [0n, 0n, 1n, mask, mask - 1n, 1n << BigInt(fractionBits - 1), wide][random() % 7]!
  switch (random() % 12) {
    case 0:
      return make(0n, few)
    case 1:
      return make(ones, few)
    case 2:
      return make(ones - BigInt(random() % 3), few)
    case 3:
      return make(BigInt(random() % 3), few)
    case 4:
      return make(bias + BigInt(random() % 4), few)
    case 5:
      return make(bias - BigInt(random() % 4), few)
    // About as large as integers are.
    case 6:
      return make((bias + BigInt([7, 8, 14, 15, 16, 30, 31, 32, 62, 63, 64][random() % 11]!)) & ones, few)
    // Few bits of a fraction: exact results.
    case 7:
      return make((bias + BigInt(random() % 12)) & ones, wide & (mask << BigInt(fractionBits >> 1)))
    // Products and quotients that are tiny or too large.
    case 8:
      return make((random() & 1) === 0 ? bias >> 1n : bias + (bias >> 1n) + 1n, wide)
    case 9:
      return make(bias + BigInt(random() % 5) - 2n, wide)
    // Just below the smallest normal number of the next smaller format.
    case 10:
      return make(bias - (bits === 64 ? 127n : bits === 32 ? 15n : 3n), mask - BigInt(random() & 3))
    default:
      return BigInt.asUintN(bits, wide)
  }
}

/** 64 bits of numbers of one precision. */
export function floatValue(random: Random): bigint {
  const bits = ([16, 32, 64] as const)[random() % 3]!
  let value = 0n
  for (let at = 0; at < 64; at += bits) value |= encoding(random, bits) << BigInt(at)
  return value
}

/** FPCR: every rounding and mode, more often none. */
export const controlValue = (random: Random): bigint => ((random() & 3) === 0 ? 0n : BigInt(random() & 0x07c8_0000))

/** FPSR: what has been raised before. IXC, which lets quick paths be taken, more often. */
export const statusValue = (random: Random): bigint => BigInt((random() & 0x0800_009f) | (random() & 0x10))
