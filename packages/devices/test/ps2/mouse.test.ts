import type { InputEvent } from '@retrap/device'
import fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import { BYTE_NS, hexBytes, Ps2Machine } from '../support/ps2-machine.ts'

const MS = 1e6
const WHEEL = [0xf3, 200, 0xf3, 100, 0xf3, 80]
const FIVE_BUTTONS = [0xf3, 200, 0xf3, 200, 0xf3, 80]

const move = (dx: number, dy: number): InputEvent => ({ kind: 'relative', dx, dy })
const button = (number: number, down: boolean): InputEvent => ({ kind: 'button', button: number, down })
const wheel = (vertical: number): InputEvent => ({ kind: 'wheel', vertical, horizontal: 0 })

describe('commands (Synaptics PS/2 TouchPad Interfacing Guide, "Command set")', () => {
  test.each([
    { name: 'identify', bytes: [0xf2], answer: 'FA 00' },
    { name: 'status', bytes: [0xe9], answer: 'FA 00 02 64' },
    { name: 'what the status tells', bytes: [0xe8, 3, 0xf3, 200, 0xe7, 0xf4, 0xf0, 0xe9], end: 'FA 70 03 C8' },
    { name: 'defaults', bytes: [0xe8, 3, 0xf3, 200, 0xe7, 0xf4, 0xf6, 0xe9], end: 'FA 00 02 64' },
    { name: 'read data', bytes: [0xf0, 0xeb], answer: 'FA FA 08 00 00' },
    { name: 'wrap mode', bytes: [0xee, 0xf2, 0x55, 0xec, 0xf2], answer: 'FA F2 55 FA FA 00' },
    { name: 'no command, twice', bytes: [0xe1, 0xe1, 0xe1], answer: 'FE FC FE' },
    {
      name: 'a rate that there is not, and one that there is',
      bytes: [0xf3, 99, 60, 0xe9],
      answer: 'FA FE FA FA 00 02 3C',
    },
    { name: 'a resolution that there is not, twice', bytes: [0xe8, 9, 9, 0xf2], answer: 'FA FE FC FA 00' },
    { name: 'send again', bytes: [0xe9, 0xfe], answer: 'FA 00 02 64 FA 00 02 64' },
    { name: 'the wheel', bytes: [...WHEEL, 0xf2], end: 'FA 03' },
    { name: 'five buttons', bytes: [...FIVE_BUTTONS, 0xf2], end: 'FA 04' },
    { name: 'the wheel, then five buttons', bytes: [...WHEEL, ...FIVE_BUTTONS, 0xf2], end: 'FA 04' },
  ])('$name', ({ bytes, answer, end }) => {
    const found = hexBytes(new Ps2Machine().mouse(...bytes))
    if (answer !== undefined) expect(found).toBe(answer)
    else expect(found.slice(-end.length)).toBe(end)
  })

  test('a reset passes its test after 5 ms, tells its identity, and is a plain mouse again', () => {
    const machine = new Ps2Machine()
    machine.mouse(...WHEEL)
    expect(hexBytes(machine.mouse(0xff))).toBe('FA')
    machine.machine.advance(5 * MS)
    expect(hexBytes(machine.read())).toBe('AA 00')
    expect(hexBytes(machine.mouse(0xf2))).toBe('FA 00')
  })

  test('its bytes come on interrupt 12, and the keyboard goes first', () => {
    const machine = new Ps2Machine()
    machine.controller(0xd4, 0xf2)
    machine.press(0x04)
    machine.machine.advance(BYTE_NS)
    expect([machine.fromMouse, machine.machine.in(0x60)]).toEqual([false, 0x1c])
    machine.machine.advance(BYTE_NS)
    expect([machine.fromMouse, machine.machine.line(12).level]).toEqual([true, true])
    expect(machine.machine.in(0x60)).toBe(0xfa)
    expect(machine.machine.line(12).level).toBe(false)
  })
})

