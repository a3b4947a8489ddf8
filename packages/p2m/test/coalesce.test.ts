import { MachineMemory } from '@retrap/memory'
import { beforeEach, describe, expect, test } from 'vitest'
import { INVALID_MFN, P2m, P2mEntry, P2mError, P2mType } from '../src/index.ts'
import { entryAt } from './support/entries.ts'

const { RAM_RW, RAM_RO, INVALID, MMIO_DM } = P2mType
let memory: MachineMemory
let p2m: P2m
let released: number

beforeEach(() => {
  // Room for the names of 1 GiB of frames, which nobody touches.
  memory = MachineMemory.create({ bytes: 2100 * 2 ** 20 })
  p2m = P2m.create(memory)
  released = 0
  p2m.onRelease(() => released++)
})

const orderAt = (gfn: number): number => entryAt(p2m, gfn).order

describe('small leaves', () => {
  test('of 1 GiB become one leaf again, with every table given back and nothing released', () => {
    p2m.insert(0x4_0000, 0x4_0000, 18, RAM_RW)
    const before = p2m.tableBytes
    for (let gfn = 0x4_0000; gfn < 0x8_0000; gfn += 0x200) p2m.shatter(gfn)
    expect(p2m.tableBytes - before).toBe(513 * 4096)
    expect(p2m.coalesce()).toBe(513)
    expect([orderAt(0x5_4321), p2m.translate(0x5432_1123), p2m.tableBytes, released]).toEqual([
      18,
      0x5432_1123,
      before,
      0,
    ])
  })

  test.each([
    { why: 'of another type', change: () => p2m.setType(0x234, 1, RAM_RO) },
    { why: 'that is a hole', change: () => p2m.remove(0x234, 0x434) },
    { why: 'elsewhere', change: () => p2m.insert(0x234, 0x1000, 0, RAM_RW) },
    { why: 'elsewhere, the first', change: () => p2m.insert(0x200, 0x1000, 0, RAM_RW) },
  ])('with one $why stay small', ({ change }) => {
    p2m.insert(0x200, 0x400, 9, RAM_RW)
    change()
    expect([p2m.coalesce(), orderAt(0x200)]).toEqual([0, 0])
  })

  test('whose machine frames are consecutive but not aligned stay small', () => {
    p2m.insertRange(0x200, 0x401, 0x200, RAM_RW)
    expect([p2m.coalesce(), orderAt(0x200)]).toEqual([0, 0])
  })

  test('without frames become one, of whatever type', () => {
    for (let gfn = 0x200; gfn < 0x400; gfn++) p2m.insert(gfn, INVALID_MFN, 0, INVALID)
    expect([p2m.coalesce(), orderAt(0x3ff)]).toEqual([1, 9])
    expect([...p2m.leaves()]).toEqual([{ gfn: 0x200, mfn: INVALID_MFN, type: INVALID, order: 9, rights: 0, access: 7 }])
  })

  test('outside the range that was asked for stay as they are', () => {
    p2m.insert(0x200, 0x400, 9, RAM_RW)
    p2m.insert(0x400, 0x600, 9, RAM_RW)
    p2m.shatter(0x200)
    p2m.shatter(0x400)
    expect([p2m.coalesce(0x400, 1), orderAt(0x200), orderAt(0x400)]).toEqual([1, 0, 9])
  })
})

test('tables of which nothing is left are freed, up to the root', () => {
  const { tableBytes } = p2m
  const free = memory.frames.freeFrames
  p2m.insert(2 ** 35, 0x400, 0, RAM_RW)
  p2m.insert(0x400, 0x401, 0, RAM_RW)
  expect(p2m.tableBytes - tableBytes).toBe(6 * 4096)
  p2m.remove(2 ** 35, 0x400)
  p2m.remove(0x400, 0x401)
  expect([p2m.coalesce(), p2m.tableBytes, memory.frames.freeFrames]).toEqual([6, tableBytes, free])
})

test('tables are freed only after the listeners have seen to the TLBs', () => {
  p2m.insert(0x200, 0x400, 9, RAM_RW)
  p2m.shatter(0x200)
  const free = memory.frames.freeFrames
  const seen: number[] = []
  p2m.onChange((gfn, count) => seen.push(gfn, count, memory.frames.freeFrames - free))
  p2m.coalesce()
  expect([seen, memory.frames.freeFrames - free]).toEqual([[0x200, 0x200, 0], 1])
})

test('breaking up 1 GiB to 4 KiB with a frame for one of its two tables leaves it whole (reference case 3)', () => {
  p2m.insert(0x4_0000, 0x4_0000, 18, RAM_RW)
  for (const order of [9, 0]) while (memory.frames.tryAllocate(order) >= 0);
  memory.frames.free(0x3_0000)
  const attempts = [
    () => p2m.shatter(0x4_1234),
    () => p2m.insert(0x4_1234, 0x1000, 0, RAM_RW),
    () => p2m.remove(0x4_1234, 0x4_1234),
    () => p2m.setType(0x4_1234, 1, RAM_RO),
  ]
  for (const attempt of attempts) {
    expect(attempt).toThrow(P2mError)
    expect([orderAt(0x4_1234), memory.frames.freeFrames, released]).toEqual([18, 1, 0])
  }
  p2m.shatter(0x4_1234, 9)
  expect([orderAt(0x4_1234), memory.frames.freeFrames]).toEqual([9, 0])
})

test('a range that ends where 2 MiB end leaves leaves of 2 MiB on both sides', () => {
  const memory = MachineMemory.create({ bytes: 32 << 20 })
  const p2m = P2m.create(memory)
  // Device memory needs no frames: a leaf of 1 GiB.
  p2m.insert(0, INVALID_MFN, 18, P2mType.MMIO_DM)
  p2m.insertRange(0x4_0000, INVALID_MFN, 0x4_0000, P2mType.INVALID)
  p2m.remove(0x4_0200, INVALID_MFN, 0x200)
  expect(p2m.statistics().leaves).toEqual({ '4K': 0, '2M': expect.any(Number), '1G': expect.any(Number) })
})

test('contiguous counts frames of one type in consecutive machine frames, whatever their leaves', () => {
  p2m.insert(0x200, 0x400, 9, RAM_RW)
  p2m.insertRange(0x400, 0x600, 0x80, RAM_RW)
  p2m.insert(0x480, 0x1000, 0, RAM_RW)
  p2m.insert(0x481, 0x1001, 0, RAM_RO)
  const cases: [number, number][] = [
    [0x200, 1e9],
    [0x3f0, 1e9],
    [0x3f0, 5],
    [0x480, 1e9],
    [0x481, 1e9],
    [0x482, 0x100],
    [0, 1e9],
    [2 ** 36 - 3, 1e9],
    [0x200, 0],
  ]
  expect(cases.map(([gfn, most]) => p2m.contiguous(gfn, most))).toEqual([0x280, 0x90, 5, 1, 1, 0x100, 0x200, 3, 1])
  expect(p2m.lookup(0, new P2mEntry())).toBe(MMIO_DM)
})
