/**
 * Report descriptors, read as a host reads them, and the bounds of what reports hold. Source: USB Device Class Definition for
 * Human Interface Devices 1.11, sections 6.2.2 and 7.2; usages: HID Usage Tables 1.4.
 */
import type { InputEvent } from '@retrap/device'
import { describe, expect, test } from 'vitest'
import { UsbKeyboard, UsbPointer } from '../src/index.ts'

const ignored = { connect: () => {}, ready: () => {} }
const make = {
  keyboard: () => new UsbKeyboard({ input: ignored }),
  mouse: () => new UsbPointer({ kind: 'mouse', input: ignored }),
  tablet: () => new UsbPointer({ kind: 'tablet', input: ignored }),
}
const used = <Made extends UsbKeyboard | UsbPointer>(device: Made): Made => {
  device.configured(1)
  return device
}
const nothing = new Uint8Array(0)

/** The fields of a report descriptor, one a line, with the collections around them. */
function fieldsOf(bytes: Uint8Array): string[] {
  const lines: string[] = []
  const global = { page: 0, least: 0, most: 0, physicalLeast: 0, physicalMost: 0, bits: 0, count: 0 }
  const GLOBALS: Readonly<Record<number, keyof typeof global>> = {
    0x04: 'page',
    0x14: 'least',
    0x24: 'most',
    0x34: 'physicalLeast',
    0x44: 'physicalMost',
    0x74: 'bits',
    0x94: 'count',
  }
  let usages: string[] = []
  let indent = ''
  for (let at = 0; at < bytes.length;) {
    const size = [0, 1, 2, 4][bytes[at]! & 3]!
    const item = bytes[at]! & 0xfc
    const data = bytes.subarray(at + 1, at + 1 + size)
    const plain = data.reduceRight((high, byte) => high * 256 + byte, 0)
    const name = GLOBALS[item]
    if (name !== undefined) {
      const isSigned = name !== 'page' && name !== 'bits' && name !== 'count'
      global[name] = isSigned && data.length > 0 && data.at(-1)! >= 0x80 ? plain - 256 ** size : plain
    } else if (item === 0x08) usages.push(plain.toString(16))
    else if (item === 0x18) usages.push(`${plain.toString(16)}-`)
    else if (item === 0x28) usages[usages.length - 1] += plain.toString(16)
    else if (item === 0xa0) {
      lines.push(`${indent}collection ${plain} of ${global.page.toString(16)}:${usages.join(' ')}`)
      indent += ' '
      usages = []
    } else if (item === 0xc0) indent = indent.slice(1)
    else if (item === 0x80 || item === 0x90) {
      const kind = `${indent}${item === 0x80 ? 'input' : 'output'} ${global.count} × ${global.bits}`
      const { page, least, most, physicalLeast, physicalMost } = global
      const physical = physicalLeast === 0 && physicalMost === 0 ? '' : `, as ${physicalLeast} to ${physicalMost}`
      const how = `${(plain & 2) === 0 ? 'array' : 'variable'}${(plain & 4) === 0 ? '' : ' relative'}`
      lines.push(
        (plain & 1) === 0
          ? `${kind} ${how} ${page.toString(16)}:${usages.join(' ')} ${least} to ${most}${physical}`
          : `${kind} constant`,
      )
      usages = []
    } else throw new Error(`an item ${item}`)
    at += 1 + size
  }
  expect(indent).toBe('')
  return lines
}

const FIELDS = {
  keyboard: [
    'collection 1 of 1:6',
    ' input 8 × 1 variable 7:e0-e7 0 to 1',
    ' input 1 × 8 constant',
    ' output 5 × 1 variable 8:1-5 0 to 1',
    ' output 1 × 3 constant',
    ' input 6 × 8 array 7:0-ff 0 to 255',
  ],
  mouse: [
    'collection 1 of 1:2',
    ' collection 0 of 1:1',
    '  input 5 × 1 variable 9:1-5 0 to 1',
    '  input 1 × 3 constant',
    '  input 3 × 8 variable relative 1:30 31 38 -127 to 127',
    '  input 1 × 8 variable relative c:238 -127 to 127',
  ],
  tablet: [
    'collection 1 of 1:2',
    ' collection 0 of 1:1',
    '  input 5 × 1 variable 9:1-5 0 to 1',
    '  input 1 × 3 constant',
    '  input 2 × 16 variable 1:30 31 0 to 32767, as 0 to 32767',
    '  input 1 × 8 variable relative 1:38 -127 to 127',
    '  input 1 × 8 variable relative c:238 -127 to 127',
  ],
}

