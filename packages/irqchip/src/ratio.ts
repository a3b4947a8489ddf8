const TWO_16 = 0x1_0000
const TWO_32 = 0x1_0000_0000

/**
 * Multiplies whole numbers by a fraction, exactly: quotient and remainder, with no product beyond 2^53.
 *
 * Long multiplication and division in digits of 16 bits: numerator and denominator together are at most 2^37, so that
 * a remainder and a digit together stay below 2^53.
 */
export class Ratio {
  readonly numerator: number
  readonly denominator: number
  /** Remainder of the last operation, in parts of the denominator. */
  remainder = 0

  /** Shortens the fraction. */
  constructor(numerator: number, denominator: number) {
    let a = numerator
    let b = denominator
    while (b !== 0) [a, b] = [b, a % b]
    this.numerator = numerator / a
    this.denominator = denominator / a
  }

  /** floor(value × ratio). @param value - up to 2^53, as is the result */
  of(value: number): number {
    if (this.denominator === 1) {
      this.remainder = 0
      return value * this.numerator
    }
    if (this.numerator === 1) {
      const quotient = Math.floor(value / this.denominator)
      this.remainder = value - quotient * this.denominator
      return quotient
    }
    const high = this.word(Math.floor(value / TWO_32), 0)
    return high * TWO_32 + this.word(value >>> 0, this.remainder)
  }

  /** The quotient of a further 32 bits. @param remainder - of the bits before */
  word(value: number, remainder: number): number {
    const high = this.#digit(value >>> 16, remainder)
    return high * TWO_16 + this.#digit(value & 0xffff, this.remainder)
  }

  #digit(value: number, remainder: number): number {
    const sum = remainder * TWO_16 + value * this.numerator
    const quotient = Math.floor(sum / this.denominator)
    this.remainder = sum - quotient * this.denominator
    return quotient
  }
}
