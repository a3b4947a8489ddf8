import { describe, expect, test } from 'vitest'
import * as fc from 'fast-check'
import { TimerQueue } from '../src/host/index.ts'
import { Instant, type Word64 } from '../src/index.ts'

const make = (start: number | bigint = 0) => {
  const clock = {
    exact: Instant.from(start),
    set time(ns: number | bigint) {
      clock.exact.set(Instant.from(ns))
    },
    now: () => clock.exact.toNumber(),
    read: (into: Word64) => {
      into.lo = clock.exact.lo
      into.hi = clock.exact.hi
    },
  }
  return { clock, queue: new TimerQueue(clock) }
}

const bigint = ({ lo, hi }: Readonly<Word64>): bigint => (BigInt(hi) << 32n) | BigInt(lo)
const NEVER = 2n ** 64n - 1n

describe('timers of a machine', () => {
  test('a periodic timer catches up with the time that has passed', () => {
    const { clock, queue } = make()
    const fired: number[] = []
    const timer = queue.create((d) => {
      fired.push(d)
      timer.arm(d + 10)
    })
    timer.arm(10)
    clock.time = 45
    queue.expire()
    expect(fired).toEqual([10, 20, 30, 40])
    expect(timer.deadlineNs).toBe(50)
  })

  test('a look ends however short a period is, and the others fire', () => {
    const { clock, queue } = make(2n ** 62n)
    let periods = 0
    const shortest = queue.create((_, at) => {
      periods++
      shortest.armAfter(1, at)
    })
    const other = queue.create(() => fired.push('other'))
    const fired: string[] = []
    shortest.armAfter(-1024, clock.exact)
    other.armAfter(-1000)
    expect(queue.expire()).toBe(65)
    expect([periods, fired.length]).toEqual([64, 1])
    // It is still due, and goes on with the next look.
    const next = new Instant()
    expect([shortest.readDeadline(next), next.toBigInt()]).toEqual([true, 2n ** 62n - 1024n + 64n])
    expect([queue.readNextDeadline(next), next.toBigInt()]).toEqual([true, 2n ** 62n - 1024n + 64n])
    queue.expire()
    expect(periods).toBe(128)
    shortest.cancel()
    expect([shortest.deadlineNs, queue.nextDeadlineNs, queue.expire()]).toEqual([Infinity, Infinity, 0])
    expect([shortest.readDeadline(next), next.isNever, queue.readNextDeadline(next)]).toEqual([false, true, false])
  })

  test('no deadline is reached beyond the last instant', () => {
    const { clock, queue } = make(2n ** 64n - 10n)
    let fired = 0
    const timer = queue.create(() => fired++)
    for (const delay of [9, 10, 2 ** 53, 2 ** 64, Infinity]) {
      timer.armAfter(delay)
      expect([timer.deadlineNs, queue.nextDeadlineNs]).toEqual([Infinity, Infinity])
    }
    timer.arm(2 ** 64)
    expect(timer.deadlineNs).toBe(Infinity)
    timer.armAfter(8)
    clock.time = NEVER
    expect([queue.expire(), fired]).toEqual([1, 1])
  })

  test('a deadline is never early: a fraction of a nanosecond counts as a whole one', () => {
    const { clock, queue } = make()
    const timer = queue.create(() => {})
    timer.arm(10.25)
    expect(timer.deadlineNs).toBe(11)
    timer.armAfter(0.5, Instant.from(2n ** 60n))
    const deadline = new Instant()
    timer.readDeadline(deadline)
    expect(deadline.toBigInt()).toBe(2n ** 60n + 1n)
    timer.arm(-Infinity)
    expect([timer.deadlineNs, queue.expire()]).toEqual([0, 1])
    timer.armAfter(-5, clock.exact)
    expect([timer.deadlineNs, queue.expire()]).toEqual([0, 1])
  })

  test('one that has had its share of a look can be armed and cancelled by another', () => {
    for (const deadline of [5, 1000, Infinity]) {
      const { clock, queue } = make()
      clock.time = 10
      let fired = 0
      const busy = queue.create((at) => {
        fired++
        busy.arm(at)
      })
      const other = queue.create(() => busy.arm(deadline))
      busy.arm(1)
      other.arm(2)
      queue.expire()
      expect(fired).toBe(64)
      expect([busy.deadlineNs, queue.nextDeadlineNs]).toEqual([deadline, deadline])
    }
  })

  test.each([NaN, undefined, '5', null])('arming for %s is refused, and the others go on', (deadline) => {
    const { clock, queue } = make()
    let fired = 0
    queue.create(() => fired++).arm(10)
    const timer = queue.create(() => {})
    timer.arm(20)
    const refused = expect.objectContaining({
      name: 'DeviceError',
      code: 'ERR_INVALID',
      message: expect.stringContaining('expected'),
    })
    expect(() => timer.arm(deadline as number)).toThrow(refused)
    expect(() => timer.armAfter(deadline as number)).toThrow(refused)
    expect(() => timer.armAfter(1, { lo: deadline as number, hi: 0 })).toThrow(refused)
    expect(() => timer.armAfter(1, { lo: 0, hi: deadline as number })).toThrow(refused)
    expect(timer.deadlineNs).toBe(20)
    clock.time = 10
    queue.expire()
    expect(fired).toBe(1)
  })

  test('arming for ever is cancelling', () => {
    const { queue } = make()
    const timer = queue.create(() => {})
    timer.arm(5)
    timer.arm(Infinity)
    expect(queue.nextDeadlineNs).toBe(Infinity)
    timer.cancel()
  })

  test('tells when the earliest deadline moves forward', () => {
    const { queue } = make()
    let told = 0
    queue.onEarlier = () => told++
    const a = queue.create(() => {})
    a.arm(50)
    queue.create(() => {}).arm(60)
    queue.create(() => {}).arm(40)
    expect(told).toBe(2)
  })

  test('agrees with a sorted list of bigints, at any time', () => {
    const start = fc.oneof(
      fc.constantFrom(0n, 2n ** 32n - 50n, 2n ** 53n - 50n, 2n ** 53n + 1n, 2n ** 62n - 50n, 2n ** 64n - 300n),
      fc.bigInt(0n, NEVER),
    )
    const delay = fc.oneof(fc.nat(100), fc.maxSafeNat())
    const step = fc.record({
      which: fc.nat(15),
      at: fc.option(delay),
      // A deadline is set from now, or from the instant that the timer's last callback was given.
      periodic: fc.boolean(),
      pass: fc.oneof(fc.nat(5), fc.nat(5), fc.bigInt(0n, 2n ** 60n).map(Number)),
    })
    fc.assert(
      fc.property(start, fc.array(step, { maxLength: 100, size: 'max' }), (first, steps) => {
        const { clock, queue } = make(first)
        const model = new Map<number, { at: bigint; order: number }>()
        const last = Array.from({ length: 16 }, () => new Instant())
        let fired: (number | bigint)[] = []
        const timers = Array.from({ length: 16 }, (_, i) =>
          queue.create((ns, deadline) => {
            expect(ns).toBe(Number(bigint(deadline)))
            fired.push(i, bigint(deadline))
            last[i]!.set(deadline)
          }),
        )
        let order = 0
        let now = clock.exact.toBigInt()
        const next = new Instant()
        for (const { which, at, periodic, pass } of steps) {
          if (at === null) {
            timers[which]!.cancel()
            model.delete(which)
          } else {
            const from = periodic ? last[which]! : undefined
            timers[which]!.armAfter(at, from)
            const deadline = (from?.toBigInt() ?? now) + BigInt(at)
            if (deadline < NEVER) model.set(which, { at: deadline, order: order++ })
            else model.delete(which)
          }
          const earliest = [...model.values()].reduce((least, m) => (m.at < least ? m.at : least), NEVER)
          expect(queue.nextDeadlineNs).toBe(earliest === NEVER ? Infinity : Number(earliest))
          expect([queue.readNextDeadline(next), next.toBigInt()]).toEqual([earliest !== NEVER, earliest])
          now += BigInt(pass)
          if (now > NEVER) now = NEVER
          clock.time = now
          const expected = [...model]
            .filter(([, m]) => m.at <= now)
            .toSorted(([, a], [, b]) => (a.at === b.at ? a.order - b.order : a.at < b.at ? -1 : 1))
          for (const [i] of expected) model.delete(i)
          fired = []
          queue.expire()
          expect(fired).toEqual(expected.flatMap(([i, m]) => [i, m.at]))
        }
      }),
    )
  })
})
