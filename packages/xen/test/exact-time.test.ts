/** Xen's clocks and timers at times that a number of nanoseconds does not hold. */
import { Instant } from '@retrap/device'
import { DeterministicClock } from '@retrap/hvm'
import { describe, expect, test } from 'vitest'
import { ARGUMENTS, XenTestGuest } from './support/xen-guest.ts'

const SET_TIMER_OP = 15
const VCPU_OP = 24
const SCHED_OP = 29
const HVM_OP = 34
const VCPUOP = { setPeriodic: 6, setSingleShot: 8, registerTime: 13 }
const FUTURE = 1
const ETIME = -62

const STARTS = [2n ** 53n - 1n, 2n ** 53n - 1_000_000_000n, 2n ** 53n + 1n, 2n ** 62n - 1n, 2n ** 62n + 2n ** 61n + 1n]

describe.each(STARTS)('at %d ns', (start) => {
  const make = (): XenTestGuest =>
    new XenTestGuest('64', { domain: { clock: new DeterministicClock(1, Instant.from(start)) } })
  const now = ({ domain }: XenTestGuest): bigint => {
    const into = new Instant()
    domain.clock.read(into)
    return into.toBigInt()
  }
  const due = ({ domain }: XenTestGuest): bigint => {
    const into = new Instant()
    return domain.timers.readNextDeadline(into) ? into.toBigInt() : -1n
  }

  test('set_timer_op is exact, and one in the past is due at once', async () => {
    const guest = make()
    for (const ns of [1n, 7n, 1_000_000_007n]) {
      const at = now(guest) + ns + 100n
      expect(await guest.call(SET_TIMER_OP, at)).toBe(0)
      expect(due(guest)).toBe(at)
      guest.domain.clock.skipTo(Instant.from(at - 1n))
      expect(guest.domain.timers.expire()).toBe(0)
      guest.domain.clock.skipTo(Instant.from(at))
      expect(guest.domain.timers.expire()).toBe(1)
    }
    expect(await guest.call(SET_TIMER_OP, start)).toBe(0)
    expect(due(guest)).toBeLessThanOrEqual(now(guest))
  })

  test('a single shot is exact; one in the past is told from one to come', async () => {
    const guest = make()
    const set = (at: bigint, flags: number): Promise<number> => {
      guest.write64(ARGUMENTS, at)
      guest.write32(ARGUMENTS + 8, flags)
      return guest.call(VCPU_OP, VCPUOP.setSingleShot, 0, ARGUMENTS)
    }
    expect(await set(start - 1n, FUTURE)).toBe(ETIME)
    const at = now(guest) + 12_345_677n
    expect(await set(at, FUTURE)).toBe(0)
    expect(due(guest)).toBe(at)
  })

  test.each([1_000_003n, 2n ** 53n + 1n, 2n ** 60n + 3n])('no tick of a period of %d ns is lost', async (period) => {
    const guest = make()
    guest.write64(ARGUMENTS, period)
    expect(await guest.call(VCPU_OP, VCPUOP.setPeriodic, 0, ARGUMENTS)).toBe(0)
    const first = due(guest)
    expect(first - period).toBeGreaterThanOrEqual(start)
    expect(first - period).toBeLessThanOrEqual(now(guest))
    for (let k = 0n; first + k * period < 2n ** 64n - 1n && k < 100n; k++) {
      expect(due(guest)).toBe(first + k * period)
      guest.domain.clock.skipTo(Instant.from(first + k * period))
      expect(guest.domain.timers.expire()).toBe(1)
    }
  })

  test('poll ends when its time has come', async () => {
    const guest = make()
    const at = start + 5_000_000_001n
    guest.write64(ARGUMENTS, ARGUMENTS + 0x100, 0, at)
    expect(await guest.call(SCHED_OP, 3, ARGUMENTS)).toBe(0)
    expect(now(guest)).toBeGreaterThanOrEqual(at)
    expect(now(guest)).toBeLessThan(at + 1000n)
  })

  test('get_time and the clock page show the time exactly', async () => {
    const guest = make()
    expect(await guest.call(HVM_OP, 10, ARGUMENTS)).toBe(0)
    const time = guest.read64(ARGUMENTS)
    expect(time).toBeGreaterThanOrEqual(start)
    expect(time).toBeLessThanOrEqual(now(guest))
    const area = 0x5_0a00
    guest.write64(ARGUMENTS, area)
    expect(await guest.call(VCPU_OP, VCPUOP.registerTime, 0, ARGUMENTS)).toBe(0)
    // The time-stamp counter is the time.
    expect(guest.read64(area + 8)).toBe(guest.read64(area + 16))
    expect(guest.read64(area + 16)).toBeGreaterThanOrEqual(time)
    expect(guest.read64(area + 16)).toBeLessThanOrEqual(now(guest))
  })
})
