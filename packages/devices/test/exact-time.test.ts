/** Models of a PC at times that a number of nanoseconds does not hold. */
import { Instant, type DeviceModel } from '@retrap/device'
import * as fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import { AcpiPm, Hpet, HPET_BASE, I8254, Mc146818, Uart16550 } from '../src/index.ts'
import { FakeMachine } from './support/fake-machine.ts'

const SECOND = 1_000_000_000n
const STARTS = [2n ** 53n - 1n, 2n ** 53n - SECOND, 2n ** 53n + 1n, 2n ** 60n + 3n, 2n ** 62n - 1n, 2n ** 63n + 12_345n]

/** Everything that happens: at which nanosecond after `from`, on which line, and what registers say then. */
type Trace = readonly (readonly [ns: bigint, edges: number, ...registers: number[]])[]

/** Goes from deadline to deadline, for `ns` nanoseconds. */
function trace(machine: FakeMachine, line: number, from: bigint, ns: bigint, look: () => number[]): Trace {
  const seen: [bigint, number, ...number[]][] = []
  const end = machine.exact.toBigInt() + ns
  const next = new Instant()
  while (machine.timers.readNextDeadline(next) && next.toBigInt() <= end) {
    if (machine.exact.isBefore(next)) machine.exact.set(next)
    machine.timers.expire()
    seen.push([machine.exact.toBigInt() - from, machine.line(line).edges, ...look()])
  }
  machine.exact.set(Instant.from(end))
  return seen
}

interface Source {
  readonly name: string
  readonly line: number
  readonly models: () => readonly [DeviceModel, ...DeviceModel[]]
  /** Sets it going, with a period that is short. */
  readonly begin: (machine: FakeMachine) => void
  /** How long to watch, in nanoseconds. */
  readonly watch: bigint
  /** Registers that show time, and whatever a handler does. */
  readonly look: (machine: FakeMachine) => number[]
}

const HPET = {
  begin: (machine: FakeMachine, period: bigint, config: number) => {
    machine.store(HPET_BASE + 0x100, config | (20 << 9))
    const now = machine.load64(HPET_BASE + 0xf0)
    machine.store64(HPET_BASE + 0x108, now + period)
    if ((config & 0x40) !== 0) machine.store64(HPET_BASE + 0x108, period)
    machine.store(HPET_BASE + 0x10, 1)
  },
  look: (machine: FakeMachine): number[] => {
    machine.store(HPET_BASE + 0x20, 1)
    return [machine.load(HPET_BASE + 0xf0), machine.load(HPET_BASE + 0x108), machine.load(HPET_BASE + 0x10c)]
  },
}