describe('reports', () => {
  const streaming = (...bytes: readonly number[]): Ps2Machine => {
    const machine = new Ps2Machine()
    machine.mouse(...bytes, 0xf4)
    return machine
  }

  test.each([
    { what: 'right and down', setup: [], events: [move(5, 3)], report: '28 05 FD' },
    { what: 'left and up', setup: [], events: [move(-5, -3)], report: '18 FB 03' },
    { what: 'left button', setup: [], events: [button(1, true)], report: '09 00 00' },
    { what: 'right button', setup: [], events: [button(2, true)], report: '0A 00 00' },
    { what: 'middle button', setup: [], events: [button(3, true)], report: '0C 00 00' },
    { what: 'far', setup: [], events: [move(600, 0)], report: '08 FF 00 08 FF 00 08 5A 00' },
    { what: 'scaled', setup: [0xe7], events: [move(4, -7)], report: '08 06 0E' },
    { what: 'wheel away', setup: WHEEL, events: [wheel(1)], report: '08 00 00 FF' },
    { what: 'wheel towards, and far', setup: WHEEL, events: [wheel(-9)], report: '08 00 00 07 08 00 00 02' },
    {
      what: 'fourth button and wheel',
      setup: FIVE_BUTTONS,
      events: [wheel(1), button(4, true)],
      report: '08 00 00 0F 08 00 00 10',
    },
    { what: 'fifth button', setup: FIVE_BUTTONS, events: [button(5, true)], report: '08 00 00 20' },
    {
      what: 'a place, which is not for it',
      setup: [],
      events: [{ kind: 'absolute', x: 1, y: 1 } as const],
      report: '',
    },
  ])('$what: $report', ({ setup, events, report }) => {
    const machine = streaming(...setup)
    machine.movements.send(...events)
    const bytes: number[] = []
    for (let i = 0; i < 5; i++) {
      bytes.push(...machine.read())
      machine.machine.advance(100 * MS)
    }
    expect(hexBytes(bytes)).toBe(report)
  })

  test('there are no more of them than the rate allows, and none is lost', () => {
    const machine = streaming(0xf3, 20)
    const start = machine.machine.time
    const reports: number[][] = []
    for (let ms = 0; ms < 1000; ms++) {
      machine.movements.send(move(1, 0))
      machine.machine.advance(MS)
      const bytes = machine.read(3)
      if (bytes.length > 0) reports.push(bytes)
    }
    const seconds = (machine.machine.time - start) / 1e9
    expect(reports.length / seconds).toBeGreaterThan(19)
    expect(reports.length / seconds).toBeLessThan(21)
    const last = machine.read()
    const total = [...reports, last].reduce((sum, [, dx = 0]) => sum + dx, 0)
    machine.machine.advance(100 * MS)
    expect(total + (machine.read()[1] ?? 0)).toBe(1000)
  })

  test('a click between two samples is two reports', () => {
    const machine = streaming()
    machine.movements.send(button(1, true), button(1, false), move(1, 0))
    expect(hexBytes(machine.read())).toBe('09 00 00')
    expect(machine.movements.waiting.length).toBe(1)
    machine.machine.advance(10 * MS)
    expect(hexBytes(machine.read())).toBe('08 00 00')
    machine.machine.advance(10 * MS)
    expect(hexBytes(machine.read())).toBe('08 01 00')
  })

  test('in remote mode there are none but those that the guest asks for', () => {
    const machine = streaming(0xf0)
    machine.movements.send(move(2, 0), button(1, true), button(1, false), move(2, 0))
    expect(machine.read()).toEqual([])
    expect(hexBytes(machine.mouse(0xeb, 0xeb))).toBe('FA 08 04 00 FA 08 00 00')
  })

  test('a guest that drives the pointer is known', () => {
    const machine = streaming()
    machine.mouse(0xf5)
    expect(machine.movements.said).toEqual(['pointer relative', 'pointer none'])
  })

  test('no event is taken between quiesce and resume', () => {
    const machine = streaming()
    machine.i8042.quiesce()
    machine.movements.send(move(1, 0))
    expect(machine.read()).toEqual([])
    machine.i8042.resume()
    expect(hexBytes(machine.read())).toBe('08 01 00')
  })
})

test('reports add up to the movements, with the buttons in their order', () => {
  const event = fc.oneof(
    fc.record({
      kind: fc.constant('relative' as const),
      dx: fc.integer({ min: -900, max: 900 }),
      dy: fc.integer({ min: -900, max: 900 }),
    }),
    fc.record({
      kind: fc.constant('wheel' as const),
      vertical: fc.integer({ min: -20, max: 20 }),
      horizontal: fc.constant(0),
    }),
    fc.record({ kind: fc.constant('button' as const), button: fc.integer({ min: 1, max: 5 }), down: fc.boolean() }),
  )
  fc.assert(
    fc.property(fc.array(fc.record({ event, reads: fc.nat(9) }), { maxLength: 40, size: 'max' }), (steps) => {
      const machine = new Ps2Machine()
      machine.mouse(...FIVE_BUTTONS, 0xf4)
      const expected = { dx: 0, dy: 0, wheel: 0, buttons: [0] }
      const bytes: number[] = []
      for (const { event: given, reads } of steps) {
        machine.movements.send(given)
        if (given.kind === 'relative') {
          expected.dx += given.dx
          expected.dy += given.dy
        } else if (given.kind === 'wheel') expected.wheel += given.vertical
        else {
          const bit = 1 << (given.button - 1)
          const before = expected.buttons.at(-1)!
          const after = given.down ? before | bit : before & ~bit
          if (after !== before) expected.buttons.push(after)
        }
        bytes.push(...machine.read(reads))
      }
      for (let i = 0; i < 2000 && bytes.length < 4 * 2000; i++) {
        const more = machine.read(8)
        bytes.push(...more)
        if (more.length === 0) {
          machine.machine.advance(20 * MS)
          const late = machine.read(4)
          if (late.length === 0) break
          bytes.push(...late)
        }
      }
      const found = { dx: 0, dy: 0, wheel: 0, buttons: [0] }
      for (let at = 0; at < bytes.length; at += 4) {
        const [first, x, y, fourth] = bytes.slice(at, at + 4) as [number, number, number, number]
        expect(first & 0xc8).toBe(0x08)
        found.dx += x - ((first & 0x10) << 4)
        found.dy -= y - ((first & 0x20) << 3)
        const detents = fourth & 0x0f
        found.wheel -= detents < 8 ? detents : detents - 16
        const buttons = (first & 7) | ((fourth & 0x30) >> 1)
        if (buttons !== found.buttons.at(-1)) found.buttons.push(buttons)
      }
      expect(found).toEqual(expected)
    }),
    { numRuns: 100 },
  )
})
