import { describe, expect, test } from 'vitest'
import * as index from '../src/index.ts'
import { type IoApic } from '../src/index.ts'
import { makeFabric } from './machine.ts'

const readAt = (io: IoApic, register: number): number => {
  io.write(0, register)
  return io.read(0x10)
}
const writeAt = (io: IoApic, register: number, value: number): void => {
  io.write(0, register)
  io.write(0x10, value)
}
const entry = (io: IoApic, pin: number, lo: number, hi = 0): void => {
  writeAt(io, 0x11 + 2 * pin, hi)
  writeAt(io, 0x10 + 2 * pin, lo)
}
const LEVEL = 0x8000
const MASKED = 0x1_0000

describe('registers of the I/O APIC (82093AA data sheet, "I/O APIC Registers")', () => {
  test.each([
    { register: 0, write: 0xffff_ffff, read: 0x0f00_0000, name: 'ID' },
    { register: 1, write: 0xffff_ffff, read: 0x0017_0020, name: 'version, read-only' },
    { register: 2, write: 0xffff_ffff, read: 0, name: 'arbitration ID, read-only' },
    { register: 0x10, write: 0xffff_ffff, read: 0x1_afff, name: 'entry, low: no delivery status, no remote IRR' },
    { register: 0x3f, write: 0xffff_ffff, read: 0xff00_0000, name: 'entry, high' },
    { register: 0x40, write: 0xffff_ffff, read: 0, name: 'past the last' },
    { register: 0x05, write: 0xffff_ffff, read: 0, name: 'none' },
  ])('$name', ({ register, write, read }) => {
    const { ioApic } = makeFabric().fabric
    writeAt(ioApic, register, write)
    expect(readAt(ioApic, register)).toBe(read)
    expect(ioApic.read(0)).toBe(register)
  })

  test('the arbitration ID follows the ID, and every entry starts masked', () => {
    const { ioApic } = makeFabric().fabric
    writeAt(ioApic, 0, 0x0500_0000)
    expect(readAt(ioApic, 2)).toBe(0x0500_0000)
    for (let pin = 0; pin < 24; pin++)
      expect([readAt(ioApic, 0x10 + 2 * pin), readAt(ioApic, 0x11 + 2 * pin)]).toEqual([MASKED, 0])
  })
})

describe('an I/O APIC with 48 inputs, as guests of Xen have it', () => {
  const make = () => makeFabric({ ioApicPins: 48 })

  test('its version register says so, and each input has an entry', () => {
    const { ioApic } = make().fabric
    expect(readAt(ioApic, 1)).toBe(0x002f_0020)
    for (let pin = 0; pin < 48; pin++) entry(ioApic, pin, 0x1_0000 | (0x20 + pin), pin << 24)
    for (let pin = 0; pin < 48; pin++) {
      expect([readAt(ioApic, 0x10 + 2 * pin), readAt(ioApic, 0x11 + 2 * pin)]).toEqual([
        MASKED | (0x20 + pin),
        pin << 24,
      ])
    }
    writeAt(ioApic, 0x70, 0x41)
    expect(readAt(ioApic, 0x70)).toBe(0)
    ioApic.reset()
    expect(readAt(ioApic, 0x6e)).toBe(MASKED)
  })

  test('the last entry, the identification and the selected register are words of their own', () => {
    const { ioApic } = make().fabric
    writeAt(ioApic, 0, 0x0a00_0000)
    entry(ioApic, 47, 0x1_0042, 0x1500_0000)
    expect([readAt(ioApic, 0), readAt(ioApic, 0x6e), readAt(ioApic, 0x6f)]).toEqual([
      ...[0x0a00_0000, MASKED | 0x42, 0x1500_0000],
    ])
    writeAt(ioApic, 0, 0x0500_0000)
    expect([readAt(ioApic, 0x6f), readAt(ioApic, 0), ioApic.save().lines]).toEqual([0x1500_0000, 0x0500_0000, 0])
  })

  test('inputs from 16 on are not the 8259s’', () => {
    const { fabric } = make()
    const before = fabric.i8259.save()
    for (let irq = 16; irq < 48; irq++) {
      const line = fabric.line(irq)
      line.pulse()
      line.set(true)
      expect(fabric.i8259.save()).toEqual(before)
      line.set(false)
    }
    fabric.line(15).pulse()
    expect(fabric.i8259.save()).not.toEqual(before)
  })

  test('edges and levels of the inputs from 24 on', () => {
    const { fabric, apic } = make()
    entry(fabric.ioApic, 31, 0x41)
    entry(fabric.ioApic, 32, 0x42)
    entry(fabric.ioApic, 47, 0x50 | LEVEL)
    // Each pulse is an edge.
    for (let i = 0; i < 2; i++) {
      fabric.line(32).pulse()
      expect([apic.acknowledge(), fabric.asserted(32)]).toEqual([0x42, false])
      apic.write(index.APIC_EOI, 0)
    }
    fabric.line(31).set(true)
    expect(apic.acknowledge()).toBe(0x41)
    apic.write(index.APIC_EOI, 0)
    const last = fabric.line(47)
    last.set(true)
    expect([fabric.asserted(47), fabric.asserted(15)]).toEqual([true, false])
    for (let i = 0; i < 2; i++) {
      expect(apic.acknowledge()).toBe(0x50)
      apic.write(index.APIC_EOI, 0)
    }
    last.set(false)
    expect(apic.acknowledge()).toBe(0x50)
    apic.write(index.APIC_EOI, 0)
    expect(apic.hasInterrupt()).toBe(false)
    expect(() => fabric.line(48)).toThrow(/expected 0–47/)
  })

  test('levels of all inputs are saved', () => {
    const { fabric } = make()
    fabric.line(40).set(true)
    fabric.line(31).set(true)
    const saved = JSON.parse(JSON.stringify(fabric.ioApic.save()))
    expect(saved.lines).toBe(2 ** 40 + 2 ** 31)
    const other = make()
    entry(other.fabric.ioApic, 40, 0x40)
    other.fabric.ioApic.restore(saved)
    expect(other.fabric.ioApic.save()).toEqual(saved)
    // As level: it is up.
    entry(other.fabric.ioApic, 40, 0x40 | LEVEL)
    expect(other.apic.acknowledge()).toBe(0x40)
    expect(() => makeFabric().fabric.ioApic.restore(saved)).toThrow(/entries of .* has 48 elements: expected 24/)
  })

  test.each([0, 49, 1.5])('there are not %d', (pins) => {
    expect(() => makeFabric({ ioApicPins: pins })).toThrow(/pins is .*: expected an integer from 1 to 48/)
  })
})

