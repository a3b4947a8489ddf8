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
})
