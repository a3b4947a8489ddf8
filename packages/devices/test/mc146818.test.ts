import fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import { civilFromSeconds, secondsFromCivil, type CivilTime } from '../src/rtc-time.ts'
import { Mc146818 } from '../src/mc146818.ts'
import { FakeMachine } from './support/fake-machine.ts'

const SECOND = 1_000_000_000
const MIB = 1 << 20
/** 2024-02-29T23:59:58Z, a Thursday. */
const LEAP_EVE = Date.UTC(2024, 1, 29, 23, 59, 58) / 1000

function clock(options: Partial<ConstructorParameters<typeof Mc146818>[0]> = {}): {
  rtc: Mc146818
  machine: FakeMachine
  get: (i: number) => number
  set: (i: number, v: number) => void
} {
  const rtc = new Mc146818({ epochSeconds: LEAP_EVE, lowRamBytes: 512 * MIB, highRamBytes: 0, cpus: 1, ...options })
  const machine = new FakeMachine(rtc)
  return {
    rtc,
    machine,
    get: (index) => (machine.out(0x70, index), machine.in(0x71)),
    set: (index, value) => {
      machine.out(0x70, index)
      machine.out(0x71, value)
    },
  }
}

const time = (get: (i: number) => number): string =>
  [0x32, 9, 8, 7, 6, 4, 2, 0].map((i) => get(i).toString(16).padStart(2, '0')).join(' ')

test('a period that ends while register C is read has an edge of its own', () => {
  const { machine, get, set } = clock()
  const line = machine.line(8)
  set(11, 0x42)
  machine.time = SECOND
  machine.timers.expire()
  expect([line.level, line.edges]).toEqual([true, 1])
  // A host that takes two periods of 1024 Hz from one look at its clock to the next.
  machine.nsPerLook = 2e6
  expect(get(12) & 0xc0).toBe(0xc0)
  expect([line.level, line.edges]).toEqual([true, 2])
})

describe('calendar', () => {
  test('agrees with the host for any second of 8000 years', () => {
    const into: CivilTime = { year: 0, month: 0, day: 0, hour: 0, minute: 0, second: 0, weekday: 0 }
    fc.assert(
      fc.property(fc.integer({ min: Date.UTC(0, 0, 1) / 1000, max: Date.UTC(8000, 0, 1) / 1000 }), (seconds) => {
        civilFromSeconds(seconds, into)
        const host = new Date(seconds * 1000)
        expect({ ...into }).toEqual({
          year: host.getUTCFullYear(),
          month: host.getUTCMonth() + 1,
          day: host.getUTCDate(),
          hour: host.getUTCHours(),
          minute: host.getUTCMinutes(),
          second: host.getUTCSeconds(),
          weekday: host.getUTCDay(),
        })
        expect(secondsFromCivil(into)).toBe(seconds)
      }),
      // The last day of 400 years, and the days around it.
      {
        examples: ['2000-02-28', '2000-02-29', '2000-03-01', '2100-02-28', '2100-03-01'].map((day) => [
          Date.parse(day) / 1000,
        ]),
      },
    )
  })
})

