import fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import { Hpet, HPET_BASE } from '../src/hpet.ts'
import { I8254 } from '../src/i8254.ts'
import { FakeMachine } from './support/fake-machine.ts'

const GCAP = HPET_BASE
const CONF = HPET_BASE + 0x10
const STATUS = HPET_BASE + 0x20
const COUNTER = HPET_BASE + 0xf0
const config = (n: number): number => HPET_BASE + 0x100 + 0x20 * n
const comparator = (n: number): number => config(n) + 8
const LEVEL = 1 << 1
const ENABLE = 1 << 2
const PERIODIC = 1 << 3
const VAL_SET = 1 << 6
const MODE32 = 1 << 8
const route = (gsi: number): number => gsi << 9

const board = (): { hpet: Hpet; machine: FakeMachine } => {
  const hpet = new Hpet()
  return { hpet, machine: new FakeMachine(hpet) }
}

describe('registers (IA-PC HPET Specification 1.0a, 2.3)', () => {
  test('capabilities: revision 1, three timers, 64 bits, legacy replacement, 10 ns', () => {
    const { hpet, machine } = board()
    expect(machine.load64(GCAP)).toBe(0x0098_9680_8086_a201n)
    expect(hpet.capabilities).toBe(0x8086_a201)
  })

  test('a timer can be periodic and 64 bits wide, uses inputs 20 to 23, and has no FSB delivery', () => {
    const { machine } = board()
    expect(machine.load64(config(0))).toBe(0x00f0_0000_0000_0030n)
  })

  test.each([
    { given: 'an allowed route', write: route(21), reads: route(21) },
    { given: 'a route outside the mask keeps the old one', write: route(3), reads: 0 },
    { given: 'VAL_SET reads as zero', write: VAL_SET | PERIODIC, reads: PERIODIC },
    { given: 'FSB enable is not there', write: 1 << 14, reads: 0 },
  ])('configuration: $given', ({ write, reads }) => {
    const { machine } = board()
    machine.store(config(1), write)
    expect(machine.load(config(1))).toBe(reads | 0x30)
  })

  test('the counter stands until enabled, then counts 10 ns ticks, and takes writes only while it stands', () => {
    const { machine } = board()
    machine.advance(1000)
    expect(machine.load64(COUNTER)).toBe(0n)
    machine.store64(COUNTER, 0xffff_ffff_ffff_fffen)
    machine.store(CONF, 1)
    machine.advance(10)
    expect(machine.load64(COUNTER)).toBe(0xffff_ffff_ffff_ffffn)
    machine.store(COUNTER, 5)
    machine.advance(20)
    expect(machine.load64(COUNTER)).toBe(1n)
    machine.store(CONF, 0)
    machine.advance(1000)
    expect(machine.load64(COUNTER)).toBe(1n)
  })

  test('carries from the low to the high half', () => {
    const { machine } = board()
    machine.store(COUNTER, 0xffff_ffff)
    machine.store(COUNTER + 4, 6)
    machine.store(CONF, 1)
    machine.advance(10)
    expect([machine.load(COUNTER), machine.load(COUNTER + 4)]).toEqual([0, 7])
  })

  test('counts right for any start and any time', () => {
    fc.assert(
      fc.property(fc.bigInt({ min: 0n, max: 2n ** 64n - 1n }), fc.integer({ min: 0, max: 2 ** 50 }), (start, ns) => {
        const { machine } = board()
        machine.store64(COUNTER, start)
        machine.store(CONF, 1)
        machine.time += ns
        expect(machine.load64(COUNTER)).toBe(BigInt.asUintN(64, start + BigInt(ns) / 10n))
      }),
    )
  })

  test('registers that are not there read as zero', () => {
    const { machine } = board()
    expect([machine.load(HPET_BASE + 0x08), machine.load(HPET_BASE + 0x3f8)]).toEqual([0, 0])
  })
})

