import { MachineMemory } from '@retrap/memory'
import { beforeEach, describe, expect, test } from 'vitest'
import { FrameCounts, INVALID_MFN, P2m, P2mType } from '../src/index.ts'
import { codeOf, entryAt, reach, typeAt } from './support/entries.ts'

const { RAM_RW, RAM_RO, MMIO_DM, POPULATE_ON_DEMAND } = P2mType
let memory: MachineMemory
let counts: FrameCounts
let p2m: P2m
let released: number

beforeEach(() => {
  memory = MachineMemory.create({ bytes: 32 << 20 })
  counts = FrameCounts.create(memory)
  p2m = P2m.create(memory, { counts })
  released = 0
  p2m.onRelease(() => released++)
})

/** Marks guest frames, and gives the cache as many machine frames as it is to have. */
function mark(gfn: number, count: number, cached: number): void {
  p2m.onDemand.mark(gfn, count)
  p2m.onDemand.setCache(cached)
}

const touch = (gfn: number, value = 1): void => {
  expect(p2m.onDemand.populate(gfn)).toBe('done')
  memory.u8[p2m.translateWrite(gfn * 4096)] = value
}

describe('populate-on-demand', () => {
  test('marks holes, in large leaves, and counts them; nothing else', () => {
    p2m.onDemand.mark(0x200, 0x401)
    p2m.onDemand.mark(0x200, 1)
    expect([p2m.onDemand.entries, entryAt(p2m, 0x3ff).order, entryAt(p2m, 0x600).order, reach(p2m, 0x200)]).toEqual([
      0x401,
      0,
      0,
      [false, false],
    ])
    expect(entryAt(p2m, 0x400).order).toBe(9)
    p2m.populate(0x700, 1)
    expect([codeOf(() => p2m.onDemand.mark(0x6f0, 0x20)), p2m.onDemand.entries, typeAt(p2m, 0x6f0)]).toEqual([
      'ERR_BUSY',
      0x401,
      MMIO_DM,
    ])
  })

  test('gives 2 MiB at the first access where both are to be had, and frames otherwise', () => {
    p2m.onDemand.mark(0x200, 0x400)
    expect(p2m.onDemand.setCache(0x201)).toBe(0x201)
    touch(0x3f4)
    expect([entryAt(p2m, 0x200).order, p2m.onDemand.entries, p2m.onDemand.cached]).toEqual([9, 0x200, 1])
    expect([typeAt(p2m, 0x3ff), typeAt(p2m, 0x400)]).toEqual([RAM_RW, POPULATE_ON_DEMAND])
    touch(0x434)
    expect([entryAt(p2m, 0x434).order, typeAt(p2m, 0x435), p2m.onDemand.entries, p2m.onDemand.cached]).toEqual([
      0,
      POPULATE_ON_DEMAND,
      0x1ff,
      0,
    ])
    expect([p2m.onDemand.populate(0x234), p2m.onDemand.populate(0x10)]).toEqual(['done', 'done'])
    expect(released).toBe(0)
  })

  test('what is set aside is the guest’s, as is what it has', () => {
    p2m.populate(0, 0x10)
    p2m.insertForeign(0x20, 0x100, P2mType.MAP_FOREIGN)
    p2m.onDemand.mark(0x200, 0x20)
    expect(p2m.frames).toBe(0x10)
    p2m.onDemand.setCache(4)
    expect(p2m.frames).toBe(0x14)
    touch(0x200)
    expect([p2m.onDemand.cached, p2m.frames]).toEqual([3, 0x14])
    p2m.removeForeign(0x20)
    p2m.remove(0, p2m.translate(0) / 4096, 2)
    expect(p2m.frames).toBe(0x12)
  })

  test('breaks up a cached run for single frames', () => {
    mark(0x201, 4, 0x200)
    touch(0x202)
    touch(0x203)
    expect([p2m.onDemand.cached, memory.read(p2m.translate(0x20_2000), 4096)[0]]).toEqual([0x1fe, 1])
    expect(memory.read(p2m.translate(0x20_3000) + 1, 4095).every((byte) => byte === 0)).toBe(true)
  })

  test('takes frames of zeros back when the cache is empty, and says when there are none', () => {
    mark(0x200, 8, 4)
    for (const gfn of [0x200, 0x201, 0x202]) touch(gfn)
    // Read, but never written.
    expect(p2m.onDemand.populate(0x203)).toBe('done')
    expect([p2m.onDemand.cached, p2m.onDemand.populate(0x204), typeAt(p2m, 0x203)]).toEqual([
      0,
      'done',
      POPULATE_ON_DEMAND,
    ])
    memory.u8[p2m.translateWrite(0x20_4000)] = 9
    expect([p2m.onDemand.populate(0x205), released]).toEqual(['none', 1])
    expect([0x200, 0x201, 0x202, 0x204].map((gfn) => memory.u8[p2m.translate(gfn * 4096)])).toEqual([1, 1, 1, 9])
  })

  test('a search looks at 2 MiB after 2 MiB, ends after the third once it has found something, and goes on from there', () => {
    mark(0x200, 0x808, 4)
    // One frame of zeros in each of three blocks; nothing in the block of 0x800.
    for (const gfn of [0xa00, 0x600, 0x400]) expect(p2m.onDemand.populate(gfn)).toBe('done')
    touch(0x200)
    const types = (): number[] => [0xa00, 0x600, 0x400, 0x200].map((gfn) => typeAt(p2m, gfn))
    touch(0xa01)
    expect([types(), p2m.onDemand.cached]).toEqual([[POPULATE_ON_DEMAND, POPULATE_ON_DEMAND, RAM_RW, RAM_RW], 1])
    touch(0xa02)
    // 0xa00 is a frame of zeros again, but the search begins below 0x600.
    p2m.onDemand.setCache(1)
    expect(p2m.onDemand.populate(0xa00)).toBe('done')
    touch(0xa03)
    expect([types(), p2m.onDemand.cached]).toEqual([[RAM_RW, POPULATE_ON_DEMAND, POPULATE_ON_DEMAND, RAM_RW], 0])
  })

  test('a search that finds nothing at first goes all the way down', () => {
    mark(0x200, 0x808, 1)
    expect(p2m.onDemand.populate(0x200)).toBe('done')
    expect([p2m.onDemand.populate(0xa00), typeAt(p2m, 0x200)]).toEqual(['done', POPULATE_ON_DEMAND])
  })

  test('takes a leaf of 2 MiB of zeros back whole, and frames out of one that is not', () => {
    mark(0x200, 0x400, 0x400)
    p2m.onDemand.populate(0x200)
    p2m.onDemand.populate(0x400)
    memory.u8[p2m.translateWrite(0x41_0000)] = 1
    expect(p2m.onDemand.reclaim(0x200, 0x400)).toBe(0x3ff)
    expect([p2m.onDemand.cached, p2m.onDemand.entries, entryAt(p2m, 0x200).order, typeAt(p2m, 0x410)]).toEqual([
      0x3ff,
      0x3ff,
      9,
      RAM_RW,
    ])
    touch(0x3ff)
    expect(entryAt(p2m, 0x3ff).order).toBe(9)
  })

  test('takes nothing of a leaf of zeros where it is asked for a part', () => {
    mark(0x200, 0x200, 0x200)
    p2m.onDemand.populate(0x200)
    const parts = [
      [0x200, 0x1ff],
      [0x201, 0x1ff],
      [0x3ff, 0x200],
    ] as const
    expect(parts.map(([gfn, count]) => p2m.onDemand.reclaim(gfn, count))).toEqual([0, 0, 0])
    expect([p2m.onDemand.cached, entryAt(p2m, 0x200).order]).toEqual([0, 9])
    expect([p2m.onDemand.reclaim(0x200, 0x200), p2m.onDemand.cached]).toEqual([0x200, 0x200])
  })

  test('leaves frames that device models hold, and those that they wrote before they let go', () => {
    mark(0x200, 4, 3)
    for (const gfn of [0x200, 0x201, 0x202]) p2m.onDemand.populate(gfn)
    const held = entryAt(p2m, 0x200).mfn
    counts.tryTake(held, 1)
    expect([p2m.onDemand.reclaim(0x200, 1), typeAt(p2m, 0x200)]).toEqual([0, RAM_RW])
    // Told of the release, somebody keeps the frames until he has acknowledged it.
    const kept: number[] = []
    p2m.onRelease((_, mfn, order) => {
      counts.tryTake(mfn, 2 ** order)
      kept.push(mfn)
    })
    expect([p2m.onDemand.reclaim(0x201, 2), p2m.onDemand.cached, p2m.onDemand.populate(0x203)]).toEqual([2, 0, 'wait'])
    const [first, second] = kept as [number, number]
    memory.u8[first * 4096 + 5] = 7
    for (const mfn of [first, second]) counts.drop(mfn, 1)
    expect([p2m.onDemand.populate(0x203), p2m.onDemand.cached]).toEqual(['done', 0])
    // The one that was written is the guest's again; the other is 0x203 now.
    expect([p2m.translate(0x20_1000), p2m.translate(0x20_3000)]).toEqual([first * 4096, second * 4096])
    expect(memory.u8[p2m.translate(0x20_1005)]).toBe(7)
  })

  test('a write to a frame while it is looked at puts it back', () => {
    mark(0x200, 2, 1)
    p2m.onDemand.populate(0x200)
    const ma = p2m.translateWrite(0x20_0000)
    // A vCPU whose TLB is flushed only now.
    p2m.onChange(() => (memory.u8[ma] = 3))
    expect([p2m.onDemand.populate(0x201), p2m.translate(0x20_0000), memory.u8[ma]]).toEqual(['none', ma, 3])
  })

  test('what a guest gives back fills the cache until everything outstanding is covered', () => {
    mark(0x200, 8, 4)
    for (const gfn of [0x200, 0x201, 0x202, 0x203]) touch(gfn)
    // Two entries go, two more are covered by RAM that goes.
    expect([p2m.onDemand.decrease(0x204, 2), p2m.onDemand.entries]).toEqual([2, 2])
    expect([p2m.onDemand.decrease(0x200, 3), p2m.onDemand.cached, typeAt(p2m, 0x201), typeAt(p2m, 0x202)]).toEqual([
      2,
      2,
      MMIO_DM,
      RAM_RW,
    ])
    touch(0x206, 5)
    expect(memory.read(p2m.translate(0x20_6000), 2)).toEqual(Uint8Array.of(5, 0))
  })

  test('the cache follows a target: up to what is outstanding, never down', () => {
    expect(p2m.onDemand.setTarget(100)).toBe(0)
    p2m.onDemand.mark(0x200, 20)
    p2m.populate(0x300, 10)
    expect(p2m.onDemand.setTarget(15)).toBe(5)
    expect(p2m.onDemand.setTarget(12)).toBe(5)
    expect(p2m.onDemand.setTarget(100)).toBe(20)
  })

  test('entries go with what replaces them, and frames go back with the map', () => {
    const free = memory.frames.freeFrames
    const other = P2m.create(memory, { counts })
    other.onDemand.mark(0x200, 0x300)
    expect(other.onDemand.setCache(0x280)).toBe(0x280)
    other.populate(0x210, 4)
    other.insert(0x214, INVALID_MFN, 0, MMIO_DM)
    other.remove(0x215, INVALID_MFN, 3)
    expect(other.onDemand.entries).toBe(0x300 - 8)
    expect([other.setType(0x200, 0x20, RAM_RO), other.onDemand.setCache(0x10)]).toEqual([4, 0x10])
    other.onDemand.populate(0x300)
    other.destroy()
    expect(memory.frames.freeFrames).toBe(free)
  })

  test('gives what the machine has, and needs a map that counts its frames', () => {
    p2m.onDemand.mark(0x200, 1)
    while (memory.frames.tryAllocate(9) >= 0);
    const { freeFrames } = memory.frames
    expect([p2m.onDemand.setCache(0x1_0000), memory.frames.freeFrames]).toEqual([freeFrames, 0])
    const uncounted = P2m.create(MachineMemory.create({ bytes: 4 << 20 }))
    expect([
      codeOf(() => uncounted.onDemand.mark(0x200, 1)),
      codeOf(() => uncounted.onDemand.setCache(1)),
      codeOf(() => uncounted.onDemand.reclaim(0x200, 1)),
    ]).toEqual(['ERR_COUNT', 'ERR_COUNT', 'ERR_COUNT'])
  })
})
