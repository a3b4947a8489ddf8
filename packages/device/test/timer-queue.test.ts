import { describe, expect, test } from 'vitest'
import * as fc from 'fast-check'
import { TimerQueue } from '../src/host/index.ts'

const make = () => {
  const clock = { time: 0, now: () => clock.time }
  return { clock, queue: new TimerQueue(clock) }
}

describe('timers of a machine', () => {
  test('fire in order of deadline, then of arming, and once', () => {
    const { clock, queue } = make()
    const fired: string[] = []
    const timer = (name: string, at: number) => queue.create((d) => fired.push(`${name}@${d}`)).arm(at)
    timer('late', 30)
    timer('first', 10)
    timer('second', 10)
    expect(queue.nextDeadlineNs).toBe(10)
    expect(queue.expire()).toBe(0)
    clock.time = 29
    expect(queue.expire()).toBe(2)
    expect(fired).toEqual(['first@10', 'second@10'])
    expect(queue.nextDeadlineNs).toBe(30)
    clock.time = 100
    expect(queue.expire()).toBe(1)
    expect(queue.nextDeadlineNs).toBe(Infinity)
  })

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
    const { clock, queue } = make()
    clock.time = 2 ** 62
    let periods = 0
    // The resolution of the time is 512 ns here.
    const shortest = queue.create((at) => {
      periods++
      shortest.arm(at + 1)
    })
    const other = queue.create(() => fired.push('other'))
    const fired: string[] = []
    shortest.arm(clock.time - 1024)
    other.arm(clock.time)
    expect(queue.expire()).toBe(65)
    expect([periods, fired.length]).toEqual([64, 1])
    // It is still due, and goes on with the next look.
    expect([shortest.deadlineNs, queue.nextDeadlineNs]).toEqual([clock.time - 1024, clock.time - 1024])
    queue.expire()
    expect(periods).toBe(128)
    shortest.cancel()
    expect([shortest.deadlineNs, queue.nextDeadlineNs, queue.expire()]).toEqual([Infinity, Infinity, 0])
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
    expect(() => timer.arm(deadline as number)).toThrow(
      expect.objectContaining({
        name: 'DeviceError',
        code: 'ERR_INVALID',
        message: expect.stringContaining('expected'),
      }),
    )
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

  test('agrees with a sorted list', () => {
    fc.assert(
      fc.property(fc.array(fc.tuple(fc.nat(15), fc.option(fc.nat(100)), fc.nat(5)), { maxLength: 100 }), (steps) => {
        const { clock, queue } = make()
        const model = new Map<number, { at: number; order: number }>()
        let expected: number[] = []
        let fired: number[] = []
        const timers = Array.from({ length: 16 }, (_, i) => queue.create(() => fired.push(i)))
        let order = 0
        for (const [which, at, pass] of steps) {
          if (at === null) {
            timers[which]!.cancel()
            model.delete(which)
          } else {
            timers[which]!.arm(clock.time + at)
            model.set(which, { at: clock.time + at, order: order++ })
          }
          expect(queue.nextDeadlineNs).toBe(Math.min(Infinity, ...[...model.values()].map((m) => m.at)))
          clock.time += pass
          expected = [...model]
            .filter(([, m]) => m.at <= clock.time)
            .toSorted(([, a], [, b]) => a.at - b.at || a.order - b.order)
            .map(([i]) => i)
          for (const i of expected) model.delete(i)
          fired = []
          queue.expire()
          expect(fired).toEqual(expected)
        }
      }),
    )
  })
})
