import { MachineMemory } from '@retrap/memory'
import { ArmP2mType, P2m } from '@retrap/p2m'
import { beforeEach, describe, expect, test as base } from 'vitest'
import { GuestFrame, guestMapOf, MapCache, type FrameReferences, type GuestMap } from '../src/index.ts'
import { codeOf, createGuest, type Guest } from './support/guest.ts'

let guest: Guest

beforeEach(() => {
  guest = createGuest()
})
const test = base.extend('cache', () => guest.cache())

const touch = (cache: MapCache, gpa: number): void => cache.map(gpa, 1).release()

describe('buckets', () => {
  test('the least recently used one goes when the budget is spent, and its references with it', () => {
    const cache = guest.cache({ bucketBytes: 0x2000, budgetBytes: 0x4000 })
    guest.ram(0x10, 6)
    touch(cache, 0x1_0000)
    touch(cache, 0x1_2000)
    touch(cache, 0x1_0000)
    touch(cache, 0x1_4000)
    expect(cache.statistics).toMatchObject({ buckets: 2, evictions: 1, misses: 3, hits: 1 })
    expect([0x10, 0x12, 0x14].map((gfn) => guest.counts.count(guest.mfn(gfn)))).toEqual([2, 1, 2])
    touch(cache, 0x1_0000)
    touch(cache, 0x1_2000)
    expect(cache.statistics).toMatchObject({ buckets: 2, evictions: 2, misses: 4, hits: 2 })
    expect([0x10, 0x12, 0x14].map((gfn) => guest.counts.count(guest.mfn(gfn)))).toEqual([2, 2, 1])
  })

  test('a held mapping outlives its bucket', () => {
    const cache = guest.cache({ bucketBytes: 0x1000, budgetBytes: 0x1000 })
    guest.ram(0x10, 2)
    const mapping = cache.mapForWriting(0x1_0000, 8)
    touch(cache, 0x1_1000)
    const mfn = guest.remove(0x10)
    expect(guest.counts.count(mfn)).toBe(1)
    const notice = cache.invalidate(0x10, 1)
    expect(notice.done).toBe(false)
    mapping.release()
    expect([notice.done, guest.counts.count(mfn)]).toEqual([true, 0])
  })

  test('one that is held while its pages are found anew is counted twice, and let go twice', ({ cache }) => {
    guest.ram(0x10)
    const mapping = cache.map(0x1_0000, 8)
    cache.invalidate()
    touch(cache, 0x1_0000)
    expect(guest.counts.count(guest.mfn(0x10))).toBe(3)
    mapping.release()
    expect(guest.counts.count(guest.mfn(0x10))).toBe(2)
    cache.close()
    expect(guest.counts.count(guest.mfn(0x10))).toBe(1)
  })

  test('a large leaf fills its bucket with one question', () => {
    let questions = 0
    const map: GuestMap = {
      lookup(gfn, into) {
        questions++
        Object.assign(into, { kind: 'ram', mfn: gfn, run: 512 - (gfn % 512) })
      },
    }
    const cache = new MapCache({ memory: guest.memory, map })
    touch(cache, 0x20_0000)
    for (let gfn = 0x200; gfn < 0x300; gfn++) touch(cache, gfn * 4096)
    expect([questions, cache.statistics.validPages, cache.statistics.shortcutHits]).toEqual([1, 256, 256])
  })

  test('a run found lately is asked for again once one of its pages has gone, and no other one', ({ cache }) => {
    guest.ram(0x10, 8)
    guest.ram(0x110, 8)
    cache.map(0x1_0000, 0x8000).release()
    cache.map(0x11_0000, 0x8000).release()
    guest.remove(0x13)
    guest.ram(0x13)
    cache.invalidate(0x13, 1)
    cache.write(0x1_3000, Uint8Array.of(7))
    expect(guest.memory.u8[guest.mfn(0x13) * 4096]).toBe(7)
    expect(cache.map(0x1_0000, 0x8000).segments.map(({ length }) => length)).toEqual([0x3000, 0x1000, 0x4000])
    const { misses } = cache.statistics
    cache.map(0x11_0000, 0x8000).release()
    expect(cache.statistics.misses).toBe(misses)
  })

  test('RAM at wide regular distances is found at once too', ({ cache }) => {
    for (const distance of [0x100, 0x1000, 0x1_0000, 0x10_0000]) {
      const gfns = Array.from({ length: 16 }, (_, i) => distance * (i + 1))
      for (const gfn of gfns) if (guest.mfn(gfn) < 0) guest.ram(gfn)
      for (const gfn of gfns) touch(cache, gfn * 4096)
      const before = cache.statistics
      for (const gfn of gfns) touch(cache, gfn * 4096)
      const { hits, shortcutHits, misses } = cache.statistics
      expect([hits + shortcutHits - before.hits - before.shortcutHits, misses]).toEqual([16, before.misses])
    }
  })

  test.each([
    [2 ** 12, true],
    [2 ** 30, true],
    [2 ** 11, false],
    [2 ** 31, false],
    [3 << 12, false],
  ])('of %i bytes are possible: %s', (bucketBytes, possible) => {
    const make = (): MapCache => guest.cache({ bucketBytes, budgetBytes: 2 ** 31 })
    expect(codeOf(make)).toBe(possible ? 'none' : 'ERR_OPTION')
    expect(codeOf(() => guest.cache({ bucketBytes, budgetBytes: bucketBytes - 1 }))).toBe('ERR_OPTION')
  })

  test('frames far apart and above 8 TiB have buckets of their own', ({ cache }) => {
    const gfns = [0x100, 0x1_0000_0100, 2 ** 35 + 5, 2 ** 36 - 1]
    for (const gfn of gfns) guest.ram(gfn)
    for (const gfn of gfns) cache.write(gfn * 4096 + 8, Uint8Array.of(gfn % 251))
    for (const gfn of gfns) expect(cache.map(gfn * 4096 + 8, 1).bytes[0]).toBe(gfn % 251)
    expect(cache.statistics).toMatchObject({ buckets: 4, validPages: 4 })
    cache.invalidate()
    expect(cache.statistics.buckets).toBe(0)
  })

  test.each([
    { bucketBytes: 0x800 },
    { bucketBytes: 0x3000 },
    { bucketBytes: 2 ** 31 },
    { budgetBytes: 0x1000 },
    { budgetBytes: Number.NaN },
  ])('%o makes no cache', (options) => {
    expect(codeOf(() => guest.cache(options))).toBe('ERR_OPTION')
  })
})

