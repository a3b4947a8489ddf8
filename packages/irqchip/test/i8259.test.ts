import { describe, expect, test } from 'vitest'
import * as fc from 'fast-check'
import { I8259Chip } from '../src/i8259-chip.ts'
import { APIC_SVR, I8259Pair } from '../src/index.ts'
import { makeFabric } from './machine.ts'

/** A pair initialised as a PC does it: bases 0x20 and 0x28, everything unmasked. */
function makePair({ icw4 = 0x01, initialise = true } = {}) {
  const wire: boolean[] = []
  const pic = new I8259Pair((level) => wire.push(level))
  const out = (port: number, value: number): void => {
    if (port >= 0x4d0) pic.elcrPorts.write(port - 0x4d0, 1, value)
    else if (port >= 0xa0) pic.slavePorts.write(port - 0xa0, 1, value)
    else pic.masterPorts.write(port - 0x20, 1, value)
  }
  const read = (port: number): number =>
    port >= 0x4d0
      ? pic.elcrPorts.read(port - 0x4d0, 1)
      : port >= 0xa0
        ? pic.slavePorts.read(port - 0xa0, 1)
        : pic.masterPorts.read(port - 0x20, 1)
  if (initialise) {
    for (const [port, base, third] of [
      [0x20, 0x20, 4],
      [0xa0, 0x28, 2],
    ] as const) {
      out(port, 0x11)
      out(port + 1, base)
      out(port + 1, third)
      out(port + 1, icw4)
    }
  }
  const isr = (port: number): number => {
    out(port, 0x0b)
    return read(port)
  }
  const irr = (port: number): number => {
    out(port, 0x0a)
    return read(port)
  }
  return { pic, out, read, isr, irr, wire }
}

describe('initialisation (8259A data sheet, "Initialization Command Words")', () => {
  test.each([
    { name: 'four words', icw1: 0x11, words: [0x40, 0x04, 0x01], vector: 0x43 },
    { name: 'no ICW4', icw1: 0x10, words: [0x40, 0x04], vector: 0x43 },
    { name: 'single: no ICW3', icw1: 0x13, words: [0x40, 0x01], vector: 0x43 },
    { name: 'single, no ICW4', icw1: 0x12, words: [0x40], vector: 0x43 },
    { name: 'the low bits of the base do not count', icw1: 0x11, words: [0x47, 0x04, 0x01], vector: 0x43 },
  ])('$name', ({ icw1, words, vector }) => {
    const { pic, out, read } = makePair({ initialise: false })
    out(0x20, icw1)
    for (const word of words) out(0x21, word)
    out(0x21, 0xa5)
    expect(read(0x21)).toBe(0xa5)
    out(0x21, 0)
    pic.setLine(3, true)
    expect(pic.acknowledge()).toBe(vector)
  })

  test('ICW1 forgets edges, mask, service, rotation and modes', () => {
    const { pic, out, read, isr, irr } = makePair()
    out(0x21, 0xf0)
    out(0x20, 0xc3)
    out(0x20, 0x68)
    pic.setLine(1, true)
    pic.acknowledge()
    pic.setLine(0, true)
    out(0x20, 0x11)
    for (const word of [0x20, 4, 1]) out(0x21, word)
    expect([read(0x21), isr(0x20), irr(0x20), pic.output]).toEqual([0, 0, 0, false])
    pic.setLine(1, false)
    pic.setLine(1, true)
    expect(pic.acknowledge()).toBe(0x21)
  })

  test('ICW1 selects the request register for reading', () => {
    const { pic, out, read } = makePair()
    out(0x20, 0x0b)
    out(0x20, 0x11)
    for (const word of [0x20, 4, 1]) out(0x21, word)
    pic.setLine(3, true)
    expect(read(0x20)).toBe(0x08)
  })

  test('a word access takes both registers of a chip', () => {
    const { pic } = makePair()
    pic.elcrPorts.write(0, 2, 0x0820)
    expect(pic.elcrPorts.read(0, 2)).toBe(0x0820)
  })
})