describe('inputs that somebody else takes', () => {
  test('do not reach the I/O APIC while they are taken; the i8259 hears of them all the same', () => {
    const { fabric, apic } = makeFabric()
    entry(fabric.ioApic, 4, 0x34)
    const taken: number[] = []
    fabric.intercept = (pin) => taken.push(pin) > 0
    const line = fabric.line(4)
    line.set(true)
    expect([fabric.asserted(4), fabric.asserted(5), apic.events() & index.EVENT_INTERRUPT]).toEqual([true, false, 0])
    expect(fabric.i8259.masterPorts.read(0, 1) & 0x10).toBe(0x10)
    line.set(false)
    fabric.line(0).pulse()
    expect(taken).toEqual([4, 2])
    expect(fabric.asserted(4)).toBe(false)
    fabric.intercept = () => false
    line.set(true)
    expect(apic.acknowledge()).toBe(0x34)
  })
})

// random.test.ts compares edges, levels, remote IRR and EOIs with a naive model.
describe('level-triggered inputs', () => {
  test.each([
    [0, 'fixed', true],
    [1, 'lowest priority', true],
    [2, 'SMI', false],
    [4, 'NMI', false],
    [5, 'INIT', false],
    [7, 'ExtINT', false],
  ])('the trigger mode of delivery mode %d, %s, counts: %s', (mode, _, counts) => {
    const { fabric } = makeFabric()
    const low = 0x40 | LEVEL | (mode << 8)
    entry(fabric.ioApic, 10, low)
    fabric.line(10).set(true)
    expect(readAt(fabric.ioApic, 0x10 + 20)).toBe(low | (counts ? 0x4000 : 0))
  })

  test('several holders of a line are ORed', () => {
    const { fabric, apic } = makeFabric()
    entry(fabric.ioApic, 16, 0x40 | LEVEL)
    const [a, b] = [fabric.line(16), fabric.line(16)]
    a.set(true)
    b.set(true)
    apic.acknowledge()
    a.set(false)
    apic.write(index.APIC_EOI, 0)
    expect(apic.acknowledge()).toBe(0x40)
    b.set(false)
    apic.write(index.APIC_EOI, 0)
    expect(apic.hasInterrupt()).toBe(false)
  })

  test('with EOI broadcasts suppressed, the EOI register ends it', () => {
    const { fabric, apic } = makeFabric()
    apic.write(index.APIC_SVR, 0x1ff | index.SVR_SUPPRESS_EOI)
    entry(fabric.ioApic, 10, 0x40 | LEVEL)
    fabric.line(10).set(true)
    apic.acknowledge()
    apic.write(index.APIC_EOI, 0)
    expect(apic.hasInterrupt()).toBe(false)
    fabric.ioApic.write(0x40, 0x41)
    expect(apic.hasInterrupt()).toBe(false)
    fabric.ioApic.write(0x40, 0x40)
    expect(apic.acknowledge()).toBe(0x40)
  })
})

