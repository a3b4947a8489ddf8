/** What the types of a guest's map are to a device model. Sources: Xen's p2m-common.h and arch/arm/include/asm/p2m.h */
import { describe, expect, test, vi } from 'vitest'
import { GuestFrame, guestMapOf, type FrameKind } from '../src/index.ts'

/** By format: the kind of each type that is no hole. */
const KINDS: Readonly<Record<'ept' | 'lpae', Readonly<Record<number, FrameKind>>>> = {
  ept: { 0: 'ram', 2: 'ram', 3: 'rom', 4: 'mmio', 5: 'mmio', 15: 'ram' },
  lpae: { 1: 'ram', 2: 'rom', 3: 'mmio', 4: 'mmio', 5: 'mmio', 12: 'ram' },
}

describe.each(['ept', 'lpae'] as const)('a map of format %s', (format) => {
  test.each(Array.from({ length: 17 }, (_, type) => type))('a frame of type %i', (type) => {
    const map = guestMapOf({
      ...(format === 'lpae' && { format }),
      lookup: (_gfn, into) => {
        Object.assign(into, { mfn: 77, type, order: 0, rights: 7 })
        return type
      },
    })
    const frame = new GuestFrame()
    map.lookup(5, frame)
    const kind = KINDS[format][type] ?? 'hole'
    const mfn = kind === 'ram' || kind === 'rom' ? 77 : -1
    expect({ ...frame }).toEqual({ kind, mfn, run: 1 })
  })
})

test.each([
  [0, 0, 1],
  [3, 0, 1],
  [0, 9, 512],
  [1, 9, 511],
  [511, 9, 1],
  [512, 9, 512],
  [0x4_0001, 18, 0x3_ffff],
])('from frame %i on, a leaf of order %i has %i frames', (gfn, order, run) => {
  const map = guestMapOf({
    lookup: (_gfn, into) => {
      Object.assign(into, { mfn: 1, type: 0, order, rights: 7 })
      return 0
    },
  })
  const frame = new GuestFrame()
  map.lookup(gfn, frame)
  expect(frame.run).toBe(run)
})

test('nothing is known of a frame that was not looked up', () => {
  expect({ ...new GuestFrame() }).toEqual({ kind: 'hole', mfn: -1, run: 1 })
})

test('a map tells of writes only whom it is told to tell', () => {
  const p2m = { lookup: () => 0 }
  expect(Object.keys(guestMapOf(p2m))).toEqual(['lookup'])
  const dirtied = vi.fn<(gfn: number, count: number) => void>()
  const told = guestMapOf(p2m, dirtied)
  told.dirtied?.(3, 4)
  expect(dirtied.mock.calls).toEqual([[3, 4]])
  expect(Object.keys(told)).toEqual(['lookup', 'dirtied'])
  expect(Object.keys(guestMapOf(p2m, undefined, dirtied))).toEqual(['lookup', 'writing'])
})
