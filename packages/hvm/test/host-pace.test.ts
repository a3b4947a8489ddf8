import { describe, expect, test } from 'vitest'
import { HostPace, LOOK } from '../src/scheduling/host-pace.ts'
import { TURN } from '../src/scheduling/turn-runner.ts'

const MS = 1e6

const SLEEPER = { sleep: () => Promise.resolve(), wake: () => undefined }

/** A pace that has looked at the clock at 0. */
function paceOf(vcpus: number): HostPace {
  const pace = new HostPace({ length: vcpus }, SLEEPER)
  pace.look(0)
  return pace
}

describe("the length of a vCPU's turn on the host's clock", () => {
  test('is a quarter where the last one took longer than 8 ms, and not below 256 instructions', () => {
    const pace = paceOf(1)
    const seen: number[] = []
    for (let i = 1; i <= 6; i++) {
      pace.look(i * 8.001 * MS)
      seen.push(pace.turn)
    }
    expect(seen).toEqual([2500, 625, 256, 256, 256, 256])
    expect(TURN).toBe(10_000)
  })

  test.each([
    { vcpus: 1, longest: 4 * TURN },
    { vcpus: 2, longest: TURN },
  ])('is doubled where the last one took less than 2 ms: up to $longest for $vcpus', ({ vcpus, longest }) => {
    const pace = paceOf(vcpus)
    pace.look(9 * MS)
    expect(pace.turn).toBe(TURN / 4)
    const seen: number[] = []
    for (let i = 1; i <= 5; i++) {
      pace.look(9 * MS + i * 1.999 * MS)
      seen.push(pace.turn)
    }
    expect(seen).toEqual([2, 4, 8, 16, 32].map((n) => Math.min(longest, (n * TURN) / 4)))
  })

  /** What a turn becomes by several looks, of which each is so many nanoseconds after the last one. */
  function turns(pace: HostPace, took: number, looks: number, usedUp = true): number[] {
    const seen: number[] = []
    let now = 0
    for (let i = 0; i < looks; i++) {
      pace.usedUp = usedUp
      pace.look((now += took))
      seen.push(pace.turn / TURN)
    }
    pace.look(now)
    pace.slept = true
    pace.look(0)
    return seen
  }

  test('grows to 320,000 instructions as long as a turn that is used up takes less than 50 µs', () => {
    const pace = paceOf(1)
    expect(turns(pace, 49_999, 6)).toEqual([2, 4, 8, 16, 32, 32])
    expect(turns(pace, 50_000, 2)).toEqual([32, 32])
    expect(turns(pace, 200_000, 2)).toEqual([32, 32])
    expect(turns(pace, 200_001, 4)).toEqual([16, 8, 4, 4])
  })

  test.each([
    { what: 'of guests that halt or wait', vcpus: 1, usedUp: false, longest: 4 },
    { what: 'of vCPUs that share the thread', vcpus: 2, usedUp: true, longest: 1 },
  ])('does not grow so far $what', ({ vcpus, usedUp, longest }) => {
    expect(turns(paceOf(vcpus), 1000, 6, usedUp).at(-1)).toBe(longest)
  })

  test.each([2, 8])('stays where the last one took %d ms', (ms) => {
    const pace = paceOf(1)
    pace.look(ms * MS)
    expect(pace.turn).toBe(TURN)
  })

  test('does not depend on time that the machine has slept', () => {
    const pace = paceOf(1)
    pace.slept = true
    pace.look(100 * MS)
    expect(pace.turn).toBe(TURN)
  })
})

test('the event loop has its turn 4 ms after it had the last one', () => {
  const pace = paceOf(1)
  expect([3.9, 4, 4.1].map((ms) => pace.look(ms * MS))).toEqual([false, true, true])
  pace.slept = true
  expect([pace.look(10 * MS), pace.look(13.9 * MS), pace.look(14 * MS)]).toEqual([false, false, true])
})

test("the host's clock is looked at after so many instructions, and after sleep", () => {
  const pace = new HostPace([1], SLEEPER)
  expect(pace.lookDue).toBe(true)
  pace.look(0)
  expect(pace.lookDue).toBe(false)
  pace.unseen += LOOK - 1
  expect(pace.lookDue).toBe(false)
  pace.unseen++
  expect(pace.lookDue).toBe(true)
  pace.look(1)
  expect(pace.lookDue).toBe(false)
})

describe('a guest that spins', () => {
  /** Looks at a clock, which stands still; returns how often the turn was to end within so many executions of PAUSE. */
  function ends(pace: HostPace, now: number, executions: number): number {
    let count = 0
    for (let i = 0; i < executions; i++) if (pace.noteSpin({ now: () => now })) count++
    return count
  }

  test('lets the event loop have its turn after 0.1 ms, and looks at the clock every 16 times', () => {
    const pace = paceOf(1)
    pace.slept = true
    pace.look(MS)
    expect(ends(pace, 1.0999 * MS, 160)).toBe(0)
    expect(pace.spins).toBe(false)
    expect(ends(pace, 1.1 * MS, 15)).toBe(0)
    expect(ends(pace, 1.1 * MS, 1)).toBe(1)
    expect(pace.spins).toBe(true)
  })

  test('goes on once the event loop has had it', () => {
    const pace = paceOf(1)
    expect(ends(pace, MS, 16)).toBe(1)
    pace.slept = true
    pace.look(2 * MS)
    expect(pace.spins).toBe(false)
    expect(ends(pace, 2.09 * MS, 16)).toBe(0)
    expect(ends(pace, 2.1 * MS, 16)).toBe(1)
  })
})