const SOURCES: readonly Source[] = [
  {
    name: 'i8254 counter 0, rate generator of 7 ticks',
    line: 0,
    models: () => [new I8254()],
    begin: (m) => [0x34, 7, 0].forEach((byte, i) => m.out(i === 0 ? 0x43 : 0x40, byte)),
    watch: 500_000n,
    look: (m) => [m.out(0x43, 0x00) ?? 0, m.in(0x40), m.in(0x40), m.in(0x61)],
  },
  {
    name: 'i8254 counter 0, square wave of 101 ticks',
    line: 0,
    models: () => [new I8254()],
    begin: (m) => [0x36, 101, 0].forEach((byte, i) => m.out(i === 0 ? 0x43 : 0x40, byte)),
    watch: 5_000_000n,
    look: (m) => [m.out(0x43, 0x00) ?? 0, m.in(0x40), m.in(0x40), m.in(0x61)],
  },
  {
    name: 'RTC, periodic interrupt of 8192 Hz',
    line: 8,
    models: () => [new Mc146818({ epochSeconds: 1e9 + 0.25, lowRamBytes: 1 << 29, highRamBytes: 0, cpus: 1 })],
    begin: (m) => cmos(m, 10, 0x23) + cmos(m, 11, 0x42),
    watch: 20_000_000n,
    look: (m) => [cmos(m, 12), cmos(m, 10), cmos(m, 0), cmos(m, 2), cmos(m, 4)],
  },
  {
    name: 'RTC, update-ended and alarm interrupts',
    line: 8,
    models: () => [new Mc146818({ epochSeconds: 1e9 + 0.25, lowRamBytes: 1 << 29, highRamBytes: 0, cpus: 1 })],
    begin: (m) => cmos(m, 1, 0xc0) + cmos(m, 3, 0xc0) + cmos(m, 5, 0xc0) + cmos(m, 11, 0x32),
    watch: 130n * SECOND,
    look: (m) => [cmos(m, 12), cmos(m, 10), cmos(m, 0), cmos(m, 2), cmos(m, 4)],
  },
  {
    name: 'HPET, periodic, 30 ns',
    line: 20,
    models: () => [new Hpet()],
    begin: (m) => HPET.begin(m, 3n, 0x04 | 0x08 | 0x40),
    watch: 10_000n,
    look: HPET.look,
  },
  {
    name: 'HPET, periodic, 32 bits and level',
    line: 20,
    models: () => [new Hpet()],
    begin: (m) => HPET.begin(m, 2n ** 31n - 1n, 0x02 | 0x04 | 0x08 | 0x40 | 0x100),
    watch: 300n * SECOND,
    look: HPET.look,
  },
  {
    name: 'ACPI power-management timer, carry',
    line: 9,
    models: () => [new AcpiPm()],
    begin: (m) => {
      m.out(0xb2, 0xf1)
      m.out(0x602, 1, 2)
    },
    watch: 6000n * SECOND,
    look: (m) => [m.in(0x600, 2), m.in(0x608, 4), m.out(0x600, 1, 2) ?? 0, m.in(0x600, 2)],
  },
  {
    name: 'UART, character timeout',
    line: 4,
    models: () => [new Uart16550()],
    begin: (m) => {
      m.out(0x3fb, 0x83)
      m.out(0x3f8, 1)
      m.out(0x3fb, 0x03)
      m.out(0x3fa, 0xc1)
      m.out(0x3fc, 0x18)
      m.out(0x3f9, 1)
      m.out(0x3f8, 0x5a)
    },
    watch: 10_000_000n,
    look: (m) => {
      const seen = [m.in(0x3fa), m.in(0x3f8)]
      m.out(0x3f8, 0x5a)
      return seen
    },
  },
]

function cmos(machine: FakeMachine, index: number, value?: number): number {
  machine.out(0x70, index)
  if (value === undefined) return machine.in(0x71)
  machine.out(0x71, value)
  return 0
}

describe.each(SOURCES)('$name', ({ line, models, begin, watch, look }) => {
  const traceAt = (start: bigint): Trace => {
    const machine = FakeMachine.at(start, ...models())
    begin(machine)
    return trace(machine, line, start, watch, () => look(machine))
  }
  const first = traceAt(0n)

  test('ticks', () => {
    expect(first.length).toBeGreaterThan(3)
    // In loopback, a UART's interrupt shows in IIR alone.
    if (line === 4) expect(first.every(([, , iir]) => iir === 0xcc)).toBe(true)
    else expect(first.at(-1)![1]).toBeGreaterThan(first[0]![1])
  })

  test.each(STARTS)('does from %d ns on what it does from 0 on', (start) => {
    expect(traceAt(start)).toEqual(first)
  })

  test.each(STARTS)('saved just before %d ns, goes on as it would have', (start) => {
    const at = start - watch / 3n
    const make = (): readonly DeviceModel[] => models()
    const before = make()
    const machine = FakeMachine.at(at, ...before)
    begin(machine)
    trace(machine, line, at, watch / 4n, () => look(machine))
    const saved: unknown[] = before.map((model) => JSON.parse(JSON.stringify(model.save!())))
    const after = make()
    const other = FakeMachine.at(machine.exact.toBigInt(), ...after)
    after.forEach((model, i) => void model.restore!(saved[i]))
    expect(after.map((model) => JSON.parse(JSON.stringify(model.save!())))).toEqual(saved)
    // A restored line that is up counts as an edge.
    const edges = other.line(line).edges
    const rest = trace(machine, line, at, watch, () => look(machine))
    const base = rest[0]![1]
    const again = trace(other, line, at, watch, () => look(other))
    const count = (list: Trace): unknown => list.map(([ns, , ...registers]) => [ns, ...registers])
    expect(count(again)).toEqual(count(rest))
    expect(again.at(-1)![1] - edges).toBeGreaterThanOrEqual(rest.at(-1)![1] - base)
  })
})

