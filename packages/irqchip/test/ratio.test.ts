import fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import { Ratio } from '../src/time.ts'

/** The quotient and the remainder, by whole numbers of any length. */
function exactly(
  value: number,
  numerator: number,
  denominator: number,
): readonly [quotient: bigint, remainder: bigint] {
  const product = BigInt(value) * BigInt(numerator)
  return [product / BigInt(denominator), product % BigInt(denominator)]
}

describe('a ratio', () => {
  test('multiplies without rounding', () => {
    const part = fc.integer({ min: 1, max: 2 ** 36 })
    fc.assert(
      fc.property(fc.maxSafeInteger().map(Math.abs), part, part, (value, numerator, denominator) => {
        const [quotient, remainder] = exactly(value, numerator, denominator)
        // Results are below 2^53, as values are.
        fc.pre(quotient <= BigInt(Number.MAX_SAFE_INTEGER))
        const ratio = new Ratio(numerator, denominator)
        expect(BigInt(ratio.of(value))).toBe(quotient)
        // The fraction is shortened.
        expect(BigInt(ratio.remainder) * BigInt(denominator)).toBe(remainder * BigInt(ratio.denominator))
      }),
      { numRuns: 500 },
    )
  })

  test.each([
    [2 ** 31, 1],
    [2 ** 32 - 1, 1],
    [2 ** 33 + 2 ** 31, 3],
    [2 ** 53 - 1, 2],
  ])('multiplies %d, whose lower word has its highest bit', (value, numerator) => {
    const [quotient] = exactly(value, 2 * numerator + 1, 7)
    expect(BigInt(new Ratio(2 * numerator + 1, 7).of(value))).toBe(quotient)
  })
})
