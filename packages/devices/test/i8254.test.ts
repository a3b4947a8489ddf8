import fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import { I8254 } from '../src/i8254.ts'
import { I8254Channel } from '../src/i8254-channel.ts'
import { PIT_RATE } from '../src/tick-counter.ts'
import { FakeMachine } from './support/fake-machine.ts'

const channel = (mode: number, count: number, rw = 3, bcd = 0): I8254Channel => {
  const c = new I8254Channel(true)
  c.writeControl(0, (rw << 4) | (mode << 1) | bcd)
  if (rw !== 2) c.writeCount(0, count & 0xff)
  if (rw !== 1) c.writeCount(0, count >> 8)
  return c
}

const outs = (c: I8254Channel, from: number, to: number): string => {
  let text = ''
  for (let tick = from; tick <= to; tick++) {
    c.sync(tick)
    text += c.out ? 'H' : 'L'
  }
  return text
}

/** Two reads: low and high byte of the live count. */
const count = (c: I8254Channel, tick: number): number => {
  c.latchCount(tick)
  return c.readCount(tick) | (c.readCount(tick) << 8)
}

describe('output of a counter by tick after its count was written (8254 data sheet, "Mode Definitions")', () => {
  test.each([
    { mode: 0, n: 3, wave: 'LLLLHHHHHH', says: 'rises N + 1 ticks after the write and stays' },
    { mode: 1, n: 3, wave: 'HHHHHHHHHH', says: 'does nothing without a trigger' },
    { mode: 2, n: 3, wave: 'HHHLHHLHHL', says: 'is low for the last tick of each period' },
    { mode: 3, n: 4, wave: 'HHHLLHHLLHH', says: 'is a square wave for an even count' },
    { mode: 3, n: 5, wave: 'HHHHLLHHHLLHHH', says: 'is high one tick longer for an odd count' },
    { mode: 4, n: 3, wave: 'HHHHLHHHHH', says: 'strobes once, N + 1 ticks after the write' },
    { mode: 5, n: 3, wave: 'HHHHHHHHHH', says: 'does nothing without a trigger' },
    { mode: 6, n: 3, wave: 'HHHLHHLHHL', says: 'is mode 2' },
    { mode: 7, n: 4, wave: 'HHHLLHHLLHH', says: 'is mode 3' },
  ])('mode $mode with count $n $says', ({ mode, n, wave }) => {
    const c = channel(mode, n)
    expect((c.sync(0), c.out ? 'H' : 'L') + outs(c, 1, wave.length - 1)).toBe(wave)
  })

  test('mode 1 is low for N ticks from the tick after a trigger, and starts again with another', () => {
    const c = channel(1, 4)
    c.setGate(1, false)
    c.setGate(5, true)
    expect(outs(c, 5, 11)).toBe('HLLLLHH')
    c.setGate(12, false)
    c.setGate(13, true)
    c.setGate(15, false)
    c.setGate(15, true)
    expect(outs(c, 16, 21)).toBe('LLLLHH')
  })

  test('mode 5 strobes N ticks after the tick that follows a trigger', () => {
    const c = channel(5, 3)
    c.setGate(1, false)
    c.setGate(5, true)
    expect(outs(c, 5, 11)).toBe('HHHHLHH')
  })

  test('mode 0 pauses while its gate is low', () => {
    const c = channel(0, 3)
    c.setGate(2, false)
    expect(outs(c, 3, 10)).toBe('LLLLLLLL')
    expect(count(c, 10)).toBe(2)
    c.setGate(10, true)
    expect(outs(c, 11, 14)).toBe('LHHH')
  })

  test('mode 0 stops at the first byte of a new count', () => {
    const c = channel(0, 3)
    c.writeCount(2, 5)
    expect(outs(c, 3, 9)).toBe('LLLLLLL')
    c.writeCount(10, 0)
    expect(outs(c, 11, 17)).toBe('LLLLLHH')
  })

  test('modes 2 and 3 go high at once when their gate falls and begin anew when it rises', () => {
    const c = channel(2, 3)
    c.sync(3)
    expect(c.out).toBe(false)
    c.setGate(3, false)
    expect(c.out).toBe(true)
    c.setGate(7, true)
    expect(outs(c, 7, 13)).toBe('HHHLHHL')
  })

  test('a new count in mode 2 waits for the end of the period', () => {
    const c = channel(2, 4)
    c.writeCount(2, 2)
    c.writeCount(2, 0)
    expect(outs(c, 3, 9)).toBe('HLHLHLH')
  })
})