describe('a machine that was switched on at 0, and sleeps until', () => {
  const ceil = (a: bigint, b: bigint): bigint => (a + b - 1n) / b
  const sleep = (machine: FakeMachine, until: bigint): void => {
    machine.exact.set(Instant.from(until))
    machine.timers.expire()
  }

  test.each(STARTS)('%d ns: the rate generator rises at exact ticks of 105/88 MHz', (now) => {
    const machine = new FakeMachine(new I8254())
    sleep(machine, now)
    for (const [port, byte] of [
      [0x43, 0x34],
      [0x40, 7],
      [0x40, 0],
    ] as const)
      machine.out(port, byte)
    const tick = (now * 105n) / 88_000n
    // The count is loaded by the next pulse, and each cycle of 7 ends with the rise.
    const rises = trace(machine, 0, 0n, 1_000_000n, () => [])
      .filter(([, edges], i, all) => edges > (all[i - 1]?.[1] ?? 1))
      .map(([at]) => at)
    expect(rises.length).toBeGreaterThan(160)
    rises.forEach((at, k) => expect(at).toBe(ceil((tick + 1n + 7n * BigInt(k + 1)) * 88_000n, 105n)))
    expect((machine.in(0x61) >> 4) & 1).toBe(Number(((machine.exact.toBigInt() * 105n) / 88_000n / 18n) % 2n))
  })

  test.each(STARTS)('%d ns: the power-management timer and the HPET show all ticks', (now) => {
    const machine = new FakeMachine(new AcpiPm(), new Hpet())
    machine.store(HPET_BASE + 0x10, 1)
    sleep(machine, now)
    for (const step of [0n, 1n, 9n, 279n, 88_000n, 2n ** 40n + 7n]) {
      machine.exact.set(Instant.from(machine.exact.toBigInt() + step))
      const ns = machine.exact.toBigInt()
      expect(machine.in(0x608, 4)).toBe(Number(((ns * 315n) / 88_000n) % 2n ** 32n))
      expect(machine.load64(HPET_BASE + 0xf0)).toBe(ns / 10n)
    }
  })

  test.each(STARTS)('%d ns: the calendar has gone on', (now) => {
    const epoch = 951_782_399n
    const machine = new FakeMachine(
      new Mc146818({ epochSeconds: Number(epoch), lowRamBytes: 1 << 29, highRamBytes: 0, cpus: 1 }),
    )
    sleep(machine, now)
    const date = new Date(Number((epoch + now / SECOND) * 1000n))
    expect([0, 2, 4, 7, 8, 9, 0x32].map((index) => Number(cmos(machine, index).toString(16)))).toEqual([
      date.getUTCSeconds(),
      date.getUTCMinutes(),
      date.getUTCHours(),
      date.getUTCDate(),
      date.getUTCMonth() + 1,
      date.getUTCFullYear() % 100,
      Math.floor(date.getUTCFullYear() / 100),
    ])
  })
})

describe('HPET matches beyond what a number of nanoseconds holds', () => {
  test.each([2n ** 49n, 2n ** 50n + 1n, 2n ** 53n + 1n, 2n ** 58n + 12_345n])('one-shot: %d ticks', (distance) => {
    const hpet = new Hpet()
    const machine = FakeMachine.at(7n, hpet)
    HPET.begin(machine, distance, 0x04)
    const saved: unknown = JSON.parse(JSON.stringify(hpet.save()))
    hpet.reset()
    hpet.restore(saved)
    const seen = trace(machine, 20, 7n, distance * 10n + 100n, () => [])
    expect(seen.filter(([, edges]) => edges > 0).map(([at]) => at)[0]).toBe(distance * 10n)
    expect(seen.at(-1)![1]).toBe(1)
  })

  test('periodic: a period of 3 × 2^53 + 1 ticks', () => {
    const machine = FakeMachine.at(7n, new Hpet())
    const period = 3n * 2n ** 53n + 1n
    HPET.begin(machine, period, 0x04 | 0x08 | 0x40)
    const seen = trace(machine, 20, 7n, period * 60n, () => [])
    const rises = seen.filter(([, edges], i) => edges > (seen[i - 1]?.[1] ?? 0)).map(([at]) => at)
    expect(rises).toEqual([1n, 2n, 3n, 4n, 5n, 6n].map((k) => k * period * 10n))
    expect(machine.load64(HPET_BASE + 0x108)).toBe(7n * period)
  })

  test('one that comes after the end of time is not waited for', () => {
    const machine = new FakeMachine(new Hpet())
    HPET.begin(machine, 2n ** 63n, 0x04)
    expect(machine.timers.nextDeadlineNs).toBe(Infinity)
  })
})