describe('time registers (century, year, month, day, weekday, hour, minute, second)', () => {
  test.each([
    { b: 0x02, after: 0, shows: '20 24 02 29 05 23 59 58' },
    { b: 0x02, after: 2, shows: '20 24 03 01 06 00 00 00' },
    { b: 0x06, after: 0, shows: '14 18 02 1d 05 17 3b 3a' },
  ])('register B $b, $after seconds on: $shows', ({ b, after, shows }) => {
    const { machine, get, set } = clock()
    // The data mode is chosen while the clock is stopped, as software has to.
    set(11, 0x82 | b)
    if (b === 0x06)
      for (const [i, v] of [
        [0x32, 20],
        [9, 24],
        [8, 2],
        [7, 29],
        [6, 5],
        [4, 23],
        [2, 59],
        [0, 58],
      ] as const)
        set(i, v)
    set(11, b)
    machine.advance(after * SECOND)
    expect(time(get)).toBe(shows)
  })

  test('a move of the clock is no alarm, leaves its second alone, and spares a clock that the guest has stopped', () => {
    const { rtc, machine, get, set } = clock()
    set(11, 0x12)
    machine.advance(0.4 * SECOND)
    rtc.timeOffset(3600.9)
    expect(time(get)).toBe('20 24 03 01 06 00 59 58')
    machine.advance(0.6 * SECOND)
    expect([time(get), get(12) & 0x30]).toEqual(['20 24 03 01 06 00 59 59', 0x10])
    rtc.timeOffset(-3600.9)
    expect(time(get)).toBe('20 24 02 29 05 23 59 59')
    set(11, 0x82)
    rtc.timeOffset(60)
    expect(time(get)).toBe('20 24 02 29 05 23 59 59')
  })

  test.each([
    { hour: 0, shows: 0x12 },
    { hour: 1, shows: 0x01 },
    { hour: 11, shows: 0x11 },
    { hour: 12, shows: 0x92 },
    { hour: 13, shows: 0x81 },
    { hour: 23, shows: 0x91 },
  ])('hour $hour in 12-hour mode', ({ hour, shows }) => {
    const { machine, get, set } = clock({ epochSeconds: Date.UTC(2000, 0, 1, hour - 1, 59, 59) / 1000 })
    set(11, 0x80)
    const before = (hour + 23) % 24
    set(4, (Math.floor((before % 12 || 12) / 10) << 4) | ((before % 12 || 12) % 10) | (before >= 12 ? 0x80 : 0))
    set(11, 0x00)
    machine.advance(SECOND)
    expect(get(4)).toBe(shows)
  })

  test.each([0, 2, 4, 6, 7, 8, 9, 0x32])('register %i shows the time when it is the first that is read', (index) => {
    const shown = clock()
    shown.machine.advance(2 * SECOND)
    time(shown.get)
    const { machine, get } = clock()
    machine.advance(2 * SECOND)
    expect(get(index)).toBe(shown.get(index))
  })

  test('time set under SET starts from there, and the weekday is the guest’s own', () => {
    const { machine, get, set } = clock()
    set(11, 0x82)
    for (const [i, v] of [
      [0x32, 0x19],
      [9, 0x99],
      [8, 0x12],
      [7, 0x31],
      [6, 2],
      [4, 0x23],
      [2, 0x59],
      [0, 0x59],
    ] as const)
      set(i, v)
    machine.advance(10 * SECOND)
    expect(time(get)).toBe('19 99 12 31 02 23 59 59')
    set(11, 0x02)
    machine.advance(SECOND)
    expect(time(get)).toBe('20 00 01 01 03 00 00 00')
  })

  test('a register that is written while the clock runs does not move the end of the second', () => {
    const { machine, get, set } = clock()
    machine.advance(0.7 * SECOND)
    set(2, 0x30)
    expect([get(2), get(0)]).toEqual([0x30, 0x58])
    machine.advance(0.29 * SECOND)
    expect(get(0)).toBe(0x58)
    machine.advance(0.02 * SECOND)
    expect(get(0)).toBe(0x59)
  })

  test('UIP is up for the last 2228 µs of each second, and never under SET', () => {
    const { machine, get, set } = clock()
    expect(get(10)).toBe(0x26)
    machine.advance(SECOND - 2_228_001)
    expect(get(10)).toBe(0x26)
    machine.advance(1)
    expect(get(10)).toBe(0xa6)
    machine.advance(2_228_000)
    expect(get(10)).toBe(0x26)
    set(11, 0x82)
    machine.advance(SECOND - 1)
    expect(get(10)).toBe(0x26)
  })

  test('the first second after a divider reset is half a second long', () => {
    const { machine, get, set } = clock()
    set(10, 0x76)
    machine.advance(5 * SECOND)
    expect(get(0)).toBe(0x58)
    set(10, 0x26)
    machine.advance(SECOND / 2 - 1)
    expect(get(0)).toBe(0x58)
    machine.advance(1)
    expect(get(0)).toBe(0x59)
  })
})

