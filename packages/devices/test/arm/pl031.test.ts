import { describe, expect, test } from 'vitest'
import { Pl031, type Pl031Options } from '../../src/arm/index.ts'
import { FakeMachine } from '../support/fake-machine.ts'

const BASE = 0x0901_0000
const DR = BASE
const MR = BASE + 0x04
const LR = BASE + 0x08
const CR = BASE + 0x0c
const IMSC = BASE + 0x10
const RIS = BASE + 0x14
const MIS = BASE + 0x18
const ICR = BASE + 0x1c
const SECOND = 1e9
/** Whole nanoseconds of so many seconds are exact in a number. */
const STEP = 5_000_000
const EPOCH = Date.UTC(2026, 10, 22) / 1000

const board = (
  epochSeconds = EPOCH,
  more: Pick<Pl031Options, 'wallClock'> = {},
): { clock: Pl031; machine: FakeMachine } => {
  const clock = new Pl031({ base: BASE, irq: 34, epochSeconds, ...more })
  return { clock, machine: new FakeMachine(clock) }
}

describe('counter (DDI 0224, "RTCDR", "RTCLR")', () => {
  test('it shows the time at power-on, and runs', () => {
    const { machine } = board(EPOCH + 0.75)
    expect([machine.load(DR), machine.load(CR)]).toEqual([EPOCH, 1])
    machine.advance(0.25 * SECOND - 1)
    expect(machine.load(DR)).toBe(EPOCH)
    machine.advance(1)
    expect(machine.load(DR)).toBe(EPOCH + 1)
  })

  test('a guest sets it', () => {
    const { machine } = board()
    machine.advance(5 * SECOND)
    machine.store(LR, 1000)
    machine.advance(7 * SECOND)
    expect([machine.load(DR), machine.load(LR)]).toEqual([1007, 1000])
  })

  test('it wraps, and is exact after a century', () => {
    const { machine } = board(2 ** 32 - 1)
    machine.advance(SECOND)
    expect(machine.load(DR)).toBe(0)
    const years = 100 * 365 * 86400
    for (let left = years; left > 0; left -= 1e6) machine.leap(Math.min(left, 1e6) * SECOND)
    expect(machine.load(DR)).toBe(years)
    machine.advance(SECOND - 1)
    expect(machine.load(DR)).toBe(years)
  })

  test('the machine’s wall clock is moved', () => {
    const { clock, machine } = board()
    machine.store(MR, EPOCH + 3600)
    clock.timeOffset(3600)
    expect([machine.load(DR), machine.load(RIS)]).toEqual([EPOCH + 3600, 1])
    clock.timeOffset(-7200)
    expect(machine.load(DR)).toBe(EPOCH - 3600)
  })
})

