import { describe, expect, test } from 'vitest'
import { I8254 } from '../src/i8254.ts'
import { I8254Channel } from '../src/i8254-channel.ts'
import { PIT_RATE } from '../src/tick-counter.ts'
import { FakeMachine } from './support/fake-machine.ts'

// The random test compares counters with a model that is clocked tick by tick; its counts are small, and never 0.
test.each([
  { given: 'binary 0', n: 0, bcd: 0, after: 1, reads: 0x0000 },
  { given: 'binary 0 a tick later', n: 0, bcd: 0, after: 2, reads: 0xffff },
  { given: 'BCD 0', n: 0, bcd: 1, after: 2, reads: 0x9999 },
  { given: 'BCD 1000', n: 0x1000, bcd: 1, after: 2, reads: 0x0999 },
])('a counter with $given reads $reads after $after ticks', ({ n, bcd, after, reads }) => {
  const channel = new I8254Channel(true)
  channel.writeControl(0, 0x30 | bcd)
  channel.writeCount(0, n & 0xff)
  channel.writeCount(0, n >> 8)
  channel.latchCount(after)
  expect(channel.readCount(after) | (channel.readCount(after) << 8)).toBe(reads)
})

describe('the timer in a machine', () => {
  test('mode 2 with 11932 gives 100 edges on IRQ 0 in a second', () => {
    const machine = new FakeMachine(new I8254())
    machine.out(0x43, 0x34)
    machine.out(0x40, 11932 & 0xff)
    machine.out(0x40, 11932 >> 8)
    machine.line(0).edges = 0
    machine.advance(1_000_000_000)
    expect(machine.line(0).edges).toBe(99)
    machine.advance(1_000_000_000)
    expect(machine.line(0).edges).toBe(199)
  })

  test('mode 3 with 65536 gives 18.2 edges a second', () => {
    const machine = new FakeMachine(new I8254())
    machine.out(0x43, 0x36)
    machine.out(0x40, 0)
    machine.out(0x40, 0)
    machine.line(0).edges = 0
    machine.advance(10_000_000_000)
    expect(machine.line(0).edges).toBe(182)
  })

  test('mode 0 raises IRQ 0 once and holds it', () => {
    const machine = new FakeMachine(new I8254())
    machine.out(0x43, 0x30)
    machine.out(0x40, 100)
    machine.out(0x40, 0)
    machine.advance(PIT_RATE.nanosecondsAt(101) - 1)
    expect(machine.line(0).level).toBe(false)
    machine.advance(1)
    expect(machine.line(0).level).toBe(true)
    machine.advance(1_000_000_000)
    expect(machine.line(0).edges).toBe(1)
  })

  describe('edges that came due while the host was away', () => {
    /** 250 Hz in a mode, and away for so many of its periods. */
    const awayFor = (mode: number, periods: number): FakeMachine => {
      const machine = new FakeMachine(new I8254())
      machine.out(0x43, 0x30 | (mode << 1))
      machine.out(0x40, PERIOD & 0xff)
      machine.out(0x40, PERIOD >> 8)
      machine.line(0).edges = 0
      machine.leap(PIT_RATE.nanosecondsAt(periods * PERIOD + 100))
      return machine
    }
    const PERIOD = 4772

    test.each([2, 3])('follow one by one in mode %i, and none is lost or added', (mode) => {
      const machine = awayFor(mode, 23)
      expect(machine.line(0).edges).toBe(1)
      // A kernel that looks for five ticks has them within three milliseconds.
      machine.advance(3_000_000)
      expect(machine.line(0).edges).toBeGreaterThanOrEqual(5)
      machine.advance(1_000_000_000)
      expect(machine.line(0).edges).toBe(Math.floor((PIT_RATE.ticksAt(machine.time) - 1) / PERIOD))
    })

    test('come one at a look, however late the host is again', () => {
      const machine = awayFor(2, 23)
      for (let look = 2; look < 12; look++) {
        machine.leap(510_000)
        expect(machine.line(0).edges).toBe(look)
      }
    })

    test('are those of a second at most', () => {
      const machine = awayFor(2, 10_000)
      const late = machine.time
      machine.advance(1_000_000_000)
      expect(machine.line(0).edges).toBeLessThanOrEqual(251 + PIT_RATE.ticksAt(machine.time - late) / PERIOD)
    })

    test('are dropped where the counter is set anew', () => {
      const machine = awayFor(2, 23)
      machine.out(0x43, 0x30)
      machine.advance(1_000_000_000)
      expect(machine.line(0).edges).toBe(1)
    })
  })

  test('a suppressed counter leaves IRQ 0 alone', () => {
    const pit = new I8254()
    const machine = new FakeMachine(pit)
    pit.suppressInterrupt(true)
    machine.out(0x43, 0x34)
    machine.out(0x40, 0)
    machine.out(0x40, 1)
    machine.advance(1_000_000_000)
    expect(machine.line(0).edges).toBe(0)
  })

  test('port 0x61 gates counter 2, shows its output and the refresh toggle', () => {
    const speaker: string[] = []
    const machine = new FakeMachine(new I8254({ onSpeaker: (gate, data) => speaker.push(`${gate} ${data}`) }))
    machine.out(0x43, 0xb0)
    machine.out(0x61, 0x01)
    machine.out(0x42, 50)
    machine.out(0x42, 0)
    expect(machine.in(0x61) & 0x2f).toBe(0x01)
    machine.advance(PIT_RATE.nanosecondsAt(51))
    expect(machine.in(0x61) & 0x2f).toBe(0x21)
    const toggle = machine.in(0x61) & 0x10
    machine.advance(15_086)
    expect(machine.in(0x61) & 0x10).toBe(toggle ^ 0x10)
    machine.out(0x61, 0xfe)
    expect(machine.in(0x61) & 0xcf).toBe(0x0e)
    expect(speaker).toEqual(['true false', 'false true'])
  })

  test('a saved timer goes on in another machine', () => {
    const first = new I8254()
    const machine = new FakeMachine(first)
    machine.out(0x43, 0x34)
    machine.out(0x40, 0)
    machine.out(0x40, 0x10)
    machine.leap(33_234_567)
    const other = new FakeMachine()
    other.time = machine.time
    const second = new I8254()
    second.attach(other.context())
    second.restore(JSON.parse(JSON.stringify(first.save())))
    const before = [machine.line(0).edges, other.line(0).edges]
    machine.advance(50_000_000)
    other.advance(50_000_000)
    expect(other.line(0).edges - (before[1] as number)).toBe(machine.line(0).edges - (before[0] as number))
    expect(second.save()).toEqual(first.save())
  })
})
