import { describe, expect, test } from 'vitest'
import { AcpiPm } from '../src/acpi-pm.ts'
import { PM_TIMER_RATE } from '../src/tick-counter.ts'
import { FakeMachine } from './support/fake-machine.ts'

const STATUS = 0x600
const ENABLE = 0x602
const CONTROL = 0x604
const TIMER = 0x608
const SECOND = 1_000_000_000

const board = (options = {}): { pm: AcpiPm; machine: FakeMachine } => {
  const pm = new AcpiPm(options)
  return { pm, machine: new FakeMachine(pm) }
}

describe('power-management timer', () => {
  test.each([
    { ns: 0, ticks: 0 },
    { ns: SECOND, ticks: 3_579_545 },
    { ns: 1200 * SECOND, ticks: 4_295_454_545 % 2 ** 32 },
  ])('shows $ticks after $ns ns', ({ ns, ticks }) => {
    const { machine } = board()
    machine.advance(ns)
    expect(machine.in(TIMER, 4)).toBe(ticks)
    expect(machine.in(TIMER, 2) | (machine.in(TIMER + 2, 2) << 16)).toBe(ticks | 0)
    expect(machine.in(TIMER + 1)).toBe((ticks >>> 8) & 0xff)
  })

  test('TMR_STS is set, and interrupts, when bit 31 changes', () => {
    const { machine } = board({ smiCommand: false })
    machine.out(ENABLE, 0x0001, 2)
    const carry = PM_TIMER_RATE.nanosecondsAt(2 ** 31)
    machine.advance(carry - 1)
    expect(machine.line(9).level).toBe(false)
    machine.advance(1)
    expect([machine.line(9).level, machine.in(STATUS, 2)]).toEqual([true, 1])
    machine.out(STATUS, 1, 2)
    expect([machine.line(9).level, machine.in(STATUS, 2)]).toEqual([false, 0])
    machine.advance(carry)
    expect(machine.line(9).level).toBe(true)
  })
})

describe('fixed registers (ACPI 6.5, 4.8.3)', () => {
  test.each([
    { given: 'enable keeps its defined bits', port: ENABLE, size: 2 as const, write: 0xffff, reads: 0x0721 },
    { given: 'control keeps BM_RLD and SLP_TYP', port: CONTROL, size: 2 as const, write: 0xdffe, reads: 0x1c02 },
    {
      given: 'the enable half of the event block as a dword',
      port: STATUS,
      size: 4 as const,
      write: 0x0100_0000,
      reads: 0x0100_0000,
    },
    { given: 'reserved ports are zero', port: 0x60c, size: 4 as const, write: 0xffff_ffff, reads: 0 },
  ])('$given', ({ port, size, write, reads }) => {
    const { machine } = board()
    machine.out(port, write, size)
    expect(machine.in(port, size)).toBe(reads)
  })

  test('SCI_EN follows the SMI command port', () => {
    const { pm, machine } = board()
    expect([machine.in(CONTROL) & 1, pm.acpiMode]).toEqual([0, false])
    machine.out(0xb2, 0xf1)
    expect([machine.in(CONTROL) & 1, machine.in(0xb2), pm.acpiMode]).toEqual([1, 0xf1, true])
    machine.out(CONTROL, 0, 2)
    expect(machine.in(CONTROL) & 1).toBe(1)
    machine.out(0xb2, 0xf0)
    expect(machine.in(CONTROL) & 1).toBe(0)
  })

  test('the power button raises SCI once enabled, in ACPI mode', () => {
    const { pm, machine } = board()
    machine.out(ENABLE, 0x0100, 2)
    pm.pressPowerButton()
    expect(machine.line(9).level).toBe(false)
    machine.out(0xb2, 0xf1)
    expect(machine.line(9).level).toBe(true)
    machine.out(STATUS, 0x0100, 2)
    expect(machine.line(9).level).toBe(false)
  })
})

describe('sleep', () => {
  test.each([
    { given: 'SLP_EN with the type of S5', write: 0x2000, size: 2 as const, requests: ['power-off'] },
    { given: 'SLP_EN as the high byte', write: 0x20, size: 1 as const, requests: ['power-off'] },
    { given: 'SLP_EN with another type', write: 0x2400, size: 2 as const, requests: [] },
    { given: 'a type without SLP_EN', write: 0x0000, size: 2 as const, requests: [] },
  ])('$given asks for $requests', ({ write, size, requests }) => {
    const { machine } = board()
    machine.out(size === 1 ? CONTROL + 1 : CONTROL, write, size)
    expect(machine.requests).toEqual(requests)
  })
})