describe('comparators', () => {
  test('one-shot, edge: one pulse at the match and none after', () => {
    const { machine } = board()
    machine.store(config(0), ENABLE | route(20))
    machine.store64(comparator(0), 100n)
    machine.store(CONF, 1)
    machine.advance(999)
    expect(machine.line(20).edges).toBe(0)
    machine.advance(1)
    expect([machine.line(20).edges, machine.line(20).level]).toEqual([1, false])
    machine.advance(100_000_000_000)
    expect(machine.line(20).edges).toBe(1)
  })

  test('level: the line stays until its status bit is written', () => {
    const { machine } = board()
    machine.store(config(2), ENABLE | LEVEL | route(22))
    machine.store64(comparator(2), 5n)
    machine.store(CONF, 1)
    machine.advance(50)
    expect([machine.line(22).level, machine.load(STATUS)]).toEqual([true, 4])
    machine.store(STATUS, 3)
    expect(machine.line(22).level).toBe(true)
    machine.store(STATUS, 4)
    expect([machine.line(22).level, machine.load(STATUS)]).toEqual([false, 0])
  })

  test('a level timer whose interrupt is off still sets its status', () => {
    const { machine } = board()
    machine.store(config(1), LEVEL | route(22))
    machine.store64(comparator(1), 5n)
    machine.store(CONF, 1)
    machine.advance(50)
    expect([machine.line(22).level, machine.load(STATUS)]).toEqual([false, 2])
  })

  test('32-bit: matches the low half, and again each time it comes round', () => {
    const { machine } = board()
    machine.store64(COUNTER, 0x5_ffff_fff0n)
    machine.store(config(0), ENABLE | MODE32 | route(20))
    machine.store64(comparator(0), 0x10n)
    machine.store(CONF, 1)
    machine.advance(319)
    expect(machine.line(20).edges).toBe(0)
    machine.advance(1)
    expect(machine.line(20).edges).toBe(1)
    machine.advance(2 ** 32 * 10)
    expect(machine.line(20).edges).toBe(2)
  })

  test('64-bit: a comparator behind the counter waits for the counter to come round', () => {
    const { machine } = board()
    machine.store(config(0), ENABLE | route(20))
    machine.store64(COUNTER, 100n)
    machine.store64(comparator(0), 99n)
    machine.store(CONF, 1)
    expect(machine.timers.nextDeadlineNs).toBe(Infinity)
  })

  test('periodic, as Linux sets it up: VAL_SET, first match, then period', () => {
    const { machine } = board()
    machine.store(CONF, 1)
    machine.store(config(0), ENABLE | PERIODIC | VAL_SET | MODE32 | route(20))
    machine.store(comparator(0), 1000)
    machine.store(comparator(0), 250)
    machine.advance(9_999)
    expect(machine.line(20).edges).toBe(0)
    machine.advance(1)
    expect(machine.line(20).edges).toBe(1)
    expect(machine.load(comparator(0))).toBe(1250)
    machine.advance(10 * 2_500)
    expect(machine.line(20).edges).toBe(11)
    expect(machine.load(comparator(0))).toBe(1250 + 2500)
  })

  test('periodic: edges that the host was late for follow one by one, and the phase is kept', () => {
    const { machine } = board()
    machine.store(CONF, 1)
    machine.store(config(0), ENABLE | PERIODIC | VAL_SET | route(20))
    machine.store64(comparator(0), 100n)
    machine.leap(5_555)
    expect(machine.line(20).edges).toBe(1)
    expect(machine.load64(comparator(0))).toBe(600n)
    // Five were due. A 32nd of the period, 4 ticks, is between two of them.
    machine.advance(34)
    expect(machine.line(20).edges).toBe(1)
    machine.advance(1)
    expect(machine.line(20).edges).toBe(2)
    machine.advance(5_999 - 5_555 - 35)
    expect(machine.line(20).edges).toBe(5)
    machine.advance(100 * 1_000)
    expect(machine.line(20).edges).toBe(105)
  })

  test('periodic: edges that are owed are dropped where the timer is set anew or switched off', () => {
    const { machine } = board()
    machine.store(CONF, 1)
    machine.store(config(0), ENABLE | PERIODIC | VAL_SET | route(20))
    machine.store64(comparator(0), 100n)
    machine.leap(5_555)
    machine.store(config(0), PERIODIC | VAL_SET | route(20))
    machine.store(config(0), ENABLE | PERIODIC | VAL_SET | route(20))
    machine.store64(comparator(0), 10_000n)
    machine.advance(90_000)
    expect(machine.line(20).edges).toBe(1)
  })

  test('a timer that is made edge-triggered forgets its status', () => {
    const { machine } = board()
    machine.store(config(2), ENABLE | LEVEL | route(22))
    machine.store64(comparator(2), 5n)
    machine.store(CONF, 1)
    machine.advance(50)
    expect(machine.load(STATUS)).toBe(4)
    machine.store(config(2), ENABLE | route(22))
    expect(machine.load(STATUS)).toBe(0)
    // And back: nothing is left of the match.
    machine.store(config(2), ENABLE | LEVEL | route(22))
    expect([machine.load(STATUS), machine.line(22).level]).toEqual([0, false])
  })

  test.each([
    { width: '64 bits: the sum carries into its upper half', mode: 0, next: 0x7_0000_0090n },
    { width: '32 bits: the upper half stays', mode: MODE32, next: 0x90n },
  ])('a periodic comparator moves on by its period, $width', ({ mode, next }) => {
    const { machine } = board()
    machine.store64(COUNTER, 0x6_ffff_ff00n)
    machine.store(config(0), PERIODIC | VAL_SET | mode)
    machine.store64(comparator(0), 0x6_ffff_ff90n)
    machine.store64(comparator(0), 0x100n)
    machine.store(CONF, 1)
    machine.advance(0x90 * 10)
    expect(machine.load64(comparator(0))).toBe(next)
  })

  test('periodic comparators go on while their interrupt is off', () => {
    const { machine } = board()
    machine.store(CONF, 1)
    machine.store(config(0), PERIODIC | VAL_SET)
    machine.store64(comparator(0), 100n)
    machine.advance(1_000_000)
    expect(machine.load64(comparator(0))).toBe(100_100n)
  })
})