describe('requests', () => {
  test('an edge is served once, and the line must fall before the next', () => {
    const { pic, out, wire } = makePair()
    pic.setLine(4, true)
    expect(pic.acknowledge()).toBe(0x24)
    out(0x20, 0x20)
    expect(pic.output).toBe(false)
    pic.setLine(4, true)
    expect(pic.output).toBe(false)
    pic.setLine(4, false)
    pic.setLine(4, true)
    expect(pic.output).toBe(true)
    expect(wire).toEqual([true, false, true])
  })

  test('a request that goes before it is acknowledged is spurious: vector 7, nothing in service', () => {
    const { pic, isr } = makePair()
    pic.setLine(4, true)
    pic.setLine(4, false)
    expect(pic.output).toBe(false)
    expect(pic.acknowledge()).toBe(0x27)
    expect(isr(0x20)).toBe(0)
  })

  test('a pulse lasts until it is acknowledged', () => {
    const { pic, out } = makePair()
    pic.pulse(4)
    expect(pic.acknowledge()).toBe(0x24)
    out(0x20, 0x20)
    expect(pic.output).toBe(false)
  })

  test('a level stays requested while the line is up', () => {
    const { pic, out } = makePair()
    out(0x4d0, 0x20)
    pic.setLine(5, true)
    expect(pic.acknowledge()).toBe(0x25)
    expect(pic.output).toBe(false)
    out(0x20, 0x20)
    expect(pic.acknowledge()).toBe(0x25)
    pic.setLine(5, false)
    out(0x20, 0x20)
    expect(pic.output).toBe(false)
  })

  test('ELCR keeps 0, 1, 2, 8 and 13 edge-triggered', () => {
    const { out, read } = makePair()
    out(0x4d0, 0xff)
    out(0x4d1, 0xff)
    expect([read(0x4d0), read(0x4d1)]).toEqual([0xf8, 0xde])
  })

  test('the mask holds back and does not forget', () => {
    const { pic, out, irr } = makePair()
    out(0x21, 0x10)
    pic.setLine(4, true)
    expect([pic.output, irr(0x20)]).toEqual([false, 0x10])
    out(0x21, 0)
    expect(pic.output).toBe(true)
  })

  test('input 2 of the master is the slave’s', () => {
    const { pic, irr } = makePair()
    pic.setLine(2, true)
    pic.pulse(2)
    expect([pic.output, irr(0x20)]).toEqual([false, 0])
  })
})

describe('the cascade', () => {
  test('a slave interrupt is in service in both and needs two EOIs', () => {
    const { pic, out, isr } = makePair()
    pic.setLine(12, true)
    expect(pic.acknowledge()).toBe(0x2c)
    expect([isr(0x20), isr(0xa0)]).toEqual([0x04, 0x10])
    out(0xa0, 0x20)
    out(0x20, 0x20)
    expect([isr(0x20), isr(0xa0)]).toEqual([0, 0])
  })

  test('slave interrupts rank between 1 and 3', () => {
    const { pic, out } = makePair()
    for (const irq of [3, 15, 8, 1]) pic.setLine(irq, true)
    const order: number[] = []
    while (pic.output) {
      const vector = pic.acknowledge()
      order.push(vector)
      if (vector >= 0x28) out(0xa0, 0x20)
      out(0x20, 0x20)
    }
    expect(order).toEqual([0x21, 0x28, 0x2f, 0x23])
  })

  test('a better slave request waits for the cascade input, but for special fully nested mode', () => {
    for (const [icw4, through] of [
      [0x01, false],
      [0x11, true],
    ] as const) {
      const { pic } = makePair({ icw4 })
      pic.setLine(12, true)
      pic.acknowledge()
      pic.setLine(8, true)
      expect(pic.output).toBe(through)
    }
  })

  test('special fully nested mode opens the cascade input alone: input 3 waits for its end', () => {
    const { pic, out } = makePair({ icw4: 0x11 })
    pic.setLine(12, true)
    pic.acknowledge()
    pic.setLine(3, true)
    expect(pic.output).toBe(false)
    out(0xa0, 0x20)
    out(0x20, 0x20)
    expect(pic.acknowledge()).toBe(0x23)
  })

  test('a poll of the master leaves the slave to be polled', () => {
    const { pic, out, read, isr } = makePair()
    pic.setLine(12, true)
    out(0x20, 0x0c)
    expect(read(0x20)).toBe(0x82)
    out(0xa0, 0x0c)
    expect(read(0xa0)).toBe(0x84)
    expect([isr(0x20), isr(0xa0), pic.output]).toEqual([0x04, 0x10, false])
  })
})

