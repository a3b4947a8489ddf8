/** Operands that find mistakes: special values, edges of the exponent range, neighbours, and anything at all. */

/** A small generator of pseudo-random numbers (xorshift32), so that failures repeat. */
export class Random {
  #state: number
  constructor(seed: number) {
    this.#state = seed | 0 || 1
  }

  /** An unsigned 32-bit number. */
  next(): number {
    let x = this.#state
    x ^= x << 13
    x ^= x >>> 17
    x ^= x << 5
    this.#state = x
    return Math.imul(x, 0x9e37_79b1) >>> 0
  }

  /** 0 ≤ n < limit. */
  below(limit: number): number {
    return Math.floor((this.next() / 2 ** 32) * limit)
  }

  bits(count: number): bigint {
    let value = 0n
    for (let done = 0; done < count; done += 32) value = (value << 32n) | BigInt(this.next())
    return value & ((1n << BigInt(count)) - 1n)
  }

  pick<T>(values: readonly T[]): T {
    return values[this.below(values.length)] as T
  }
}

interface Shape {
  readonly exponentBits: number
  readonly fractionBits: number
}

const SINGLE: Shape = { exponentBits: 8, fractionBits: 23 }
const DOUBLE: Shape = { exponentBits: 11, fractionBits: 52 }

/** A number of `bits` bits. */
export function floatBits(random: Random, bits: 32 | 64): bigint {
  const { exponentBits, fractionBits } = bits === 32 ? SINGLE : DOUBLE
  const maximum = (1 << exponentBits) - 1
  const bias = maximum >> 1
  return assemble(
    exponentOf(random, maximum, bias, fractionBits),
    fractionOf(random, fractionBits),
    random.below(2),
    exponentBits,
    fractionBits,
  )
}

function assemble(
  exponent: number,
  fraction: bigint,
  sign: number,
  exponentBits: number,
  fractionBits: number,
): bigint {
  return (((BigInt(sign) << BigInt(exponentBits)) | BigInt(exponent)) << BigInt(fractionBits)) | fraction
}

function exponentOf(random: Random, maximum: number, bias: number, fractionBits: number): number {
  const around = (centre: number, spread: number): number =>
    Math.min(maximum, Math.max(0, centre + random.below(2 * spread + 1) - spread))
  switch (random.below(10)) {
    case 0:
      return 0
    case 1:
      return maximum
    case 2:
      return around(0, 3)
    case 3:
      return around(maximum, 3)
    case 4:
      return around(bias, fractionBits + 2)
    case 5:
      return around(bias >> 1, 4)
    case 6:
      return around(bias + (bias >> 1), 4)
    case 7:
      return random.below(maximum + 1)
    default:
      return around(bias, 3)
  }
}

function fractionOf(random: Random, bits: number): bigint {
  const all = (1n << BigInt(bits)) - 1n
  switch (random.below(8)) {
    case 0:
      return 0n
    case 1:
      return all
    case 2:
      return 1n << BigInt(random.below(bits))
    case 3:
      return all ^ (1n << BigInt(random.below(bits)))
    case 4:
      return random.bits(bits) & ~((1n << BigInt(random.below(bits))) - 1n)
    case 5:
      return BigInt(random.below(4))
    default:
      return random.bits(bits)
  }
}

/** Significand, and sign and exponent, of a double-extended number; now and then an unsupported encoding. */
export function extendedBits(random: Random): { readonly significand: bigint; readonly word: number } {
  const exponent = exponentOf(random, 0x7fff, 0x3fff, 63)
  const fraction = fractionOf(random, 63)
  const integer = exponent === 0 ? random.below(8) === 0 : random.below(40) !== 0
  return { significand: (integer ? 1n << 63n : 0n) | fraction, word: (random.below(2) << 15) | exponent }
}

/** A whole number of 64 bits, of any size. */
export function integer(random: Random): bigint {
  const value = random.bits(64) >> BigInt(random.below(64))
  return BigInt.asUintN(64, random.below(2) === 0 ? -value : value)
}

export const hex = (bytes: Uint8Array, at: number, length: number): string =>
  Buffer.from(bytes.slice(at, at + length).reverse()).toString('hex')