describe('alarm (DDI 0224, "RTCMR", "RTCIMSC")', () => {
  test('it comes when the counter is at the match register', () => {
    const { machine } = board(EPOCH + 0.5)
    machine.store(MR, EPOCH + 2)
    machine.store(IMSC, 1)
    machine.advance(1.5 * SECOND - 1)
    expect(machine.line(34).level).toBe(false)
    machine.advance(1)
    expect([machine.line(34).level, machine.load(RIS), machine.load(MIS)]).toEqual([true, 1, 1])
    machine.store(ICR, 0)
    expect(machine.line(34).level).toBe(true)
    machine.store(ICR, 1)
    machine.advance(10 * SECOND)
    expect([machine.line(34).level, machine.load(RIS)]).toEqual([false, 0])
  })

  test('masked it waits', () => {
    const { machine } = board()
    machine.store(MR, EPOCH + 1)
    machine.advance(SECOND)
    expect([machine.line(34).level, machine.load(RIS), machine.load(MIS)]).toEqual([false, 1, 0])
    machine.store(IMSC, 1)
    expect(machine.line(34).level).toBe(true)
  })

  test.each([
    { given: 'the match register', first: [MR, EPOCH] },
    { given: 'the counter', first: [MR, 77], second: [LR, 77] },
  ])('$given set to the other raises it at once', ({ first, second }) => {
    const { machine } = board()
    machine.store(first[0]!, first[1]!)
    if (second !== undefined) machine.store(second[0]!, second[1]!)
    expect(machine.load(RIS)).toBe(1)
  })

  test('one that is just a step of the clock ahead comes at its second', () => {
    const { machine } = board()
    machine.store(MR, EPOCH + 2 ** 20)
    machine.advance(2 ** 20 * SECOND - 1)
    expect(machine.load(RIS)).toBe(0)
    machine.advance(1)
    expect(machine.load(RIS)).toBe(1)
  })

  test('one that is years ahead comes at its second, also to a host that was away', () => {
    const { machine } = board()
    const ahead = 40_000_001
    machine.store(MR, EPOCH + ahead)
    for (let passed = 0; passed < ahead - 1; passed += STEP) machine.advance(STEP * SECOND)
    machine.advance(SECOND - 1)
    expect(machine.load(RIS)).toBe(0)
    machine.advance(1)
    expect(machine.load(RIS)).toBe(1)
    machine.store(ICR, 1)
    machine.store(MR, EPOCH + ahead + 10)
    machine.leap(60 * SECOND)
    expect(machine.load(RIS)).toBe(1)
  })
})

test('a saved state goes on in another, after a reset the counter runs on to the alarm', () => {
  const { clock, machine } = board()
  machine.advance(1.5 * SECOND)
  machine.store(LR, 500)
  machine.store(MR, 503)
  machine.store(IMSC, 1)
  const other = board(0)
  other.machine.time = machine.time
  other.clock.restore(JSON.parse(JSON.stringify(clock.save())))
  for (const each of [machine, other.machine]) {
    each.advance(2.5 * SECOND - 1)
    expect(each.line(34).level).toBe(false)
    each.advance(1)
    expect([each.line(34).level, each.load(DR), each.load(LR), each.load(MR)]).toEqual([true, 503, 500, 503])
  }
  expect(JSON.stringify(other.clock.save())).toBe(JSON.stringify(clock.save()))
  clock.reset()
  const seen = (): unknown => [machine.line(34).level, ...[DR, MR, IMSC, RIS].map((register) => machine.load(register))]
  expect(seen()).toEqual([false, 503, 503, 0, 0])
  machine.store(MR, 505)
  clock.reset()
  machine.advance(2 * SECOND)
  expect(seen()).toEqual([false, 505, 505, 0, 1])
})

test.each([
  ['shows the time that has passed on the wall', 3600.75, 4102, true],
  ['shows the time to which the wall was set back', -100, 401, false],
])('a restored clock %s', (_what, passed, shown, isDue) => {
  let wall = 1_000_000.25
  const wallClock = (): number => wall
  const first = board(500, { wallClock })
  first.machine.store(MR, 2000)
  first.machine.advance(1.5 * SECOND)
  const state: unknown = JSON.parse(JSON.stringify(first.clock.save()))
  wall += passed
  const other = board(0, { wallClock })
  other.machine.time = first.machine.time
  other.clock.restore(state)
  expect([other.machine.load(DR), other.machine.load(RIS)]).toEqual([shown, isDue ? 1 : 0])
  // Restored once more, at the same time of the host, it shows the same.
  other.clock.restore(JSON.parse(JSON.stringify(other.clock.save())))
  expect(other.machine.load(DR)).toBe(shown)
  // Without a wall clock it goes on from where it was.
  const without = board(0)
  without.machine.time = first.machine.time
  without.clock.restore(state)
  expect(without.machine.load(DR)).toBe(501)
})

test('a time that is none is refused', () => {
  expect(() => new Pl031({ base: BASE, irq: 34, epochSeconds: NaN })).toThrow('pl031: epochSeconds NaN: expected')
})