describe('delivery', () => {
  test.each([
    { name: 'fixed', mode: 0, event: index.EVENT_INTERRUPT },
    { name: 'lowest priority', mode: 1, event: index.EVENT_INTERRUPT },
    { name: 'SMI', mode: 2, event: index.EVENT_SMI },
    { name: 'reserved', mode: 3, event: 0 },
    { name: 'NMI', mode: 4, event: index.EVENT_NMI },
    { name: 'INIT', mode: 5, event: index.EVENT_INIT },
    { name: 'ExtINT', mode: 7, event: index.EVENT_EXTINT },
  ])('$name', ({ mode, event }) => {
    const { fabric, apic } = makeFabric()
    entry(fabric.ioApic, 4, 0x34 | (mode << 8))
    fabric.line(4).set(true)
    expect(apic.events() & 0xfe).toBe(event)
  })

  test.each([
    { name: 'physical', lo: 0x34, hi: 0x0200_0000, cpus: [2] },
    { name: 'logical', lo: 0x34 | 0x800, hi: 0x0a00_0000, cpus: [1, 3] },
    { name: 'everybody', lo: 0x34, hi: 0xff00_0000, cpus: [0, 1, 2, 3] },
    { name: 'lowest priority of a set', lo: 0x34 | 0x900, hi: 0x0e00_0000, cpus: [3] },
    { name: 'nobody', lo: 0x34, hi: 0x0900_0000, cpus: [] },
  ])('destination: $name', ({ lo, hi, cpus }) => {
    const { fabric } = makeFabric({ cpus: 4 })
    fabric.localApics.forEach((a, cpu) => {
      a.write(index.APIC_LDR, 1 << (24 + cpu))
      a.write(index.APIC_TPR, cpu === 3 ? 0x10 : 0x20)
    })
    entry(fabric.ioApic, 4, lo, hi)
    fabric.line(4).set(true)
    expect(fabric.localApics.flatMap((a, cpu) => (a.hasInterrupt() ? [cpu] : []))).toEqual(cpus)
  })

  test('ISA interrupt 0 is input 2; the others are their own', () => {
    const { fabric, apic } = makeFabric()
    for (let pin = 0; pin < 24; pin++) entry(fabric.ioApic, pin, 0x40 + pin)
    for (const [irq, pin] of [
      [0, 2],
      [1, 1],
      [8, 8],
      [15, 15],
      [16, 16],
      [23, 23],
    ] as const) {
      fabric.line(irq).set(true)
      expect(apic.acknowledge()).toBe(0x40 + pin)
      apic.write(index.APIC_EOI, 0)
    }
    for (const irq of [2, 24, -1, 1.5]) expect(() => fabric.line(irq)).toThrow(/expected/)
  })
})

describe('state', () => {
  test('a restored fabric goes on where the saved one was', () => {
    const a = makeFabric({ cpus: 2 })
    entry(a.fabric.ioApic, 10, 0x40 | LEVEL, 0x0100_0000)
    a.fabric.line(10).set(true)
    a.fabric.localApic(1).acknowledge()
    const saved = structuredClone(a.fabric.save())
    const b = makeFabric({ cpus: 2 })
    b.fabric.restore(saved)
    expect(b.fabric.save()).toEqual(saved)
    b.fabric.line(10).set(true)
    b.fabric.localApic(1).write(index.APIC_EOI, 0)
    expect(b.fabric.localApic(1).acknowledge()).toBe(0x40)
    expect(() => makeFabric({ cpus: 1 }).fabric.restore(saved)).toThrow(/localApics .* has 2 elements: expected 1/)
  })

  test('reset masks every entry; a line that is up stays up', () => {
    const { fabric, apic } = makeFabric()
    entry(fabric.ioApic, 10, 0x40 | LEVEL)
    fabric.line(10).set(true)
    fabric.reset()
    apic.write(index.APIC_SVR, 0x1ff)
    expect(apic.hasInterrupt()).toBe(false)
    entry(fabric.ioApic, 10, 0x41 | LEVEL)
    expect(apic.acknowledge()).toBe(0x41)
  })

  test('a machine has 1 to 255 processors', () => {
    for (const cpus of [0, 256, 1.5])
      expect(() => makeFabric({ cpus })).toThrow(/cpus is .*expected an integer from 1 to 255/)
  })
})