describe('counting', () => {
  test.each([
    { given: 'binary 0', mode: 0, n: 0, bcd: 0, after: 1, reads: 0x0000 },
    { given: 'binary 0 a tick later', mode: 0, n: 0, bcd: 0, after: 2, reads: 0xffff },
    { given: 'BCD 0', mode: 0, n: 0, bcd: 1, after: 2, reads: 0x9999 },
    { given: 'BCD 1000', mode: 0, n: 0x1000, bcd: 1, after: 2, reads: 0x0999 },
    { given: 'binary past terminal count', mode: 0, n: 2, bcd: 0, after: 5, reads: 0xfffe },
    { given: 'BCD past terminal count', mode: 4, n: 2, bcd: 1, after: 5, reads: 0x9998 },
    { given: 'mode 3, even, first half', mode: 3, n: 6, bcd: 0, after: 2, reads: 4 },
    { given: 'mode 3, even, second half', mode: 3, n: 6, bcd: 0, after: 4, reads: 6 },
    { given: 'mode 3, odd, start', mode: 3, n: 7, bcd: 0, after: 1, reads: 6 },
    { given: 'mode 3, odd, last tick of the high half', mode: 3, n: 7, bcd: 0, after: 4, reads: 0 },
    { given: 'mode 3, odd, low half', mode: 3, n: 7, bcd: 0, after: 5, reads: 6 },
  ])('$given reads $reads after $after ticks', ({ mode, n, bcd, after, reads }) => {
    expect(count(channel(mode, n, 3, bcd), after)).toBe(reads)
  })

  test('closed form agrees with a counter that is stepped tick by tick', () => {
    fc.assert(
      fc.property(
        fc.constantFrom(0, 2, 3, 4),
        fc.integer({ min: 2, max: 40 }),
        fc.array(fc.integer({ min: 0, max: 70 }), { minLength: 1, maxLength: 12, size: 'max' }),
        (mode, n, steps) => {
          const jumping = channel(mode, n)
          const stepping = channel(mode, n)
          let tick = 0
          for (const step of steps) {
            for (let i = 0; i < step; i++) stepping.sync(++tick)
            expect({ out: (jumping.sync(tick), jumping.out), count: count(jumping, tick) }).toEqual({
              out: stepping.out,
              count: count(stepping, tick),
            })
          }
        },
      ),
    )
  })

  test('the next change is where the output of a stepped counter first differs', () => {
    fc.assert(
      fc.property(
        fc.constantFrom(0, 3, 4),
        fc.integer({ min: 2, max: 40 }),
        fc.integer({ min: 1, max: 100 }),
        (mode, n, at) => {
          const c = channel(mode, n)
          c.sync(at)
          const next = c.nextChange()
          const before = c.out
          for (let tick = at + 1; tick < Math.min(next, at + 200); tick++) expect((c.sync(tick), c.out)).toBe(before)
          if (next !== Infinity) expect((c.sync(next), c.out)).toBe(!before)
        },
      ),
    )
  })
})

describe('reading back', () => {
  test('a latched count stays until both bytes are read, and a second latch is ignored', () => {
    const c = channel(0, 0x1234)
    c.latchCount(1)
    c.latchCount(100)
    expect([c.readCount(200), c.readCount(200)]).toEqual([0x34, 0x12])
    expect(c.readCount(2)).toBe((0x1234 - 199) & 0xff)
  })

  test.each([
    { rw: 1, says: 'low bytes only', reads: [0x34, 0x34] },
    { rw: 2, says: 'high bytes only', reads: [0x12, 0x12] },
  ])('$says are read with RW $rw', ({ rw, reads }) => {
    const c = channel(0, 0x1234, rw)
    expect([c.readCount(1), c.readCount(1)]).toEqual(reads)
  })

  test('read-back gives status before count, with OUT, null count and the control word', () => {
    const machine = new FakeMachine(new I8254())
    machine.out(0x43, 0x34)
    machine.out(0x43, 0xe2)
    expect(machine.in(0x40)).toBe(0x80 | 0x40 | 0x34)
    machine.out(0x40, 0x00)
    machine.out(0x40, 0x10)
    machine.time = PIT_RATE.nanosecondsAt(1)
    machine.out(0x43, 0xc2)
    expect([machine.in(0x40), machine.in(0x40), machine.in(0x40)]).toEqual([0x80 | 0x34, 0x00, 0x10])
  })
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
