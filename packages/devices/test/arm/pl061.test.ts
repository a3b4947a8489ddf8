import { describe, expect, test } from 'vitest'
import { Pl061 } from '../../src/arm/index.ts'
import { FakeMachine } from '../support/fake-machine.ts'

const BASE = 0x0903_0000
const ALL = BASE + 0x3fc
const DIR = BASE + 0x400
const IS = BASE + 0x404
const IBE = BASE + 0x408
const IEV = BASE + 0x40c
const IE = BASE + 0x410
const RIS = BASE + 0x414
const IC = BASE + 0x41c

const board = (): { gpio: Pl061; machine: FakeMachine; outputs: string[] } => {
  const outputs: string[] = []
  const gpio = new Pl061({
    base: BASE,
    irq: 39,
    onOutput: (levels, driven) => outputs.push(`${levels.toString(2)} of ${driven.toString(2)}`),
  })
  return { gpio, machine: new FakeMachine(gpio), outputs }
}

describe('lines (DDI 0190, "GPIODATA", "GPIODIR")', () => {
  test('the address says which lines an access reaches', () => {
    const { gpio, machine } = board()
    gpio.setInput(1, true)
    gpio.setInput(7, true)
    expect([machine.load(ALL), machine.load(BASE + (0x02 << 2)), machine.load(BASE)]).toEqual([0x82, 0x02, 0])
    machine.store(DIR, 0x70)
    machine.store(BASE + (0x30 << 2), 0xff)
    expect(machine.load(ALL)).toBe(0xb2)
  })

  test('the board hears of the lines that the guest drives', () => {
    const { machine, outputs } = board()
    machine.store(DIR, 0x03)
    machine.store(ALL, 0xfe)
    expect(outputs).toEqual(['0 of 11', '10 of 11'])
  })

  test('a line that becomes an input has the board’s level', () => {
    const { gpio, machine } = board()
    gpio.setInput(0, true)
    machine.store(DIR, 1)
    expect(machine.load(ALL)).toBe(0)
    machine.store(DIR, 0)
    expect(machine.load(ALL)).toBe(1)
  })

  test.each([-1, 8, 1.5, NaN])('line %d is refused', (line) => {
    expect(() => board().gpio.setInput(line, true)).toThrow(`pl061: line ${line}: expected 0 to 7`)
    expect(() => board().gpio.press(line)).toThrow(`pl061: line ${line}: expected 0 to 7`)
  })
})

describe('interrupts (DDI 0190, "GPIOIS", "GPIOIBE", "GPIOIEV")', () => {
  test.each([
    { given: 'falling edge', is: 0, ibe: 0, iev: 0, seen: [0, 8, 8] },
    { given: 'rising edge', is: 0, ibe: 0, iev: 8, seen: [8, 0, 8] },
    { given: 'both edges', is: 0, ibe: 8, iev: 0, seen: [8, 8, 8] },
    { given: 'high level', is: 8, ibe: 0, iev: 8, seen: [8, 0, 0] },
    { given: 'low level', is: 8, ibe: 0, iev: 0, seen: [0, 8, 8] },
  ])('$given', ({ is, ibe, iev, seen }) => {
    const { gpio, machine } = board()
    machine.store(IS, is)
    machine.store(IBE, ibe)
    machine.store(IEV, iev)
    machine.store(IE, 8)
    gpio.setInput(3, true)
    const up = machine.load(RIS) & 8
    machine.store(IC, 8)
    gpio.setInput(3, false)
    const down = machine.load(RIS) & 8
    machine.store(IC, 8)
    gpio.setInput(3, true)
    gpio.setInput(3, false)
    expect([up, down, machine.load(RIS) & 8]).toEqual(seen)
    expect(machine.line(39).level).toBe(seen[2] === 8)
  })

  test('a level cannot be cleared while it is there', () => {
    const { gpio, machine } = board()
    machine.store(IS, 1)
    machine.store(IEV, 1)
    machine.store(IE, 1)
    gpio.setInput(0, true)
    machine.store(IC, 1)
    expect(machine.line(39).level).toBe(true)
    gpio.setInput(0, false)
    expect(machine.line(39).level).toBe(false)
  })

  test('an edge while a line was sensed by level is none later', () => {
    const { gpio, machine } = board()
    machine.store(IBE, 1)
    machine.store(IS, 1)
    gpio.setInput(0, true)
    gpio.setInput(0, false)
    machine.store(IS, 0)
    expect(machine.load(RIS)).toBe(0)
  })

  test('a line that the guest drives causes none', () => {
    const { gpio, machine } = board()
    machine.store(DIR, 1)
    machine.store(IBE, 1)
    machine.store(IE, 1)
    machine.store(ALL, 1)
    gpio.setInput(0, true)
    expect(machine.load(RIS) & 1).toBe(0)
  })
})

describe('a button', () => {
  test('is held for a tenth of a second', () => {
    const { gpio, machine } = board()
    expect(gpio.press(3)).toBe(false)
    machine.store(IE, 8)
    machine.store(IBE, 8)
    expect([gpio.press(3), machine.load(ALL)]).toEqual([true, 8])
    machine.store(DIR, 8)
    expect(gpio.press(3)).toBe(false)
    machine.store(DIR, 0)
    machine.advance(1e8 - 1)
    expect(machine.load(ALL)).toBe(8)
    machine.advance(1)
    expect([machine.load(ALL), machine.load(RIS), machine.line(39).level]).toEqual([0, 8, true])
  })

  test('is let go after a restore, and other lines keep their levels', () => {
    const { gpio, machine } = board()
    gpio.setInput(5, true)
    gpio.press(3)
    machine.store(IBE, 8)
    machine.store(IE, 8)
    machine.advance(4e7)
    const other = board()
    other.machine.time = machine.time
    other.gpio.restore(JSON.parse(JSON.stringify(gpio.save())))
    for (const each of [machine, other.machine]) {
      each.advance(6e7)
      expect([each.load(ALL), each.line(39).level]).toEqual([0x20, true])
    }
    expect(JSON.stringify(other.gpio.save())).toBe(JSON.stringify(gpio.save()))
  })
})

test('a reset puts the registers back and leaves the board’s levels', () => {
  const { gpio, machine } = board()
  gpio.setInput(5, true)
  for (const register of [DIR, IS, IBE, IEV, IE, BASE + 0x420]) machine.store(register, 0x1f)
  gpio.reset()
  for (const register of [DIR, IS, IBE, IEV, IE, BASE + 0x420]) expect(machine.load(register)).toBe(0)
  expect([machine.load(ALL), machine.load(RIS), machine.line(39).level]).toEqual([0x20, 0, false])
})
