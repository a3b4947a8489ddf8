/** Generic timers of two vCPUs (Arm ARM DDI 0487, D12 "The Generic Timer in AArch64 state"). */
import * as fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import * as gic from '../../src/gic/index.ts'
import { GenericTimers, type GenericTimersOptions } from '../../src/gic/index.ts'
import { Counter } from '../../src/time.ts'
import { TimerQueue } from '../timer-queue.ts'
import { Instant } from '@retrap/device'

/** Timers with a clock that the test moves, and a list of what they have done. */
function makeTimers(options: Partial<GenericTimersOptions> = {}) {
  const queue = new TimerQueue()
  const log: string[] = []
  const timers = new GenericTimers({
    cpus: 2,
    clock: queue,
    line: (cpu, intid, level) => log.push(`${queue.now()}: ${intid} of vCPU ${cpu} ${level ? 'up' : 'down'}`),
    event: (cpu) => log.push(`${queue.now()}: event of vCPU ${cpu}`),
    ...options,
  })
  const read = (encoding: number, cpu = 0): bigint => {
    const into = { lo: 0, hi: 0 }
    expect(timers.readSystemRegister(cpu, encoding, into)).toBe(true)
    return (BigInt(into.hi) << 32n) | BigInt(into.lo)
  }
  const write = (encoding: number, value: bigint, cpu = 0): void => {
    const bits = BigInt.asUintN(64, value)
    expect(timers.writeSystemRegister(cpu, encoding, Number(bits & 0xffff_ffffn), Number(bits >> 32n))).toBe(true)
  }
  const drain = (): string[] => log.splice(0)
  return { timers, queue, read, write, drain }
}

describe('a timer', () => {
  test.each([
    ['virtual', gic.CNTV_CTL_EL0, gic.CNTV_CVAL_EL0, gic.CNTV_TVAL_EL0, 27],
    ['physical', gic.CNTP_CTL_EL0, gic.CNTP_CVAL_EL0, gic.CNTP_TVAL_EL0, 30],
  ])(
    '%s: interrupts from the tick on that it waits for, until it waits for a later one',
    (_name, ctl, cval, tval, intid) => {
      const { queue, read, write, drain } = makeTimers()
      queue.time = 1000
      write(cval, 100n, 1)
      write(ctl, 1n, 1)
      expect([read(ctl, 1), read(tval, 1)]).toEqual([1n, 38n])
      queue.advance(599)
      expect([read(ctl, 1), drain()]).toEqual([1n, []])
      queue.advance(1)
      expect([read(ctl, 1), drain()]).toEqual([5n, [`1600: ${intid} of vCPU 1 up`]])
      queue.advance(32)
      expect(read(tval, 1)).toBe(0xffff_fffen)
      write(tval, 10n, 1)
      expect([read(cval, 1), read(ctl, 1), drain()]).toEqual([112n, 1n, [`1632: ${intid} of vCPU 1 down`]])
    },
  )

  test('is met but silent while it is masked, and neither while it is off', () => {
    const { read, write, drain, queue } = makeTimers()
    write(gic.CNTV_CTL_EL0, 3n)
    expect([read(gic.CNTV_CTL_EL0), drain(), queue.next]).toEqual([7n, [], Infinity])
    write(gic.CNTV_CTL_EL0, 1n)
    expect(drain()).toEqual(['0: 27 of vCPU 0 up'])
    write(gic.CNTV_CTL_EL0, 2n)
    expect([read(gic.CNTV_CTL_EL0), drain()]).toEqual([2n, ['0: 27 of vCPU 0 down']])
  })

  test('that waits for a tick of the past interrupts at once', () => {
    const { queue, write, drain } = makeTimers()
    queue.time = 1e6
    write(gic.CNTP_CTL_EL0, 1n)
    drain()
    write(gic.CNTP_TVAL_EL0, 1n)
    expect(drain()).toEqual(['1000000: 30 of vCPU 0 down'])
    write(gic.CNTP_TVAL_EL0, -1n)
    expect(drain()).toEqual(['1000000: 30 of vCPU 0 up'])
  })

  test.each([
    ['virtual', gic.CNTV_CTL_EL0, gic.CNTV_CVAL_EL0, 27],
    ['physical', gic.CNTP_CTL_EL0, gic.CNTP_CVAL_EL0, 30],
  ])(
    '%s: a read that shows a met condition finds the interrupt driven, however late the machine is',
    (_n, ctl, cval, intid) => {
      const { queue, read, write, drain } = makeTimers()
      write(cval, 10n)
      write(ctl, 1n)
      queue.time = 159
      expect([read(ctl), drain()]).toEqual([1n, []])
      queue.time = 160
      expect([read(ctl), drain()]).toEqual([5n, [`160: ${intid} of vCPU 0 up`]])
      queue.advance(0)
      expect([read(ctl), drain(), queue.next]).toEqual([5n, [], Infinity])
      write(ctl, 3n)
      expect([read(ctl), drain()]).toEqual([7n, [`160: ${intid} of vCPU 0 down`]])
    },
  )

  test('that is late has the right count, and interrupts once', () => {
    const { queue, read, write, drain } = makeTimers()
    write(gic.CNTV_CVAL_EL0, 10n)
    write(gic.CNTV_CTL_EL0, 1n)
    queue.oversleep(16_000)
    expect([read(gic.CNTV_TVAL_EL0), drain()]).toEqual([BigInt.asUintN(32, 10n - 1000n), ['16000: 27 of vCPU 0 up']])
  })
})