describe('end of interrupt and rotation (OCW2)', () => {
  const serve = (irqs: number[]) => {
    const made = makePair()
    // Better ones later, so that they nest.
    for (const irq of irqs) {
      made.pic.setLine(irq, true)
      made.pic.acknowledge()
    }
    return made
  }
  test.each([
    { name: 'non-specific', ocw2: 0x20, isr: 0x28 },
    { name: 'specific', ocw2: 0x63, isr: 0x22 },
    { name: 'specific, of one that is not in service', ocw2: 0x67, isr: 0x2a },
    { name: 'no operation', ocw2: 0x40, isr: 0x2a },
  ])('$name', ({ ocw2, isr: expected }) => {
    const { out, isr } = serve([5, 3, 1])
    expect(isr(0x20)).toBe(0x2a)
    out(0x20, ocw2)
    expect(isr(0x20)).toBe(expected)
  })

  test.each([
    { name: 'rotate on non-specific EOI', ocw2: 0xa0, order: [0x24, 0x21, 0x23] },
    { name: 'rotate on specific EOI', ocw2: 0xe3, order: [0x24, 0x21, 0x23] },
    { name: 'set priority', ocw2: 0xc3, order: [0x24, 0x21, 0x23] },
    { name: 'plain EOI', ocw2: 0x20, order: [0x21, 0x23, 0x24] },
  ])('$name', ({ ocw2, order }) => {
    const { pic, out } = serve([3])
    out(0x20, ocw2)
    if (ocw2 === 0xc3) out(0x20, 0x63)
    pic.setLine(3, false)
    for (const irq of [1, 3, 4]) pic.setLine(irq, true)
    const seen: number[] = []
    while (pic.output) {
      const vector = pic.acknowledge()
      seen.push(vector)
      out(0x20, 0x60 | (vector & 7))
    }
    expect(seen).toEqual(order)
  })

  test('automatic EOI leaves nothing in service; with rotation the served one becomes the last', () => {
    const { pic, out, isr } = makePair({ icw4: 0x03 })
    pic.setLine(3, true)
    expect(pic.acknowledge()).toBe(0x23)
    expect(isr(0x20)).toBe(0)
    out(0x20, 0x80)
    pic.setLine(1, true)
    expect(pic.acknowledge()).toBe(0x21)
    for (const irq of [1, 4]) {
      pic.setLine(irq, false)
      pic.setLine(irq, true)
    }
    expect(pic.acknowledge()).toBe(0x24)
    out(0x20, 0x00)
    expect(pic.acknowledge()).toBe(0x21)
  })
})