describe('S3 (ACPI 6.5, 16.1.3, "System S3 State")', () => {
  /** Has set the status bits and enabled what it is to. */
  const asleep = (enable: number): { pm: AcpiPm; machine: FakeMachine; told: string[] } => {
    const told: string[] = []
    const { pm, machine } = board({ onSleep: () => told.push('sleep'), onWake: () => told.push('wake') })
    machine.out(0xb2, 0xf1)
    machine.out(ENABLE, enable, 2)
    machine.out(CONTROL, 0x2400, 2)
    pm.reset()
    return { pm, machine, told }
  }

  test('asks the machine to sleep, and keeps through the reset what the standby supply feeds', () => {
    const { pm, machine, told } = asleep(0x0521)
    expect([told, pm.isAsleep]).toEqual([['sleep'], true])
    expect([machine.in(STATUS, 2), machine.in(ENABLE, 2), machine.in(CONTROL, 2)]).toEqual([0, 0x0500, 0x0401])
  })

  test.each([
    { given: 'the power button', enable: 0, wake: (pm: AcpiPm) => pm.pressPowerButton(), status: 0x8100 },
    { given: 'a key', enable: 0, wake: (pm: AcpiPm) => pm.wake(), status: 0x8100 },
    { given: 'an alarm with RTC_EN', enable: 0x0400, wake: (pm: AcpiPm) => pm.rtcAlarm(), status: 0x8400 },
  ])('$given wakes', ({ enable, wake, status }) => {
    const { pm, machine, told } = asleep(enable)
    wake(pm)
    expect([told, pm.isAsleep, machine.in(STATUS, 2)]).toEqual([['sleep', 'wake'], false, status])
    // The next reset is an ordinary one.
    pm.reset()
    expect([machine.in(STATUS, 2), machine.in(ENABLE, 2), machine.in(CONTROL, 2)]).toEqual([0, 0, 0])
  })

  test('an alarm without RTC_EN does not wake, nor a key a machine that is awake', () => {
    const { pm, told } = asleep(0)
    pm.rtcAlarm()
    expect([told, pm.isAsleep]).toEqual([['sleep'], true])
    const awake = board({ onSleep: () => undefined })
    awake.pm.wake()
    expect(awake.machine.in(STATUS, 2)).toBe(0)
  })

  test('what comes before the reset wakes after it', () => {
    const told: string[] = []
    const { pm, machine } = board({ onSleep: () => told.push('sleep'), onWake: () => told.push('wake') })
    machine.out(CONTROL, 0x2400, 2)
    expect(pm.pressPowerButton()).toBe(true)
    expect(told).toEqual(['sleep'])
    pm.reset()
    expect([told, machine.in(STATUS, 2)]).toEqual([['sleep', 'wake'], 0x8100])
  })

  test('is part of the state', () => {
    const { pm } = asleep(0x0400)
    const other = board({ onSleep: () => undefined })
    other.pm.restore(JSON.parse(JSON.stringify(pm.save())))
    expect(other.pm.isAsleep).toBe(true)
  })
})

describe('state', () => {
  test('goes on in another machine', () => {
    const { pm, machine } = board()
    machine.out(0xb2, 0xf1)
    machine.out(ENABLE, 0x0101, 2)
    pm.pressPowerButton()
    const other = board()
    other.machine.time = machine.time
    other.pm.restore(JSON.parse(JSON.stringify(pm.save())))
    expect(other.machine.line(9).level).toBe(true)
    expect(other.pm.save()).toEqual(pm.save())
  })

  test('reset leaves ACPI mode', () => {
    const { pm, machine } = board()
    machine.out(0xb2, 0xf1)
    machine.out(ENABLE, 0x0100, 2)
    pm.pressPowerButton()
    pm.reset()
    expect([machine.line(9).level, machine.in(CONTROL, 2), machine.in(STATUS, 4)]).toEqual([false, 0, 0])
  })

  test('a base that is not aligned is refused', () => {
    expect(() => new AcpiPm({ base: 0x604 })).toThrow(/base 0x604: expected a multiple of 16/)
  })
})

test('an alarm of the RTC is RTC_STS, and an interrupt where RTC_EN is set', () => {
  const pm = new AcpiPm({ smiCommand: false })
  const machine = new FakeMachine(pm)
  pm.rtcAlarm()
  expect([machine.in(0x600, 2), machine.line(9).level]).toEqual([0x400, false])
  machine.out(0x602, 0x400, 2)
  expect(machine.line(9).level).toBe(true)
  machine.out(0x600, 0x400, 2)
  expect([machine.in(0x600, 2), machine.line(9).level]).toEqual([0, false])
  expect(pm.pressPowerButton()).toBe(false)
  machine.out(0x602, 0x100, 2)
  expect(pm.pressPowerButton()).toBe(true)
})