test('the virtual count is the physical one less the offset, modulo 2^64', () => {
  const { timers, queue, read, write, drain } = makeTimers()
  queue.time = 1600
  expect([read(gic.CNTPCT_EL0), read(gic.CNTVCT_EL0), read(gic.CNTFRQ_EL0)]).toEqual([100n, 100n, 62_500_000n])
  timers.setVirtualOffset(0, 40, 0)
  expect([read(gic.CNTPCT_EL0), read(gic.CNTVCT_EL0)]).toEqual([100n, 60n])
  timers.setVirtualOffset(0, 200, 0)
  expect(read(gic.CNTVCT_EL0)).toBe(2n ** 64n - 100n)
  // What it waits for comes after the count has wrapped.
  write(gic.CNTV_CTL_EL0, 1n)
  write(gic.CNTV_CVAL_EL0, 2n ** 64n - 50n)
  drain()
  queue.advance(799)
  expect(drain()).toEqual([])
  queue.advance(1)
  expect(drain()).toEqual(['2400: 27 of vCPU 0 up'])
  timers.setVirtualOffset(0, 0, 0)
  expect(drain()).toEqual(['2400: 27 of vCPU 0 down'])
})

test('an interrupt ends when the virtual count wraps', () => {
  const { timers, queue, write, drain } = makeTimers()
  timers.setVirtualOffset(0, 2, 0)
  write(gic.CNTV_CVAL_EL0, 2n ** 64n - 2n)
  write(gic.CNTV_CTL_EL0, 1n)
  expect(drain()).toEqual(['0: 27 of vCPU 0 up'])
  queue.advance(100)
  expect(drain()).toEqual(['32: 27 of vCPU 0 down'])
})

test('whatever a guest writes, there is one deadline for each vCPU at most, and it is right', () => {
  const any = fc.oneof(
    fc.bigInt(0n, 2n ** 64n - 1n),
    fc.constantFrom(0n, 1n, 2n ** 63n, 2n ** 64n - 1n, 1000n, 70_000n),
  )
  const step = fc.record({
    encoding: fc.constantFrom(
      gic.CNTP_CTL_EL0,
      gic.CNTP_CVAL_EL0,
      gic.CNTP_TVAL_EL0,
      gic.CNTV_CTL_EL0,
      gic.CNTV_CVAL_EL0,
      gic.CNTV_TVAL_EL0,
      gic.CNTKCTL_EL1,
    ),
    value: any,
    ns: fc.nat(2000),
    waits: fc.boolean(),
  })
  fc.assert(
    fc.property(fc.array(step, { maxLength: 30 }), any, (steps, offset) => {
      let armed = 0
      const levels = new Map<number, boolean>()
      const queue = new TimerQueue()
      let made = 0
      const clock = {
        read: (into: { lo: number; hi: number }) => queue.read(into),
        timer: (callback: () => void) => {
          made++
          const timer = queue.timer(callback)
          return {
            armAfter: (ns: number, from: Readonly<{ lo: number; hi: number }>) => {
              armed++
              timer.armAfter(ns, from)
            },
            cancel: () => timer.cancel(),
          }
        },
      }
      const timers = new GenericTimers({ cpus: 1, clock, line: (_cpu, intid, level) => levels.set(intid, level) })
      timers.setVirtualOffset(0, Number(offset & 0xffff_ffffn), Number(offset >> 32n))
      const into = { lo: 0, hi: 0 }
      for (const { encoding, value, ns, waits } of steps) {
        timers.writeSystemRegister(0, encoding, Number(value & 0xffff_ffffn), Number(value >> 32n))
        timers.waitForEvent(0, waits)
        const before = armed
        queue.advance(ns)
        // One for each level, and one for the event.
        expect(armed - before).toBeLessThanOrEqual(3)
        for (const [ctl, intid] of [
          [gic.CNTP_CTL_EL0, 30],
          [gic.CNTV_CTL_EL0, 27],
        ] as const) {
          timers.readSystemRegister(0, ctl, into)
          expect([intid, levels.get(intid) ?? false]).toEqual([intid, (into.lo & 7) === 5])
        }
      }
      expect(made).toBe(1)
    }),
    {
      examples: [
        [
          [
            { encoding: gic.CNTV_CTL_EL0, value: 1n, ns: 0, waits: false },
            { encoding: gic.CNTV_TVAL_EL0, value: 0n, ns: 16, waits: false },
          ],
          1n,
        ],
      ],
    },
  )
})