describe('OCW3', () => {
  test('selects IRR or ISR for reading, and keeps the choice', () => {
    const { pic, out, read } = makePair()
    pic.setLine(1, true)
    pic.acknowledge()
    pic.setLine(0, true)
    expect(read(0x20)).toBe(0x01)
    out(0x20, 0x0b)
    expect([read(0x20), read(0x20)]).toEqual([0x02, 0x02])
    out(0x20, 0x08)
    expect(read(0x20)).toBe(0x02)
    out(0x20, 0x0a)
    expect(read(0x20)).toBe(0x01)
  })

  test('special mask mode: a masked level in service holds nobody back, nor does a plain EOI end it', () => {
    const { pic, out, isr } = makePair()
    pic.setLine(1, true)
    pic.acknowledge()
    pic.setLine(6, true)
    expect(pic.output).toBe(false)
    out(0x21, 0x02)
    expect(pic.output).toBe(false)
    out(0x20, 0x68)
    expect(pic.acknowledge()).toBe(0x26)
    out(0x20, 0x20)
    expect(isr(0x20)).toBe(0x02)
    out(0x20, 0x48)
    out(0x20, 0x20)
    expect(isr(0x20)).toBe(0)
  })

  test('poll: the next read acknowledges, and says what', () => {
    const { pic, out, read, isr } = makePair()
    out(0x20, 0x0c)
    expect(read(0x20)).toBe(0)
    pic.setLine(5, true)
    out(0x20, 0x0c)
    expect(read(0x20)).toBe(0x85)
    expect([pic.output, isr(0x20)]).toEqual([false, 0x20])
  })
})

describe('as a whole', () => {
  test('agrees with a naive model of fully nested mode', () => {
    const step = fc.oneof(
      fc.tuple(fc.constant('line' as const), fc.constantFrom(0, 1, 3, 4, 5, 6, 7), fc.boolean()),
      fc.tuple(fc.constant('mask' as const), fc.nat(255), fc.boolean()),
      fc.tuple(fc.constant('ack' as const), fc.constant(0), fc.boolean()),
      fc.tuple(fc.constant('eoi' as const), fc.constant(0), fc.boolean()),
    )
    fc.assert(
      fc.property(fc.array(step, { maxLength: 60, size: 'max' }), fc.nat(255), (steps, elcr) => {
        const { pic, out, irr, isr } = makePair()
        const level = elcr & 0xf8
        out(0x4d0, elcr)
        let lines = 0
        let edges = 0
        let mask = 0
        let service = 0
        const lowest = (bits: number): number => (bits === 0 ? 8 : 31 - Math.clz32(bits & -bits))
        const pending = (): number => {
          const irq = lowest(((edges & ~level) | (lines & level)) & ~mask)
          return irq < lowest(service) ? irq : -1
        }
        for (const [kind, value, on] of steps) {
          if (kind === 'line') {
            const bit = 1 << value
            if (on && !(lines & bit)) edges |= bit
            if (!on) edges &= ~bit
            lines = on ? lines | bit : lines & ~bit
            pic.setLine(value, on)
          } else if (kind === 'mask') {
            mask = value
            out(0x21, value)
          } else if (kind === 'ack') {
            const irq = pending()
            expect(pic.acknowledge()).toBe(0x20 + (irq < 0 ? 7 : irq))
            if (irq >= 0) {
              service |= 1 << irq
              edges &= ~(1 << irq)
            }
          } else {
            service &= service - 1
            out(0x20, 0x20)
          }
          expect(pic.output).toBe(pending() >= 0)
          expect(isr(0x20)).toBe(service)
          expect(irr(0x20)).toBe((edges & ~level) | (lines & level))
        }
      }),
      { numRuns: 150 },
    )
  })

  test('saved and restored in the middle of things', () => {
    const a = makePair()
    a.out(0x21, 0x40)
    a.pic.setLine(5, true)
    a.pic.setLine(12, true)
    a.pic.acknowledge()
    a.out(0x20, 0x0b)
    const b = makePair({ initialise: false })
    b.pic.restore(structuredClone(a.pic.save()))
    expect(b.pic.save()).toEqual(a.pic.save())
    expect([b.read(0x20), b.read(0x21), b.pic.output]).toEqual([0x04, 0x40, false])
    b.out(0xa0, 0x20)
    b.out(0x20, 0x20)
    expect(b.pic.acknowledge()).toBe(0x25)
  })
})