describe('legacy replacement', () => {
  test('timers 0 and 1 go to IRQ 0 and IRQ 8, and the 8254 is cut off', () => {
    const pit = new I8254()
    const machine = new FakeMachine(pit, new Hpet({ legacySources: [pit] }))
    machine.out(0x43, 0x34)
    machine.out(0x40, 0)
    machine.out(0x40, 1)
    machine.store(CONF, 3)
    machine.line(0).edges = 0
    machine.advance(10_000_000)
    expect(machine.line(0).edges).toBe(0)
    machine.store(config(0), ENABLE | MODE32)
    machine.store(config(1), ENABLE | MODE32)
    machine.store(comparator(0), machine.load(COUNTER) + 10)
    machine.store(comparator(1), machine.load(COUNTER) + 20)
    machine.advance(1000)
    expect([machine.line(0).edges, machine.line(8).edges]).toEqual([1, 1])
    machine.store(CONF, 1)
    machine.advance(10_000_000)
    expect(machine.line(0).edges).toBeGreaterThan(10)
  })

  test('without it timer 0 with no route reaches no line', () => {
    const { machine } = board()
    machine.store(config(0), ENABLE)
    machine.store64(comparator(0), 5n)
    machine.store(CONF, 1)
    machine.advance(100)
    expect(machine.line(0).edges).toBe(0)
  })
})

describe('state', () => {
  test('a saved timer block goes on in another machine', () => {
    const { hpet, machine } = board()
    machine.store(CONF, 1)
    machine.store(config(0), ENABLE | PERIODIC | VAL_SET | route(20))
    machine.store64(comparator(0), 12_345n)
    machine.store(config(1), ENABLE | LEVEL | route(21))
    machine.store64(comparator(1), 1n)
    machine.advance(1_000_000)
    const other = board()
    other.machine.time = machine.time
    other.hpet.restore(JSON.parse(JSON.stringify(hpet.save())))
    expect(other.machine.line(21).level).toBe(true)
    const edges = machine.line(20).edges
    machine.advance(1_000_000)
    other.machine.advance(1_000_000)
    expect(other.machine.line(20).edges).toBe(machine.line(20).edges - edges)
    expect(other.hpet.save()).toEqual(hpet.save())
  })

  test('reset stops everything', () => {
    const { hpet, machine } = board()
    machine.store(CONF, 1)
    machine.store(config(1), ENABLE | LEVEL | route(21))
    machine.store64(comparator(1), 1n)
    machine.advance(100)
    hpet.reset()
    expect([
      machine.line(21).level,
      machine.load(CONF),
      machine.load64(COUNTER),
      machine.load64(comparator(1)),
    ]).toEqual([false, 0, 0n, 2n ** 64n - 1n])
    expect(machine.timers.nextDeadlineNs).toBe(Infinity)
  })

  test.each([2, 33, 3.5])('%d timers are refused', (timers) => {
    expect(() => new Hpet({ timers })).toThrow(/expected 3 to 32/)
  })
})