describe.each(['keyboard', 'mouse', 'tablet'] as const)('a %s', (kind) => {
  const ask = (type: number, request: number, value: number, data = nothing) =>
    make[kind]().control({ type, request, value, index: 0, length: 255 }, data)

  test('says which fields its reports have', () => {
    const descriptor = ask(0x81, 6, 0x2200) as Uint8Array
    expect(fieldsOf(descriptor)).toEqual(FIELDS[kind])
    // HID 1.11 for no country, with one descriptor of its own.
    expect([...(ask(0x81, 6, 0x2100) as Uint8Array)]).toEqual([9, 0x21, 0x11, 1, 0, 1, 0x22, descriptor.length, 0])
    const sizes = FIELDS[kind].flatMap((line) => [...line.matchAll(/input (\d+) × (\d+)/g)])
    const bits = sizes.reduce((sum, [, count, size]) => sum + Number(count) * Number(size), 0)
    expect((ask(0xa1, 1, 0x100) as Uint8Array).length).toBe(bits / 8)
  })

  test('answers the requests of its class alone', () => {
    const isBoot = kind !== 'tablet'
    const answers = [
      ['GET_DESCRIPTOR of another type', ask(0x81, 6, 0x2300)],
      ['another request of the standard', ask(0x81, 5, 0x2200)],
      ['GET_REPORT of an output', ask(0xa1, 1, 0x200)],
      ['GET_REPORT of a feature', ask(0xa1, 1, 0x300)],
      ['SET_REPORT of an input', ask(0x21, 9, 0x100, Uint8Array.of(1))],
      ['SET_PROTOCOL 2', ask(0x21, 0x0b, 2)],
      ['GET_REPORT of the device', ask(0xa0, 1, 0x100)],
      ['SET_IDLE as of a vendor', ask(0x41, 0x0a, 0)],
      ['an unknown request', ask(0x21, 0x0c, 0)],
    ]
    expect(answers.filter(([, answer]) => answer !== 'stall')).toEqual([])
    expect(ask(0xa1, 3, 0)).toEqual(isBoot ? Uint8Array.of(1) : 'stall')
    for (const protocol of [0, 1]) expect(ask(0x21, 0x0b, protocol)).toEqual(isBoot ? nothing : 'stall')
    expect(ask(0x21, 9, 0x200, Uint8Array.of(1))).toEqual(kind === 'keyboard' ? nothing : 'stall')
    const device = make[kind]()
    const request = (type: number, code: number, value: number) =>
      device.control({ type, request: code, value, index: 0, length: 1 }, nothing)
    expect(request(0x21, 0x0a, 0x7d00)).toEqual(nothing)
    expect(request(0xa1, 2, 0)).toEqual(Uint8Array.of(0x7d))
    device.reset()
    expect(request(0xa1, 2, 0)).toEqual(Uint8Array.of(0))
  })

  test('is an interface of class 3, with the boot protocol or without', () => {
    const { interfaces, product, serialNumber } = make[kind]().description
    const [subclass, protocol] = { keyboard: [1, 1], mouse: [1, 2], tablet: [0, 0] }[kind]
    const interval = kind === 'keyboard' ? 8 : 4
    expect(interfaces).toMatchObject([
      {
        ...{ interfaceClass: 3, subclass, protocol },
        endpoints: [{ address: 0x81, type: 'interrupt', maximumPacketBytes: 8, interval }],
      },
    ])
    expect([product?.toLowerCase(), serialNumber]).toEqual([`usb ${kind}`, undefined])
  })
})

/** All reports of some events. */
function reports(device: UsbKeyboard | UsbPointer, events: readonly InputEvent[]): number[][] {
  expect(device.input(events)).toBe(events.length)
  const found: number[][] = []
  for (let report = device.in(0x81, 8); report !== 'nak'; report = device.in(0x81, 8)) {
    expect(report).toBeInstanceOf(Uint8Array)
    found.push([...(report as Uint8Array)])
  }
  return found
}

test('keys have usages from 4 to 255; those from E0 to E7 are bits', () => {
  const down = (usage: number): number[][] => reports(used(make.keyboard()), [{ kind: 'key', usage, down: true }])
  for (const usage of [-1, 0, 1, 3, 3.5, 4.5, 256, 1000, NaN, Infinity]) expect(down(usage)).toEqual([])
  for (const usage of [4, 5, 0x7f, 0xdf, 0xe8, 0xff]) expect(down(usage)).toEqual([[0, 0, usage, 0, 0, 0, 0, 0]])
  for (let bit = 0; bit < 8; bit++) expect(down(0xe0 + bit)).toEqual([[1 << bit, 0, 0, 0, 0, 0, 0, 0]])
})

test('lamps are told by their bits, and go out at a reset', () => {
  for (let leds = 0; leds < 32; leds++) {
    const told: unknown[] = []
    const input = { ...ignored, setLeds: (lamps: object) => told.push(lamps) }
    const keyboard = new UsbKeyboard({ input })
    keyboard.control({ type: 0x21, request: 9, value: 0x200, index: 0, length: 1 }, Uint8Array.of(leds))
    const [numLock, capsLock, scrollLock] = [1, 2, 4].map((bit) => (leds & bit) !== 0)
    expect(told).toEqual([{ numLock, capsLock, scrollLock }])
    keyboard.reset()
    const off = { numLock: false, capsLock: false, scrollLock: false }
    expect(told.slice(1)).toEqual(leds === 0 ? [] : [off])
  }
})

