import { describe, expect, test } from 'vitest'
import * as fc from 'fast-check'
import { Instant } from '../src/index.ts'

const LAST = 2n ** 64n - 1n

describe('instants', () => {
  test('agree with bigints', () => {
    const ns = fc.oneof(
      fc.bigInt(0n, LAST),
      fc.constantFrom(0n, 2n ** 32n - 1n, 2n ** 32n, 2n ** 53n - 1n, 2n ** 53n + 1n, LAST - 1n),
    )
    const step = fc.oneof(fc.integer(), fc.maxSafeInteger(), fc.constantFrom(2 ** 32, -(2 ** 32), 2 ** 53, 2 ** 62))
    fc.assert(
      fc.property(ns, ns, step, (a, b, by) => {
        const instant = Instant.from(a)
        expect(instant.toBigInt()).toBe(a)
        expect([instant.isBefore(Instant.from(b)), instant.equals(Instant.from(b))]).toEqual([a < b, a === b])
        const difference = instant.since(Instant.from(b))
        if (a - b <= 2n ** 53n && b - a <= 2n ** 53n) expect(difference).toBe(Number(a - b))
        else expect(Math.sign(difference)).toBe(a < b ? -1 : 1)
        const sum = a + BigInt(by)
        instant.add(by)
        expect(instant.toBigInt()).toBe(sum > LAST ? LAST : sum)
        expect(instant.lo).toBe(instant.lo >>> 0)
        expect(instant.toNumber()).toBe(sum >= LAST ? Infinity : Number(sum))
      }),
      { numRuns: 1000 },
    )
  })

  test('a fraction is rounded up, and the last instant is for ever', () => {
    expect(Instant.from(2.25).toNumber()).toBe(3)
    expect(Instant.from(-0.5).toNumber()).toBe(0)
    expect(Instant.from(Infinity).isNever).toBe(true)
    expect(Instant.from(2n ** 70n).isNever).toBe(true)
    expect(Instant.from(2 ** 64).isNever).toBe(true)
    expect(Instant.from(5).clear().toNumber()).toBe(Infinity)
    expect(Instant.from(2n ** 40n + 7n).save()).toEqual({ lo: 7, hi: 256 })
  })
})