describe('virtual wire mode', () => {
  test('the i8259 interrupts the first processor through LINT0, as firmware leaves it', () => {
    const { fabric, apic, woken } = makeFabric({ cpus: 2 }, false)
    apic.enterVirtualWireMode()
    for (const [port, value] of [
      [0, 0x11],
      [1, 0x30],
      [1, 4],
      [1, 1],
    ] as const)
      fabric.i8259.masterPorts.write(port, 1, value)
    woken.length = 0
    fabric.line(0).set(true)
    expect([apic.hasInterrupt(), fabric.localApic(1).hasInterrupt(), woken.includes(0)]).toEqual([true, false, true])
    expect(apic.acknowledge()).toBe(0x30)
    expect(apic.hasInterrupt()).toBe(false)
    const nmi = fabric.nmiLine()
    nmi.pulse()
    expect([apic.takeNmi(), fabric.localApic(1).takeNmi()]).toEqual([true, false])
  })

  test('LINT1 is high while any of its wires is: each rise of the whole is one NMI', () => {
    const { fabric, apic } = makeFabric({}, false)
    apic.enterVirtualWireMode()
    const [one, other] = [fabric.nmiLine(), fabric.nmiLine()]
    const steps = [
      () => one.pulse(),
      () => other.pulse(),
      () => one.set(true),
      () => other.set(true),
      () => one.set(false),
      () => one.set(true),
      () => other.set(false),
      () => one.set(false),
      () => other.set(true),
    ]
    const taken = steps.map((step) => (step(), apic.takeNmi()))
    expect(taken).toEqual([true, true, true, false, false, false, false, false, true])
  })

  test('LINT1 keeps its level over a reset, whoever holds the wire', () => {
    for (const holders of [0, 1, 2]) {
      const { fabric, apic } = makeFabric({}, false)
      for (let i = 0; i < holders; i++) fabric.nmiLine().set(true)
      fabric.reset()
      const levels: [number, boolean][] = []
      const setLint = apic.setLint.bind(apic)
      apic.setLint = (pin, level) => (levels.push([pin, level]), setLint(pin, level))
      fabric.reset()
      expect(levels).toEqual([
        [0, false],
        [1, holders > 0],
      ])
    }
  })

  test('a second request keeps the wire busy after the first acknowledgement', () => {
    const { fabric, apic } = makeFabric({}, false)
    apic.enterVirtualWireMode()
    for (const [port, value] of [
      [0, 0x11],
      [1, 0x30],
      [1, 4],
      [1, 3],
    ] as const)
      fabric.i8259.masterPorts.write(port, 1, value)
    fabric.line(3).set(true)
    fabric.line(1).set(true)
    expect([apic.acknowledge(), apic.acknowledge(), apic.hasInterrupt()]).toEqual([0x31, 0x33, false])
  })

  test('an ExtINT message through the I/O APIC fetches the i8259’s vector', () => {
    const { fabric, apic } = makeFabric()
    apic.write(APIC_SVR, 0x1ff)
    for (const [port, value] of [
      [0, 0x11],
      [1, 0x30],
      [1, 4],
      [1, 1],
    ] as const)
      fabric.i8259.masterPorts.write(port, 1, value)
    fabric.ioApic.write(0, 0x10 + 2 * 4)
    fabric.ioApic.write(0x10, 0x700)
    fabric.line(4).set(true)
    expect(apic.hasInterrupt()).toBe(true)
    expect(apic.acknowledge()).toBe(0x34)
    expect(apic.hasInterrupt()).toBe(false)
  })
})

test('a command ends an interrupt if it is an OCW2 with EOI (8259A data sheet, "Operation Command Words")', () => {
  const ends = Array.from({ length: 256 }, (_, value) => value).filter((value) => I8259Chip.endsInterrupt(value))
  // D4 and D3 are 0 in OCW2; its bit 5 is EOI.
  expect(ends).toEqual(
    Array.from({ length: 256 }, (_, value) => value).filter((value) =>
      /^..100...$/.test(value.toString(2).padStart(8, '0')),
    ),
  )
})