describe('a pointer', () => {
  test('has buttons 1 to 5', () => {
    for (const kind of ['mouse', 'tablet'] as const) {
      const still = kind === 'mouse' ? [0, 0, 0, 0] : [0, 0, 0, 0, 0, 0]
      for (let button = -1; button <= 7; button++) {
        const events: InputEvent[] = [
          { kind: 'button', button, down: true },
          { kind: 'button', button, down: false },
        ]
        const isOne = button >= 1 && button <= 5
        expect(reports(used(make[kind]()), events)).toEqual(
          isOne
            ? [
                [1 << (button - 1), ...still],
                [0, ...still],
              ]
            : [],
        )
      }
      const all = Array.from({ length: 5 }, (_, i): InputEvent => ({ kind: 'button', button: i + 1, down: true }))
      expect(reports(used(make[kind]()), all).map(([buttons]) => buttons)).toEqual([1, 3, 7, 15, 31])
    }
  })

  test.each([
    [0, [0]],
    [1, [1]],
    [127, [127]],
    [128, [127, 1]],
    [255, [127, 127, 1]],
    [-1, [-1]],
    [-127, [-127]],
    [-128, [-127, -1]],
    [0.6, [1]],
    [-0.4, [0]],
  ])('moves %d by steps of at most 127', (distance, steps) => {
    const column = (at: number, event: InputEvent, kind: 'mouse' | 'tablet' = 'mouse') =>
      reports(used(make[kind]()), [event]).map((report) => (report[at]! << 24) >> 24)
    expect(column(1, { kind: 'relative', dx: distance, dy: 0 })).toEqual(steps)
    expect(column(2, { kind: 'relative', dx: 0, dy: distance })).toEqual(steps)
    expect(column(3, { kind: 'wheel', vertical: distance, horizontal: 0 })).toEqual(steps)
    expect(column(4, { kind: 'wheel', vertical: 0, horizontal: distance })).toEqual(steps)
    expect(column(5, { kind: 'wheel', vertical: distance, horizontal: 0 }, 'tablet')).toEqual(steps)
    expect(column(6, { kind: 'wheel', vertical: 0, horizontal: distance }, 'tablet')).toEqual(steps)
  })

  test.each([
    [0, 0],
    [1.4, 1],
    [0x7fff, 0x7fff],
    [0x8000, 0x7fff],
    [-1, 0],
    [NaN, 0],
    [Infinity, 0x7fff],
  ])('is at place %d as at %d', (given, place) => {
    const at = (x: number, y: number) => reports(used(make.tablet()), [{ kind: 'absolute', x, y }])
    expect(at(given, 0)).toEqual([[0, place & 0xff, place >>> 8, 0, 0, 0, 0]])
    expect(at(0, given)).toEqual([[0, 0, 0, place & 0xff, place >>> 8, 0, 0]])
  })

  test('joins what has the same buttons, and has the wheels of all of it', () => {
    const events: InputEvent[] = [
      { kind: 'wheel', vertical: 1, horizontal: 2 },
      { kind: 'relative', dx: 3, dy: 4 },
      { kind: 'wheel', vertical: -5, horizontal: 6 },
    ]
    expect(reports(used(make.mouse()), events)).toEqual([[0, 3, 4, 252, 8]])
    const places = events.map((event): InputEvent =>
      event.kind === 'relative' ? { kind: 'absolute', x: 3, y: 4 } : event,
    )
    expect(reports(used(make.tablet()), places)).toEqual([[0, 3, 0, 4, 0, 252, 8]])
    // Each takes its own kind of movement.
    expect(reports(used(make.mouse()), [{ kind: 'absolute', x: 1, y: 1 }])).toEqual([])
    expect(reports(used(make.tablet()), [{ kind: 'relative', dx: 1, dy: 1 }])).toEqual([])
  })
})

test.each(['keyboard', 'mouse', 'tablet'] as const)(
  'of a %s 32 reports wait, and it asks for more when there is none',
  (kind) => {
    let asked = 0
    const input = { ...ignored, ready: () => void asked++ }
    const device = used(kind === 'keyboard' ? new UsbKeyboard({ input }) : new UsbPointer({ kind, input }))
    expect(asked).toBe(1)
    const events = Array.from({ length: 40 }, (_, i): InputEvent => {
      const down = i % 2 === 0
      return kind === 'keyboard' ? { kind: 'key', usage: 4, down } : { kind: 'button', button: 1, down }
    })
    expect(device.input(events)).toBe(32)
    expect(device.input(events)).toBe(0)
    for (let i = 0; i < 32; i++) {
      expect(asked).toBe(1)
      expect(device.in(0x81, 3)).toHaveLength(3)
    }
    expect([device.in(0x81, 8), asked]).toEqual(['nak', 2])
    device.input(events.slice(0, 2))
    const copy = used(make[kind]())
    copy.restore(JSON.parse(JSON.stringify(device.save())))
    expect(reports(copy, [])).toEqual(reports(device, []))
    device.input(events.slice(0, 1))
    device.reset()
    expect(device.in(0x81, 8)).toBe('nak')
  },
)