describe('interrupts', () => {
  test.each([
    { rate: 1, perSecond: 256 },
    { rate: 2, perSecond: 128 },
    { rate: 3, perSecond: 8192 },
    { rate: 6, perSecond: 1024 },
    { rate: 15, perSecond: 2 },
  ])('rate $rate is $perSecond Hz', ({ rate, perSecond }) => {
    const { machine, get, set } = clock()
    set(10, 0x20 | rate)
    set(11, 0x42)
    let count = 0
    for (;;) {
      const next = machine.timers.nextDeadlineNs
      if (next > SECOND) break
      machine.advance(next - machine.time)
      expect(machine.line(8).level).toBe(true)
      expect(get(12)).toBe(machine.time % SECOND === 0 ? 0xd0 : 0xc0)
      expect(machine.line(8).level).toBe(false)
      count++
    }
    expect(count).toBe(perSecond)
  })

  test('update-ended comes with each second', () => {
    const { machine, get, set } = clock()
    set(11, 0x12)
    machine.advance(SECOND - 1)
    expect(machine.line(8).level).toBe(false)
    machine.advance(1)
    expect(machine.line(8).level).toBe(true)
    expect(get(12) & 0xb0).toBe(0x90)
    expect(get(12)).toBe(0)
  })

  test('flags are set without their enables, and show no interrupt', () => {
    const { machine, get } = clock()
    machine.advance(SECOND)
    expect(get(12)).toBe(0x50)
  })

  test.each([
    { alarm: [0x00, 0x00, 0x00], after: 2, says: 'at midnight' },
    { alarm: [0x59, 0x59, 0x23], after: 1, says: 'in the next second' },
    { alarm: [0x58, 0x59, 0x23], after: 86_400, says: 'a day later for the second that has begun' },
    { alarm: [0xff, 0xff, 0xff], after: 1, says: 'every second' },
    { alarm: [0x05, 0xff, 0xc0], after: 7, says: 'at second 5 of any minute' },
    { alarm: [0xff, 0x30, 0xff], after: 1802, says: 'when minute 30 comes' },
  ])('an alarm for $alarm (s, m, h) comes $says', ({ alarm, after }) => {
    const { machine, get, set } = clock()
    set(1, alarm[0] as number)
    set(3, alarm[1] as number)
    set(5, alarm[2] as number)
    set(11, 0x22)
    machine.advance(after * SECOND - 1)
    expect(machine.line(8).level).toBe(false)
    machine.advance(1)
    expect(machine.line(8).level).toBe(true)
    expect(get(12) & 0xa0).toBe(0xa0)
  })

  test('the reset of a machine that sleeps leaves the alarm on, and says to firmware what it was', () => {
    let asleep = true
    const { rtc, get, set } = clock({ isAsleep: () => asleep })
    set(11, 0x72)
    rtc.reset()
    expect([get(11), get(15)]).toEqual([0x22, 0xfe])
    set(15, 0)
    asleep = false
    rtc.reset()
    expect([get(11), get(15)]).toEqual([0x02, 0])
  })

  test('an alarm for a time that there is not never comes', () => {
    const { machine, set } = clock()
    set(1, 0x75)
    set(11, 0x22)
    expect(machine.timers.nextDeadlineNs).toBe(Infinity)
  })

  test('while suppressed nothing reaches IRQ 8', () => {
    const { rtc, machine, set } = clock()
    rtc.suppressInterrupt(true)
    set(11, 0x12)
    machine.advance(2 * SECOND)
    expect(machine.line(8).edges).toBe(0)
    rtc.suppressInterrupt(false)
    expect(machine.line(8).level).toBe(true)
  })
})

