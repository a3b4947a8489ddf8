// Where capabilities lie and how they are linked (PCI Local Bus Specification 3.0, §6.7; PCI Express 3.0, §7.9).
import fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import { PciCapabilities } from '../src/host/pci-capabilities.ts'
import type { PciFunctionOptions } from '../src/index.ts'

const NO_OPTIONS = {} as PciFunctionOptions
const body = (bytes: number, fill: number): Uint8Array => new Uint8Array(bytes).fill(fill)

/** The capabilities of a configuration space, as software finds them: ID and place. */
function plainList(config: Uint8Array): [id: number, at: number][] {
  const found: [number, number][] = []
  if ((config[6]! & 0x10) === 0) return found
  for (let at = config[0x34]!; at !== 0; at = config[at + 1]!) found.push([config[at]!, at])
  return found
}

function extendedList(config: Uint8Array): [id: number, version: number, at: number][] {
  const found: [number, number, number][] = []
  const view = new DataView(config.buffer)
  for (let at = 0x100; at !== 0; at = view.getUint32(at, true) >>> 20) {
    const header = view.getUint32(at, true)
    found.push([header & 0xffff, (header >>> 16) & 15, at])
  }
  return found
}

describe('capabilities without a place', () => {
  test.each([
    { extended: false, first: 0x40, end: 0x100, header: 2 },
    { extended: true, first: 0x100, end: 0x1000, header: 4 },
  ])(
    'lie in the first gap that has room, up to the last byte (extended: $extended)',
    ({ extended, first, end, header }) => {
      const sizes = fc.array(fc.integer({ min: 0, max: extended ? 700 : 60 }), { maxLength: 40, size: 'max' })
      const registers = fc.array(fc.integer({ min: first / 4, max: end / 4 - 1 }), { maxLength: 4 })
      fc.assert(
        fc.property(sizes, registers, (bodies, own) => {
          const writable = own.map((register) => [4 * register, 1] as const)
          const placed = new PciCapabilities('card', 4096, { writable } as unknown as PciFunctionOptions)
          const taken = new Set(own)
          for (const [i, size] of bodies.entries()) {
            const longs = Math.ceil((header + size) / 4)
            let at = first / 4
            for (let free = 0; free < longs && at + free < end / 4;) {
              if (taken.has(at + free)) [at, free] = [at + free + 1, 0]
              else free++
            }
            const add = () => placed.add(0x10 + i, body(size, 0xa0 + i), undefined, extended ? { version: 1 } : {})
            if (at + longs > end / 4) {
              expect(add).toThrow(expect.objectContaining({ code: 'ERR_NO_SPACE' }))
              continue
            }
            expect(add()).toBe(4 * at)
            for (let k = 0; k < longs; k++) taken.add(at + k)
          }
        }),
        { numRuns: 40 },
      )
    },
  )

  test('fill the space exactly, and not more', () => {
    const placed = new PciCapabilities('card', 256, NO_OPTIONS)
    expect(placed.add(1, body(0xc0 - 2, 1), undefined)).toBe(0x40)
    expect(() => placed.add(2, body(0, 1), undefined)).toThrow(
      'card: no room for a capability of 2 bytes in configuration space',
    )
    const large = new PciCapabilities('card', 256, NO_OPTIONS)
    expect(() => large.add(1, body(0xc0 - 1, 1), undefined)).toThrow(expect.objectContaining({ code: 'ERR_NO_SPACE' }))
    // Without the large space there is no room for extended ones.
    expect(() => large.add(1, body(1, 1), undefined, { version: 1 })).toThrow(
      expect.objectContaining({ code: 'ERR_NO_SPACE' }),
    )
  })
})