test('types of an Arm guest are those of a stage-2 map', () => {
  const memory = MachineMemory.create({ bytes: 4 << 20 })
  const p2m = P2m.create(memory, { stage2: {} })
  p2m.populate(0x40, 1)
  const kindOf = (gfn: number): string => {
    const frame = new GuestFrame()
    guestMapOf(p2m).lookup(gfn, frame)
    return `${frame.kind} ${frame.mfn >= 0}`
  }
  expect([kindOf(0x40), kindOf(0x41)]).toEqual(['ram true', 'hole false'])
  p2m.setType(0x40, 1, ArmP2mType.RAM_RO)
  expect(kindOf(0x40)).toBe('rom true')
})

describe('a map that another thread changes', () => {
  test('between the look-up and the reference: the page is looked up again', () => {
    guest.ram(0x10)
    const map = guestMapOf(guest.p2m)
    let frame = guest.mfn(0x10)
    let once = true
    const references: FrameReferences = {
      tryTake(mfn, count) {
        if (once) {
          once = false
          guest.remove(0x10)
          guest.ram(0x11)
          guest.ram(0x10)
          frame = guest.mfn(0x10)
        }
        return guest.counts.tryTake(mfn, count)
      },
      drop: (mfn, count) => guest.counts.drop(mfn, count),
    }
    const cache = new MapCache({ memory: guest.memory, map, references })
    cache.write(0x1_0000, Uint8Array.of(3))
    expect(guest.memory.u8[frame * 4096]).toBe(3)
    expect([guest.counts.count(frame), guest.counts.count(guest.mfn(0x11))]).toEqual([2, 1])
  })

  test('between the look-up and the reference, behind the first page of a run: the run is looked up again', () => {
    guest.ram(0x10, 4)
    const first = guest.mfn(0x10)
    let run = 4
    const map: GuestMap = {
      lookup(gfn, into) {
        const inRun = gfn >= 0x10 && gfn < 0x10 + run
        Object.assign(into, {
          kind: inRun ? 'ram' : 'hole',
          mfn: inRun ? first + gfn - 0x10 : -1,
          run: 0x10 + run - gfn,
        })
        if (!inRun) into.run = 1
      },
    }
    const references: FrameReferences = {
      tryTake(mfn, count) {
        // The last two pages leave the guest now.
        run = 2
        return guest.counts.tryTake(mfn, count)
      },
      drop: (mfn, count) => guest.counts.drop(mfn, count),
    }
    const cache = new MapCache({ memory: guest.memory, map, references })
    expect(cache.map(0x1_0000, 0x4000).segments.map(({ kind, length }) => [kind, length])).toEqual([
      ['ram', 0x2000],
      ['hole', 0x2000],
    ])
    expect([0, 1, 2, 3].map((page) => guest.counts.count(first + page))).toEqual([2, 2, 1, 1])
  })

  test('and names a frame that is free: the cache says so', () => {
    const memory = MachineMemory.create({ bytes: 1 << 20 })
    const map: GuestMap = { lookup: (_gfn, into) => void Object.assign(into, { kind: 'ram', mfn: 100, run: 1 }) }
    const references: FrameReferences = { tryTake: () => false, drop: () => undefined }
    const cache = new MapCache({ memory, map, references })
    expect(codeOf(() => cache.map(0, 1))).toBe('ERR_UNOWNED')
  })
})

test('p2m types that only a hypervisor knows are holes to a device model', () => {
  const types = [0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15]
  const map = guestMapOf({
    lookup(gfn, into) {
      Object.assign(into, { mfn: 77, type: gfn, order: 0, rights: 7 })
      return gfn
    },
  })
  const frame = new GuestFrame()
  const kinds = types.map((type) => {
    map.lookup(type, frame)
    return `${frame.kind} ${frame.mfn}`
  })
  const hole = 'hole -1'
  expect(kinds).toEqual([
    'ram 77',
    hole,
    'ram 77',
    'rom 77',
    'mmio -1',
    'mmio -1',
    ...Array.from({ length: 9 }, () => hole),
    'ram 77',
  ])
})

test.each([
  { gpa: 0x1_0000, bytes: 1, dirty: [0x10] },
  { gpa: 0x1_0ff0, bytes: 0x10, dirty: [0x10] },
  { gpa: 0x1_0ff0, bytes: 0x11, dirty: [0x10, 0x11] },
  { gpa: 0x1_0000, bytes: 0x2000, dirty: [0x10, 0x11] },
])('a write of $bytes bytes at $gpa makes the pages dirty that it reaches, and no other', ({ gpa, bytes, dirty }) => {
  guest.ram(0x10, 3)
  guest.cache().write(gpa, new Uint8Array(bytes))
  const pages = guest.dirty.flatMap(([gfn, count]) => Array.from({ length: count }, (_, i) => gfn + i))
  expect(pages).toEqual(dirty)
})
