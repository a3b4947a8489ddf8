/** A guest that goes on later than it was saved. */
import * as fc from 'fast-check'
import { afterEach, beforeEach, expect, test, vi } from 'vitest'
import { catchUp, savedInstant } from '../src/snapshot/catch-up.ts'

let hostMs = 0
beforeEach(() => void vi.spyOn(Date, 'now').mockImplementation(() => hostMs))
afterEach(() => vi.restoreAllMocks())

/** A guest that was saved so many seconds ago, and what it sees: its vCPU waits, and its next timer is a second away. */
function guest(seconds: number, changes: object = {}) {
  hostMs = 1e12
  const devices = { mc146818: { wallSeconds: hostMs / 1e3 - seconds } }
  const { state, from } = savedInstant({
    domain: { clock: { time: { lo: 0, hi: 0 } }, devices: { local: { devices } } },
  })
  const pauses: number[] = []
  let [now, nextNs] = [0, 0]
  let look = (): void => undefined
  const one = {
    ...{ pauses, dormant: true, instructions: 1000, dueNs: 1e9, isAtRest: true, through: 0, ...changes },
    /** Of the host's clock. */
    behind: () => seconds + hostMs / 1e3 - 1e9 - now / 1e9,
    shown: state.domain.devices.local.devices.mc146818.wallSeconds as number | null,
    stall: (ms: number) => (hostMs += ms),
    run(ms: number): void {
      for (let left = ms * 1e6; left > 0; left -= nextNs) {
        now += nextNs
        hostMs += nextNs / 1e6
        look()
      }
    },
  }
  const domain = {
    vcpus: [one, { dormant: true }],
    get instructions() {
      return one.instructions
    },
    devices: { isAtRest: () => one.isAtRest },
    clock: {
      now: () => now,
      hold: (ns: number) => {
        now -= ns
        pauses.push(Math.round(-ns / 1e9))
      },
    },
    timers: {
      get nextDeadlineNs() {
        return now + one.dueNs
      },
      create: (callback: () => void) => {
        look = callback
        return { armAfter: (ns: number) => void (nextNs = ns), cancel: () => undefined }
      },
    },
  }
  catchUp(domain as never, seconds === 0 ? undefined : from, () => void one.through++)
  return one
}

const sum = (pauses: readonly number[]): number => pauses.reduce((all, each) => all + each, 0)

test('a guest at rest has all of the time at once, in pauses that its clocks can count', () => {
  const one = guest(86_400)
  expect(one.pauses).toEqual([300])
  one.run(40)
  expect([sum(one.pauses), Math.max(...one.pauses), one.through]).toEqual([86_400, 300, 0])
  one.run(200)
  // The real-time clock does not count it again.
  expect([one.through, one.shown]).toEqual([1, null])
})

test('what is a year ago is left to the real-time clock', () => {
  const one = guest(3e7)
  one.run(2000)
  expect(sum(one.pauses)).toBe(7 * 86_400)
  expect(1e9 - one.shown!).toBe(3e7 - 7 * 86_400)
})

test.each([
  ['with a tick', { dueNs: 4e6 }],
  ['with a request under way', { isAtRest: false }],
])('a guest %s has pauses of 9 seconds, and does what was due in between', (_what, changes) => {
  const one = guest(40, changes)
  one.run(3000)
  expect(one.pauses).toEqual([9, 9, 9, 9, 4])
})

test('a guest that works has pauses between its work, and one that has stopped for good, too', () => {
  const one = guest(27, { dormant: false, dueNs: 4e6 })
  one.run(1000)
  expect(one.pauses).toEqual([])
  one.instructions += 11e6
  one.run(300)
  expect(one.pauses).toEqual([9])
  one.run(1000)
  expect(one.pauses).toEqual([9])
  one.run(1500)
  expect(one.pauses).toEqual([9, 9, 9])
})

test('input waits for a guest that learns of a new identifier alone, and no longer than 5 seconds', () => {
  const one = guest(0)
  one.run(100)
  expect(one.through).toBe(0)
  one.run(100)
  expect(one.through).toBe(1)
  const busy = guest(0, { dormant: false })
  for (let i = 0; i < 45; i++) {
    busy.instructions++
    busy.run(100)
  }
  expect(busy.through).toBe(0)
  busy.instructions++
  busy.run(1000)
  expect(busy.through).toBe(1)
  busy.instructions += 20e6
  busy.run(3000)
  expect([busy.through, busy.pauses]).toEqual([1, []])
})

test('a guest has the time when its input comes, whatever it does, and however late its host is', () => {
  const steps = fc.array(
    fc.record({
      dormant: fc.boolean(),
      dueNs: fc.constantFrom(1e6, 4e6, 1e8, 1e10),
      isAtRest: fc.boolean(),
      executes: fc.constantFrom(0, 1e3, 2e7),
      stallMs: fc.constantFrom(0, 0, 700),
      ms: fc.integer({ min: 1, max: 60 }),
    }),
    { maxLength: 40 },
  )
  const holds = ([seconds, all]: readonly [number, readonly { readonly ms: number }[]]): void => {
    const one = guest(seconds)
    for (const { ms, ...step } of all) {
      const before = one.pauses.length
      Object.assign(one, step)
      one.instructions += (step as { executes: number }).executes
      one.run(ms)
      const isQuiet = one.dormant && one.isAtRest && one.dueNs > 15e6
      if (!isQuiet) expect(Math.max(0, ...one.pauses.slice(before))).toBeLessThanOrEqual(9)
      if (one.through === 0) one.stall((step as { stallMs: number }).stallMs)
    }
    Object.assign(one, { dormant: true, isAtRest: true, dueNs: 1e9 })
    one.run(300)
    expect(one.through).toBe(1)
    expect(Math.abs(one.behind())).toBeLessThan(0.06)
  }
  fc.assert(fc.property(fc.tuple(fc.double({ min: 0.1, max: 5000, noNaN: true }), steps), holds), { numRuns: 60 })
})