describe('CMOS', () => {
  test.each([
    {
      low: 512 * MIB,
      high: 0,
      cpus: 4,
      at: [0x15, 0x16, 0x17, 0x18, 0x30, 0x31, 0x34, 0x35, 0x5b, 0x5c, 0x5d, 0x5f],
      reads: [0x80, 2, 0xff, 0xff, 0xff, 0xff, 0x00, 0x1f, 0, 0, 0, 3],
    },
    {
      low: 3072 * MIB,
      high: 512 * MIB,
      cpus: 1,
      at: [0x34, 0x35, 0x5b, 0x5c, 0x5d],
      reads: [0x00, 0xbf, 0x00, 0x20, 0],
    },
    { low: 4 * MIB, high: 0, cpus: 1, at: [0x17, 0x18, 0x34, 0x35], reads: [0x00, 0x0c, 0, 0] },
  ])('$low bytes below the hole and $high above 4 GiB', ({ low, high, cpus, at, reads }) => {
    const { get } = clock({ lowRamBytes: low, highRamBytes: high, cpus })
    expect(at.map(get)).toEqual(reads)
  })

  test('firmware is told of floppy drives', () => {
    const { get } = clock({ floppies: [4, 5] })
    expect([get(0x10), get(0x14)]).toEqual([0x45, 0x43])
    expect([clock({ floppies: [4] }).get(0x10), clock({ floppies: [4] }).get(0x14)]).toEqual([0x40, 0x03])
    expect([clock({}).get(0x10), clock({}).get(0x14)]).toEqual([0, 0x02])
  })

  test('the checksum covers 0x10–0x2D', () => {
    const { get } = clock()
    let sum = 0
    for (let i = 0x10; i <= 0x2d; i++) sum += get(i)
    expect((get(0x2e) << 8) | get(0x2f)).toBe(sum)
  })

  test('RAM bytes keep what is written; registers C and D do not', () => {
    const { get, set } = clock()
    set(0x40, 0xa5)
    set(13, 0x00)
    set(12, 0xff)
    expect([get(0x40), get(13), get(12)]).toEqual([0xa5, 0x80, 0])
  })

  test('port 0x70 masks NMI and reads as ones', () => {
    const { rtc, machine } = clock()
    machine.out(0x70, 0x8f)
    expect([rtc.nmiMasked, machine.in(0x70)]).toEqual([true, 0xff])
    machine.out(0x70, 0x0f)
    expect(rtc.nmiMasked).toBe(false)
  })

  test('a reset keeps time and RAM and turns interrupts off', () => {
    const { rtc, machine, get, set } = clock()
    set(0x0f, 0x05)
    set(11, 0x72)
    machine.advance(3 * SECOND)
    rtc.reset()
    expect(machine.line(8).level).toBe(false)
    expect([get(11), get(0x0f), get(0)]).toEqual([0x02, 0x05, 0x01])
  })

  test.each([
    ['shows the time that has passed on the wall', 3600, 0x72, '20 24 03 01 06 00 59 58'],
    ['shows the time to which the wall was set back', -86_400, 0x72, '20 24 02 28 04 23 59 58'],
    ['stands, if it stood', 3600, 0x80, '20 24 02 29 05 23 59 58'],
  ])('a restored clock %s', (_what, passed, registerB, shown) => {
    let wall = 1_000_000.25
    const options = { wallClock: () => wall }
    const first = clock(options)
    first.set(11, registerB | 2)
    const state: unknown = JSON.parse(JSON.stringify(first.rtc.save()))
    wall += passed
    const other = clock(options)
    other.rtc.restore(state)
    if ((registerB & 0x80) !== 0) expect(other.get(12)).toBe(first.get(12))
    expect(time(other.get)).toBe(shown)
    // Restored once more, at the same time of the host, it shows the same.
    other.rtc.restore(JSON.parse(JSON.stringify(other.rtc.save())))
    expect(time(other.get)).toBe(shown)
    // Seconds are noticed.
    if ((registerB & 0x80) === 0) {
      other.get(12)
      other.machine.advance(SECOND)
      expect(other.get(12) & 0x10).toBe(0x10)
    }
    // Without a wall clock it goes on from where it was.
    const without = clock()
    without.rtc.restore(state)
    expect(time(without.get)).toBe('20 24 02 29 05 23 59 58')
  })

  describe('an absence that is hidden until the machine sleeps', () => {
    const AWAY = 7200.4
    /** A clock that was restored late: the host's showed so many seconds more than `LEAP_EVE` when it was powered on. */
    function late(fraction = 0.25, options: { wallClock?: () => number } = {}) {
      const host = { wall: fraction, asleep: false }
      const all = { wallClock: () => host.wall, isAsleep: () => host.asleep, ...options }
      const state: unknown = JSON.parse(JSON.stringify(clock(all).rtc.save()))
      host.wall += AWAY
      const restored = clock(all)
      restored.rtc.restore(state)
      const advance = (seconds: number): void => {
        host.wall += seconds
        restored.machine.advance(seconds * SECOND)
      }
      const sleep = (): void => {
        host.asleep = true
        restored.rtc.reset()
      }
      return { ...restored, all, host, advance, sleep }
    }
    const BEFORE = '20 24 02 29 05 23 59 58'
    const AFTER = '20 24 03 01 06 01 59 58'

    test('passes while it sleeps, to within half a second of the host', () => {
      for (const fraction of [0, 0.1, 0.49, 0.5, 0.51, 0.99]) {
        const { rtc, get, advance, sleep, host } = late(fraction)
        expect(time(get)).toBe(AFTER)
        rtc.hideAbsence()
        expect(time(get)).toBe(BEFORE)
        rtc.hideAbsence()
        advance(1.7)
        expect(time(get)).toBe(BEFORE.replace('58', '59'))
        sleep()
        for (let i = 0; i < 40; i++) {
          advance(0.1)
          const [minutes = 0, seconds = 0] = [2, 0].map((register) => Number(get(register).toString(16)))
          // Both in seconds of the hour.
          const error = ((minutes * 60 + seconds - ((LEAP_EVE + host.wall) % 3600) + 5400) % 3600) - 1800
          expect(Math.abs(error), `${fraction}`).toBeLessThanOrEqual(0.5 + 1e-6)
        }
      }
    })

    test('was none, but the machine stood still: the host’s time shows after the sleep', () => {
      const host = { wall: 0.25, asleep: false }
      const { rtc, get } = clock({ wallClock: () => host.wall, isAsleep: () => host.asleep })
      host.wall += 2.4
      expect(time(get)).toBe(BEFORE)
      rtc.hideAbsence()
      expect(time(get)).toBe(BEFORE)
      host.asleep = true
      rtc.reset()
      // The host has 0.65 s after midnight: half a second wrong at most.
      expect(time(get)).toBe('20 24 03 01 06 00 00 01')
    })

    test('is hidden for a minute at most', () => {
      const { rtc, get, advance } = late()
      rtc.hideAbsence()
      advance(59)
      expect(time(get).slice(0, 14)).toBe('20 24 03 01 06')
      expect(get(4)).toBe(0)
      advance(3)
      expect(get(4)).toBe(2)
    })

    test('is none where the guest has set the clock, where it stands, and without a wall clock', () => {
      const set = late()
      set.set(0, 0x30)
      set.rtc.hideAbsence()
      expect(time(set.get)).toBe(AFTER.replace(/58$/, '30'))
      const standing = late()
      standing.set(11, 0x82)
      standing.rtc.hideAbsence()
      expect(time(standing.get)).toBe(AFTER)
      const without = clock()
      without.rtc.restore(JSON.parse(JSON.stringify(without.rtc.save())))
      without.rtc.hideAbsence()
      expect(time(without.get)).toBe(BEFORE)
    })

    test('stays so where the machine is saved meanwhile, and adds up', () => {
      const { rtc, all, host } = late()
      rtc.hideAbsence()
      const state: unknown = JSON.parse(JSON.stringify(rtc.save()))
      host.wall += 3600
      const other = clock(all)
      other.rtc.restore(state)
      expect(time(other.get)).toBe(BEFORE)
      host.asleep = true
      other.rtc.reset()
      expect(time(other.get)).toMatch(/^20 24 03 01 06 02 59 5[89]$/)
    })
  })

  test('an alarm that was due in between is noticed when the clock is restored', () => {
    let wall = 0
    const options = { wallClock: () => wall }
    const first = clock(options)
    first.set(5, 0)
    first.set(3, 0x10)
    first.set(1, 0)
    first.set(11, 0x22)
    const state = first.rtc.save()
    wall = 3600
    const other = clock(options)
    other.rtc.restore(state)
    expect(other.get(12) & 0x20).toBe(0x20)
  })

  test('a saved clock goes on in another machine', () => {
    const { rtc, machine, set } = clock()
    set(11, 0x72)
    machine.advance(123_456_789)
    const other = clock({ epochSeconds: 0 })
    other.machine.time = machine.time
    other.rtc.restore(JSON.parse(JSON.stringify(rtc.save())))
    machine.advance(10 * SECOND)
    other.machine.advance(10 * SECOND)
    expect(other.rtc.save()).toEqual(rtc.save())
  })

  test.each([
    { options: { epochSeconds: Number.NaN }, message: /epochSeconds NaN/ },
    { options: { cpus: 0 }, message: /0 cpus: expected at least 1/ },
  ])('options $options are refused', ({ options, message }) => {
    expect(() => clock(options)).toThrow(message)
  })
})

