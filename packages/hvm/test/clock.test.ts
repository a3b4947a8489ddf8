import { Instant } from '@retrap/device'
import { describe, expect, test } from 'vitest'
import { DeterministicClock, RealClock, type DeterministicClockState } from '../src/index.ts'

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
    expect(clock.realTime).toBe(true)
  })

  test("real time in which the machine stood still is not the guest's", () => {
    let host = 5000
    const clock = new RealClock(() => host)
    host += 3000
    clock.hold(2900)
    expect(clock.now()).toBe(100)
    host += 50
    expect(clock.now()).toBe(150)
  })

  test.each([
    { given: 'a slow turn', executing: true, took: 0.9e9, passed: 0.9e9 },
    { given: 'a stall of the host', executing: true, took: 25e9, passed: 8e6 },
    { given: 'a sleep of the host', executing: true, took: 7200e9, passed: 7200e9 },
    { given: 'a machine that waits', executing: false, took: 25e9, passed: 25e9 },
  ])('of the time since it was told, $passed ns pass in $given', ({ executing, took, passed }) => {
    let host = 5000
    const clock = new RealClock(() => host)
    clock.executing = executing
    host += took
    expect(clock.now()).toBe(passed)
  })

  test('a guest that has been told the time in a stall is told no earlier one', () => {
    let host = 0
    const clock = new RealClock(() => host)
    clock.executing = true
    const told = [0.9e9, 1.8e9, 20e9, 20.1e9, 22e9].map((now) => ((host = now), clock.now()))
    expect(told).toEqual([0.9e9, 1.8e9, 1.808e9, 1.908e9, 1.916e9])
    // Time that is taken out, or added, on purpose is no stall.
    clock.hold(-9e9)
    expect(clock.now()).toBe(10.916e9)
  })

  test('a clock that follows another one has its time', () => {
    let host = 5000
    const clock = new RealClock(() => host)
    host += 300
    const other = new RealClock(() => host)
    other.follow(clock)
    host += 50
    expect([clock.now(), other.now()]).toEqual([350, 350])
    other.hold(20)
    expect([clock.now(), other.now()]).toEqual([350, 330])
  })

  test('deterministic time passes with instructions, and skips ahead but never back', () => {
    const clock = new DeterministicClock(2)
    clock.advance(100)
    expect(clock.now()).toBe(200)
    clock.skipTo(Instant.from(150))
    expect(clock.now()).toBe(200)
    clock.skipTo(Instant.from(1e9))
    clock.advance(1)
    expect(clock.now()).toBe(1e9 + 2)
    expect(clock.deterministic).toBe(true)
  })

  const STARTS = [0n, 2n ** 50n - 1n, 2n ** 53n - 1n, 2n ** 53n + 1n, 2n ** 62n + 1n, 2n ** 63n, 2n ** 64n - 2n ** 42n]

  const read = (clock: DeterministicClock): bigint => {
    const into = new Instant()
    clock.read(into)
    return into.toBigInt()
  }

  test.each(STARTS)('deterministic time moves on exactly from %d ns', (late) => {
    const clock = new DeterministicClock()
    clock.skipTo(Instant.from(late))
    let expected = late
    expect(read(clock)).toBe(expected)
    for (const step of [1, 1, 1, 7, 100_000, 1, 3, 2 ** 40 + 1, 1]) {
      clock.advance(step)
      expected += BigInt(step)
      expect(read(clock)).toBe(expected)
      expect(clock.now()).toBe(Number(expected))
      clock.skipTo(Instant.from(expected - 1n))
      expect(read(clock)).toBe(expected)
    }
    clock.skipTo(Instant.from(expected + 1n))
    expect(read(clock)).toBe(expected + 1n)
  })

  test.each([0.1, 0.37, 1 / 3, 2.5])(
    'parts of a nanosecond add up the same at any time: %d ns an instruction',
    (ns) => {
      const steps = Array.from({ length: 2000 }, (_, i) => 1 + (i % 97))
      const ends = STARTS.map((start) => {
        const clock = new DeterministicClock(ns, Instant.from(start))
        for (const step of steps) clock.advance(step)
        return read(clock) - start
      })
      expect(new Set(ends).size).toBe(1)
      const total = steps.reduce((sum, step) => sum + step, 0) * ns
      expect(Math.abs(Number(ends[0]) - total)).toBeLessThanOrEqual(1)
    },
  )

  test.each(STARTS)(
    'a clock that was saved at %d ns goes on elsewhere with the same time, parts of a nanosecond too',
    (late) => {
      const clock = new DeterministicClock(0.37, Instant.from(late))
      clock.advance(10)
      const state: DeterministicClockState = JSON.parse(JSON.stringify(clock.save()))
      const other = new DeterministicClock(0.37)
      other.advance(1)
      other.restore(state)
      expect(other.save()).toEqual(state)
      expect(state.fraction).toBeCloseTo(0.7)
      for (const step of [1, 1, 1, 1, 7, 100_001]) {
        clock.advance(step)
        other.advance(step)
        expect(read(other)).toBe(read(clock))
      }
    },
  )

  test.each([
    ['none', undefined],
    ['another version', { version: 2 }],
    ['another duration of an instruction', { nsPerInstruction: 2 }],
    ['no time', { time: undefined }],
    ['a word that is not one', { time: { lo: -1, hi: 0 } }],
    ['a word of a fraction', { time: { lo: 0, hi: 0.5 } }],
    ['a whole nanosecond as a part', { fraction: 1 }],
    ['a part that is no number', { fraction: NaN }],
  ])('a clock refuses a state with %s, and stays as it is', (_what, change) => {
    const clock = new DeterministicClock()
    clock.advance(5)
    const state = change && { ...new DeterministicClock().save(), ...change }
    expect(() => clock.restore(state as DeterministicClockState)).toThrow(
      expect.objectContaining({ name: 'HvmError', code: 'ERR_STATE' }),
    )
    expect(clock.now()).toBe(5)
  })

  test('time ends after 584 years', () => {
    const clock = new DeterministicClock(1, Instant.from(2n ** 64n - 3n))
    for (const expected of [2n ** 64n - 2n, 2n ** 64n - 1n, 2n ** 64n - 1n]) {
      clock.advance(1)
      expect(read(clock)).toBe(expected)
    }
  })
})
