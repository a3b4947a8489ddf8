import { describe, expect, test } from 'vitest'

/** An option with accepted and refused values. */
export interface Limits {
  readonly what: string
  readonly make: (value: number) => unknown
  readonly good: readonly number[]
  readonly bad: readonly number[]
}

/** Tests options with the most and the least that a caller may give, and with values just beyond: `ERR_OPTION`. */
export function testLimits(limits: readonly Limits[]): void {
  describe('options', () => {
    test.each(limits)('$what', ({ make, good, bad }) => {
      for (const value of good) expect(() => make(value), `${value}`).not.toThrow()
      for (const value of bad)
        expect(() => make(value), `${value}`).toThrow(expect.objectContaining({ code: 'ERR_OPTION' }))
    })
  })
}
