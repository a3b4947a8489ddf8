import { describe, expect, test } from 'vitest'
import { I8259Chip } from '../src/i8259-chip.ts'
import { APIC_SVR, I8259Pair } from '../src/index.ts'
import { makeFabric } from './machine.ts'

// i8259-model.test.ts compares everything else with a model of the data sheet.
test('a word access takes both registers of a chip', () => {
  const { elcrPorts } = new I8259Pair(() => {})
  elcrPorts.write(0, 2, 0x0820)
  expect(elcrPorts.read(0, 2)).toBe(0x0820)
})

test('ELCR keeps 0, 1, 2, 8 and 13 edge-triggered', () => {
  const { elcrPorts } = new I8259Pair(() => {})
  for (const port of [0, 1]) elcrPorts.write(port, 1, 0xff)
  expect([elcrPorts.read(0, 1), elcrPorts.read(1, 1)]).toEqual([0xf8, 0xde])
})

describe('virtual wire mode', () => {
  /** Initialises the master with vectors from 0x30 on. */
  function initialise({ masterPorts }: I8259Pair, icw4 = 1): void {
    for (const [port, value] of [0x11, 0x30, 4, icw4].entries()) masterPorts.write(port === 0 ? 0 : 1, 1, value)
  }

  test('the i8259 interrupts the first processor through LINT0, as firmware leaves it', () => {
    const { fabric, apic, woken } = makeFabric({ cpus: 2 }, false)
    apic.enterVirtualWireMode()
    initialise(fabric.i8259)
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
    initialise(fabric.i8259, 3)
    fabric.line(3).set(true)
    fabric.line(1).set(true)
    expect([apic.acknowledge(), apic.acknowledge(), apic.hasInterrupt()]).toEqual([0x31, 0x33, false])
  })

  test('an ExtINT message through the I/O APIC fetches the i8259’s vector', () => {
    const { fabric, apic } = makeFabric()
    apic.write(APIC_SVR, 0x1ff)
    initialise(fabric.i8259)
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