describe('the alarm of the RTC', () => {
  test('is told of where its interrupt is on, on the day of the month that register D names', () => {
    let alarms = 0
    const { machine, get, set } = clock({ onAlarm: () => alarms++ })
    // 06:00:00 on the 15th: the time is a second past.
    for (const [register, value] of [
      [1, 0],
      [3, 0],
      [5, 6],
      [13, 0x15],
      [11, 0x22],
    ] as const)
      set(register, value)
    expect(get(13)).toBe(0x95)
    const march15 = (Date.UTC(2024, 2, 15, 6) / 1000 - LEAP_EVE) * SECOND
    machine.advance(march15 - SECOND)
    expect([alarms, get(12) & 0x20]).toEqual([0, 0])
    machine.advance(SECOND)
    expect([alarms, get(12) & 0x20]).toEqual([1, 0x20])
    // Without its interrupt it is a flag alone; without a day, every day has it.
    set(11, 2)
    set(13, 0)
    machine.advance(86_400 * SECOND)
    expect([alarms, get(12) & 0x20]).toEqual([1, 0x20])
  })

  test('on the 30th skips February, and never comes on the 32nd', () => {
    let alarms = 0
    const { machine, set } = clock({ onAlarm: () => alarms++ })
    for (const [register, value] of [
      [1, 0],
      [3, 0],
      [5, 0],
      [13, 0x30],
      [11, 0x22],
    ] as const)
      set(register, value)
    machine.advance((Date.UTC(2024, 2, 30) / 1000 - LEAP_EVE - 1) * SECOND)
    expect(alarms).toBe(0)
    machine.advance(SECOND)
    expect(alarms).toBe(1)
    set(13, 0x32)
    machine.advance(100 * 86_400 * SECOND)
    expect(alarms).toBe(1)
  })
})
