import { describe, expect, test } from 'vitest'
import { DeterministicClock, RealClock } from '../src/index.ts'

describe('virtual time', () => {
  test('real time counts from power-on, whatever the guest does', () => {
    let host = 5000
    const clock = new RealClock(() => host)
    expect(clock.now()).toBe(0)
    host += 1234
    clock.advance()
    clock.skipTo()
    expect(clock.now()).toBe(1234)
    expect(clock.deterministic).toBe(false)
  })

  test('deterministic time passes with instructions, and skips ahead but never back', () => {
    const clock = new DeterministicClock(2)
    clock.advance(100)
    expect(clock.now()).toBe(200)
    clock.skipTo(150)
    expect(clock.now()).toBe(200)
    clock.skipTo(1e9)
    clock.advance(1)
    expect(clock.now()).toBe(1e9 + 2)
    expect(clock.deterministic).toBe(true)
  })

  test.each([0, 2 ** 50 - 1, 2 ** 53, 2 ** 62, 2 ** 63])('deterministic time moves on exactly from %i ns', (late) => {
    const clock = new DeterministicClock()
    const read = (): bigint => {
      const into = { lo: 0, hi: 0 }
      clock.read(into)
      return (BigInt(into.hi) << 32n) | BigInt(into.lo)
    }
    clock.skipTo(late)
    let expected = BigInt(late)
    expect(read()).toBe(expected)
    for (const step of [1, 1, 1, 7, 100_000, 1, 3, 2 ** 40 + 1, 1]) {
      clock.advance(step)
      expected += BigInt(step)
      expect(read()).toBe(expected)
      expect(clock.now()).toBe(Number(expected))
    }
    // What is rounded to a time before is no skip.
    clock.skipTo(clock.now())
    expect(read()).toBe(expected)
  })
})