describe('a capability with a place', () => {
  test.each([
    { at: 0x40, bytes: 2, fits: true },
    { at: 0x3c, bytes: 2, fits: false },
    { at: 0x41, bytes: 2, fits: false },
    { at: 0x42, bytes: 2, fits: false },
    { at: 0xfc, bytes: 4, fits: true },
    { at: 0xfc, bytes: 5, fits: false },
    { at: 0x100, bytes: 4, version: 2, fits: true },
    { at: 0xfc, bytes: 4, version: 2, fits: false },
    { at: 0xffc, bytes: 4, version: 2, fits: true },
    { at: 0xffc, bytes: 5, version: 2, fits: false },
  ])('$at with $bytes bytes, version $version: $fits', ({ at, bytes, version, fits }) => {
    const header = version === undefined ? 2 : 4
    const add = () =>
      new PciCapabilities('card', 4096, NO_OPTIONS).add(9, body(bytes - header, 1), undefined, { at, version })
    if (fits) expect(add()).toBe(at)
    else expect(add).toThrow(expect.objectContaining({ code: 'ERR_INVALID' }))
  })

  test('takes whole registers, and none that another one has', () => {
    const placed = new PciCapabilities('card', 256, { writable: [[0x80, 1]] } as unknown as PciFunctionOptions)
    placed.add(1, body(3, 1), undefined, { at: 0x50 })
    const tries = [0x4c, 0x50, 0x54, 0x58, 0x7c, 0x80, 0x84].map((at) => {
      try {
        placed.add(2, body(3, 1), undefined, { at })
        return 'placed'
      } catch (error) {
        return String(error)
      }
    })
    expect(tries.map((each) => /register (0x\w+)/.exec(each)?.[1] ?? each)).toEqual([
      ...['0x50', '0x50', '0x54', 'placed'],
      ...['0x80', '0x80', 'placed'],
    ])
    expect([placed.find(1), placed.find(2), placed.find(3)]).toEqual([0x50, 0x58, -1])
  })
})

test('the lists are those that software walks, with their bodies and what may be written', () => {
  const placed = new PciCapabilities('card', 4096, NO_OPTIONS)
  placed.add(0x05, body(10, 0x11), body(10, 0xf1))
  placed.add(0x11, body(6, 0x22), undefined, { at: 0x80 })
  placed.add(0x09, body(2, 0x33), body(2, 0xf3))
  placed.add(0x1234, body(8, 0x44), body(8, 0xf4), { at: 0x300, version: 0x1f })
  placed.add(0x0001, body(4, 0x55), undefined, { version: 2 })
  const config = new Uint8Array(4096)
  config[6] = 0x20
  placed.writeTo(config)
  expect(config[6]).toBe(0x30)
  expect(plainList(config)).toEqual([
    [0x05, 0x40],
    [0x11, 0x80],
    [0x09, 0x4c],
  ])
  expect(extendedList(config)).toEqual([
    [1, 2, 0x100],
    [0x1234, 15, 0x300],
  ])
  const expected = new Uint8Array(4096)
  for (const [at, bytes, fill] of [
    [0x42, 10, 0x11],
    [0x82, 6, 0x22],
    [0x4e, 2, 0x33],
    [0x304, 8, 0x44],
    [0x104, 4, 0x55],
  ] as const) {
    expected.fill(fill, at, at + bytes)
    expect(config.subarray(at, at + bytes)).toEqual(body(bytes, fill))
    config.fill(0, at, at + bytes)
  }
  expect(config.reduce((count, byte) => count + (byte === 0 ? 0 : 1), 0)).toBe(
    // Status, pointer, three IDs, two links; two headers: an ID of one byte and of two, versions, and a link of one byte.
    1 + 1 + 3 + 2 + (1 + 1 + 1) + (2 + 1),
  )
  const mask = new Uint8Array(4096)
  placed.writableTo(mask, new Uint8Array(mask.length))
  const writable = new Uint8Array(4096)
  writable.fill(0xf1, 0x42, 0x4c)
  writable.fill(0xf3, 0x4e, 0x50)
  writable.fill(0xf4, 0x304, 0x30c)
  expect(mask).toEqual(writable)
  const none = new Uint8Array(4096)
  new PciCapabilities('card', 4096, NO_OPTIONS).writeTo(none)
  expect(none).toEqual(new Uint8Array(4096))
})