test.each([
  ['rises', 0x4n | (3n << 4n), 128],
  ['falls', 0xcn | (3n << 4n), 256],
  ['rises, bit 15', 0x4n | (15n << 4n), 16 << 15],
])('a vCPU that waits for an event has one when the bit of the count %s', (_name, control, ns) => {
  const { timers, queue, write, drain } = makeTimers()
  write(gic.CNTKCTL_EL1, control)
  queue.advance(1_000_000_000)
  expect(drain()).toEqual([])
  // The count is a multiple of every period here.
  queue.time = 16 * 2 ** 30
  timers.waitForEvent(0, true)
  queue.advance(ns - 1)
  expect(drain()).toEqual([])
  queue.advance(1)
  expect(drain()).toEqual([`${16 * 2 ** 30 + ns}: event of vCPU 0`])
  queue.advance(1_000_000)
  expect(drain()).toEqual([])
  timers.waitForEvent(0, true)
  timers.waitForEvent(0, false)
  expect(queue.next).toBe(Infinity)
})

test('counts and compare values that only read, and registers of no timer, are not written', () => {
  const { timers } = makeTimers()
  for (const encoding of [gic.CNTFRQ_EL0, gic.CNTPCT_EL0, gic.CNTVCT_EL0, 0]) {
    expect(timers.writeSystemRegister(0, encoding, 1, 1)).toBe(false)
  }
  expect(timers.readSystemRegister(0, 0, { lo: 0, hi: 0 })).toBe(false)
})

test('a restored state interrupts as the saved one', () => {
  const first = makeTimers()
  first.queue.time = 160
  first.timers.setVirtualOffset(1, 7, 0)
  first.write(gic.CNTV_CVAL_EL0, 100n, 1)
  first.write(gic.CNTV_CTL_EL0, 1n, 1)
  first.write(gic.CNTP_CTL_EL0, 1n)
  const second = makeTimers()
  second.queue.time = 160
  second.timers.restore(JSON.parse(JSON.stringify(first.timers.save())))
  expect(second.timers.save()).toEqual(first.timers.save())
  expect(second.drain()).toContain('160: 30 of vCPU 0 up')
  second.queue.advance(16 * 97)
  expect(second.drain()).toEqual(['1712: 27 of vCPU 1 up'])
  second.timers.reset()
  expect(second.drain()).toEqual(['1712: 30 of vCPU 0 down', '1712: 27 of vCPU 1 down'])
})

test('what was due and not looked at yet when it was saved comes at the next look', () => {
  const first = makeTimers()
  first.write(gic.CNTV_CVAL_EL0, 10n)
  first.write(gic.CNTV_CTL_EL0, 1n)
  first.write(gic.CNTKCTL_EL1, 1n << 2n, 1)
  first.timers.waitForEvent(1, true)
  first.queue.time = 1600
  const second = makeTimers()
  second.queue.time = 1600
  second.timers.restore(first.timers.save())
  expect(second.drain().filter((line) => line.endsWith('up'))).toEqual([])
  second.queue.advance(0)
  expect(second.drain().toSorted()).toEqual(['1600: 27 of vCPU 0 up', '1600: event of vCPU 1'])
})

test('a counter of any frequency is exact over the whole range of the clock', () => {
  const time = fc.oneof(fc.bigInt(0n, 2n ** 64n - 1n), fc.bigInt(0n, 10n ** 12n))
  fc.assert(
    fc.property(
      fc.oneof(fc.integer({ min: 1e6, max: 1e9 }), fc.constantFrom(62_500_000, 24_000_000, 1e9)),
      time,
      (hz, ns) => {
        const counter = new Counter(hz)
        const into = { lo: 0, hi: 0 }
        counter.countAt(Instant.from(ns), into)
        const count = (BigInt(into.hi) << 32n) | BigInt(into.lo)
        expect(count).toBe((ns * BigInt(hz)) / 10n ** 9n)
        const at = new Instant(into.lo, into.hi)
        counter.timeOf(at)
        expect(at.toBigInt()).toBe((count * 10n ** 9n + BigInt(hz) - 1n) / BigInt(hz))
      },
    ),
  )
})