describe('a host that is away for years, while', () => {
  const ceil = (a: bigint, b: bigint): bigint => (a + b - 1n) / b
  /** Steps of the models' origins among them; one leap may be of 292 years. */
  const leaps = fc
    .tuple(
      fc.array(
        fc.oneof(
          fc.nat(2 ** 30),
          fc.nat(2 ** 52),
          fc.maxSafeNat(),
          fc.constantFrom(2 ** 33 * 88_000, 9 * 2 ** 29 * 88_000, 2 ** 23 * 125_000_000, 2 ** 46 * 10),
        ),
        { minLength: 1, maxLength: 40, size: 'max' },
      ),
      fc.boolean(),
    )
    .map(([list, far]) => (far ? [...list, 2 ** 63, ...list] : list))
  const each = (make: () => FakeMachine, check: (machine: FakeMachine, ns: bigint) => void): void => {
    fc.assert(
      fc.property(leaps, (list) => {
        const machine = make()
        for (const ns of list) {
          machine.leap(ns)
          check(machine, machine.exact.toBigInt())
        }
      }),
      { numRuns: 50 },
    )
  }
  const next = (machine: FakeMachine): bigint => {
    const into = new Instant()
    return machine.timers.readNextDeadline(into) ? into.toBigInt() : -1n
  }

  test.each([2, 7, 101, 65_536])('an i8254 counts %d in mode 2: the count is where it belongs', (count) => {
    each(
      () => {
        const machine = new FakeMachine(new I8254())
        for (const byte of [0x74, count & 0xff, count >> 8]) machine.out(byte === 0x74 ? 0x43 : 0x41, byte)
        return machine
      },
      (machine, ns) => {
        machine.out(0x43, 0x40)
        const ticks = (ns * 105n) / 88_000n
        const left = ticks === 0n ? 0 : count - Number((ticks - 1n) % BigInt(count))
        expect(machine.in(0x41) | (machine.in(0x41) << 8)).toBe(left & 0xffff)
      },
    )
  })

  test.each([0x21, 0x26, 0x2f])('an RTC counts periods, register A %#x: the next one is on time', (rate) => {
    let seen = 0n
    each(
      () => {
        const machine = new FakeMachine(
          new Mc146818({ epochSeconds: 0, lowRamBytes: 1 << 29, highRamBytes: 0, cpus: 1 }),
        )
        cmos(machine, 10, rate)
        cmos(machine, 11, 0x42)
        seen = 0n
        return machine
      },
      (machine, ns) => {
        const low = rate & 15
        const period = 1n << BigInt(low < 3 ? low + 6 : low - 1)
        const passed = (ns * 4096n) / 125_000_000n / period
        expect(cmos(machine, 12) & 0x40).toBe(passed > seen ? 0x40 : 0)
        seen = passed
        expect(next(machine)).toBe(ceil((passed + 1n) * period * 125_000_000n, 4096n))
      },
    )
  })

  test('an HPET repeats: comparator and next match are the first beyond the counter', () => {
    fc.assert(
      fc.property(leaps, fc.bigInt(1n, 2n ** 50n), (list, period) => {
        const machine = new FakeMachine(new Hpet())
        HPET.begin(machine, period, 0x02 | 0x04 | 0x08 | 0x40)
        for (const ns of list) {
          machine.leap(ns)
          const counter = machine.exact.toBigInt() / 10n
          const comparator = (counter / period + 1n) * period
          expect(machine.load64(HPET_BASE + 0xf0)).toBe(counter)
          expect(machine.load64(HPET_BASE + 0x108)).toBe(comparator)
          // A match that is far away is waited for in laps.
          const deadline = next(machine)
          expect(comparator * 10n - deadline).toBeGreaterThanOrEqual(0n)
          expect((comparator - deadline / 10n) % 2n ** 49n).toBe(0n)
        }
      }),
      { numRuns: 50 },
    )
  })

  test('the power-management timer carries: TMR_STS tells of it, and the next carry is on time', () => {
    const carries = (ns: bigint): bigint => (ns * 315n) / 88_000n / 2n ** 31n
    let seen = 0n
    each(
      () => {
        seen = 0n
        const machine = new FakeMachine(new AcpiPm())
        machine.out(0x602, 1, 2)
        return machine
      },
      (machine, ns) => {
        const before = machine.in(0x600, 2) & 1
        machine.out(0x600, 1, 2)
        expect(before).toBe(carries(ns) > seen ? 1 : 0)
        seen = carries(ns)
        expect(next(machine)).toBe(ceil((seen + 1n) * 2n ** 31n * 88_000n, 315n))
      },
    )
  })
})
