import { MachineMemory } from '@retrap/memory'
import { beforeEach, describe, expect, test } from 'vitest'
import { INVALID_MFN, P2m, P2mEntry, P2mType, type P2mLeaf } from '../src/index.ts'
import { codeOf } from './support/entries.ts'

const MIB = 1 << 20
const { RAM_RW, RAM_RO, RAM_LOGDIRTY, MMIO_DM, INVALID, IOREQ_SERVER } = P2mType

let memory: MachineMemory
let p2m: P2m
let released: [gfn: number, mfn: number, order: number][]
let changed: [gfn: number, count: number][]

beforeEach(() => {
  memory = MachineMemory.create({ bytes: 64 * MIB })
  p2m = P2m.create(memory)
  released = []
  changed = []
  p2m.onRelease((gfn, mfn, order) => released.push([gfn, mfn, order]))
  p2m.onChange((gfn, count) => changed.push([gfn, count]))
})

function at(gfn: number): { mfn: number; type: number; order: number; rights: number } {
  const entry = new P2mEntry()
  p2m.lookup(gfn, entry)
  const { mfn, type, order, rights } = entry
  return { mfn, type, order, rights }
}

describe('what a guest frame is', () => {
  test('everything is a hole for device models at first, in pieces of 512 GiB', () => {
    expect(at(0)).toEqual({ mfn: INVALID_MFN, type: MMIO_DM, order: 27, rights: 0 })
    expect(at(2 ** 36 - 1).type).toBe(MMIO_DM)
    expect([p2m.translate(0), p2m.translateWrite(0), p2m.translate(2 ** 48)]).toEqual([-1, -1, -1])
    expect(at(2 ** 36).type).toBe(MMIO_DM)
    expect(at(-1).type).toBe(MMIO_DM)
  })

  test.each([
    { type: RAM_RW, rights: 7, read: true, write: true },
    { type: RAM_LOGDIRTY, rights: 5, read: true, write: false },
    { type: RAM_RO, rights: 5, read: true, write: false },
    { type: INVALID, rights: 0, read: false, write: false },
    { type: MMIO_DM, rights: 0, read: false, write: false },
  ])('type $type has rights $rights in leaves of every size', ({ type, rights, read, write }) => {
    for (const [order, gfn] of [
      [0, 0x1_2345],
      [9, 0x5_0400],
    ] as const) {
      const mfn = read ? 0x2000 : INVALID_MFN
      p2m.insert(gfn, mfn, order, type)
      const last = gfn + 2 ** order - 1
      const lastMfn = read ? 0x2000 + 2 ** order - 1 : INVALID_MFN
      expect(at(last)).toEqual({ mfn: lastMfn, type, order, rights })
      expect(p2m.translate(last * 4096 + 0x123)).toBe(read ? lastMfn * 4096 + 0x123 : -1)
      expect(p2m.translateWrite(last * 4096 + 0xfff)).toBe(write ? lastMfn * 4096 + 0xfff : -1)
      expect(at(last + 1).type).toBe(MMIO_DM)
    }
  })

  test('guest frames above 4 GiB and at the end of 48 bits translate', () => {
    for (const gfn of [0x10_0000, 0x1_2345_6789, 2 ** 36 - 1]) {
      p2m.insert(gfn, 0x1234, 0, RAM_RW)
      expect(at(gfn).mfn).toBe(0x1234)
      expect(p2m.translate(gfn * 4096 + 5)).toBe(0x123_4005)
      expect(p2m.translate((gfn - 1) * 4096)).toBe(-1)
    }
  })

  test('a 1 GiB leaf maps up to its last byte', () => {
    const large = MachineMemory.create({ bytes: 2100 * MIB })
    const map = P2m.create(large)
    map.insert(0x8_0000, 0x4_0000, 18, RAM_RW)
    expect(map.translate(0x8000_0000 + 0x3fff_ffff)).toBe(0x7fff_ffff)
    expect(map.translateWrite(0x8000_0000)).toBe(0x4000_0000)
    expect(map.translate(0xc000_0000)).toBe(-1)
    expect(map.tableBytes).toBe(2 * 4096)
  })

  test('a second view on the tables sees the same map', () => {
    p2m.insertRange(0x100, 0x300, 0x500, RAM_RW)
    const other = P2m.attach(MachineMemory.attach(memory.memory), p2m.ma)
    expect(other.translate(0x5f_f000)).toBe(0x7f_f000)
    expect(other.tableBytes).toBe(p2m.tableBytes)
    other.insert(0x100, 0x400, 0, RAM_RO)
    expect(at(0x100)).toMatchObject({ mfn: 0x400, type: RAM_RO })
  })
})

describe('orders', () => {
  test('a range takes the largest leaves that both alignments allow', () => {
    p2m.insertRange(0x1ff, 0x5ff, 0x602, RAM_RW)
    expect([...p2m.leaves()].map(({ gfn, mfn, order }) => [gfn, mfn, order])).toEqual([
      [0x1ff, 0x5ff, 0],
      [0x200, 0x600, 9],
      [0x400, 0x800, 9],
      [0x600, 0xa00, 9],
      [0x800, 0xc00, 0],
    ])
  })

  test('a range whose frames are aligned differently takes small leaves', () => {
    p2m.insertRange(0x200, 0x601, 0x200, RAM_RW)
    expect(at(0x3ff)).toMatchObject({ mfn: 0x800, order: 0 })
    expect([...p2m.leaves()]).toHaveLength(512)
  })

  test('a range without frames is aligned by its guest frames alone', () => {
    p2m.insertRange(0x200, INVALID_MFN, 0x400, INVALID)
    expect([...p2m.leaves()].map(({ gfn, mfn, type, order }) => [gfn, mfn, type, order])).toEqual([
      [0x200, INVALID_MFN, INVALID, 9],
      [0x400, INVALID_MFN, INVALID, 9],
    ])
  })

  test('a leaf broken up maps what it mapped, and nothing is released', () => {
    p2m.insert(0x200, 0x400, 9, RAM_RO)
    p2m.shatter(0x277)
    for (const gfn of [0x200, 0x277, 0x3ff]) {
      expect(at(gfn)).toEqual({ mfn: gfn + 0x200, type: RAM_RO, order: 0, rights: 5 })
    }
    p2m.shatter(0x277)
    p2m.shatter(0x1000)
    expect(released).toEqual([])
  })

  test('breaking up 1 GiB goes through 2 MiB leaves', () => {
    const large = MachineMemory.create({ bytes: 2100 * MIB })
    const map = P2m.create(large)
    map.insert(0x4_0000, 0x4_0000, 18, RAM_RW)
    map.shatter(0x4_0201, 9)
    expect([...map.leaves()].every((leaf) => leaf.order === 9 && leaf.mfn === leaf.gfn)).toBe(true)
    map.shatter(0x4_0201)
    expect([...map.leaves()]).toHaveLength(511 + 512)
    expect(map.tableBytes).toBe(4 * 4096)
  })

  test('a large leaf over small ones gives their table back', () => {
    p2m.insertRange(0x200, 0x601, 0x200, RAM_RW)
    const free = memory.frames.freeFrames
    p2m.insert(0x200, 0x800, 9, RAM_RW)
    expect(at(0x3ff)).toMatchObject({ mfn: 0x9ff, order: 9 })
    expect(memory.frames.freeFrames).toBe(free + 1)
    expect(p2m.tableBytes).toBe(3 * 4096)
  })

  test('when no frame is left for a table, a leaf stays whole', () => {
    p2m.insert(0x200, 0x400, 9, RAM_RW)
    while (memory.frames.tryAllocate(0) >= 0);
    expect(codeOf(() => p2m.shatter(0x200))).toBe('ERR_NO_MEMORY')
    expect(codeOf(() => p2m.remove(0x210, 0x410, 1))).toBe('ERR_NO_MEMORY')
    expect(codeOf(() => p2m.insert(0x4_0000, 0x400, 0, RAM_RW))).toBe('ERR_NO_MEMORY')
    expect(codeOf(() => P2m.create(memory))).toBe('ERR_NO_MEMORY')
    expect(at(0x210)).toEqual({ mfn: 0x410, type: RAM_RW, order: 9, rights: 7 })
    expect([released, changed]).toEqual([[], [[0x200, 512]]])
  })
})

describe('the release of RAM', () => {
  test.each([
    { given: 'another frame', mfn: 0x401, type: RAM_RW, released: [[0x200, 0x400, 0]] },
    { given: 'the same frame', mfn: 0x400, type: RAM_RW, released: [] },
    { given: 'the same frame, read-only', mfn: 0x400, type: RAM_RO, released: [] },
    { given: 'a hole', mfn: INVALID_MFN, type: MMIO_DM, released: [[0x200, 0x400, 0]] },
  ])('RAM replaced by $given', ({ mfn, type, released: expected }) => {
    p2m.insert(0x200, 0x400, 0, RAM_RW)
    p2m.insert(0x200, mfn, 0, type)
    expect(released).toEqual(expected)
  })

  test('a large leaf replaced in part releases that part', () => {
    p2m.insert(0x200, 0x400, 9, RAM_RW)
    p2m.insert(0x210, 0x999, 0, RAM_RW)
    expect(released).toEqual([[0x210, 0x410, 0]])
    expect(at(0x20f).mfn).toBe(0x40f)
    expect(at(0x211).mfn).toBe(0x411)
  })

  test('small leaves replaced by a large one release all but the frames that stay where they are', () => {
    p2m.insertRange(0x200, 0x400, 0x10, RAM_RW)
    p2m.insert(0x204, 0x999, 0, RAM_RO)
    released.length = 0
    p2m.insert(0x200, 0x400, 9, RAM_RW)
    expect(released).toEqual([[0x204, 0x999, 0]])
  })

  test('what replaces a hole releases nothing', () => {
    p2m.insert(0x200, INVALID_MFN, 9, MMIO_DM)
    p2m.insert(0x200, 0x400, 0, RAM_RW)
    expect(released).toEqual([])
    expect(changed).toEqual([
      [0x200, 512],
      [0x200, 1],
    ])
  })

  test('an insertion that changes nothing is not a change', () => {
    p2m.insert(0x200, 0x400, 0, RAM_RW)
    p2m.insert(0x200, 0x400, 0, RAM_RW)
    expect(changed).toEqual([[0x200, 1]])
  })

  test('listeners see the map as it is after the change, TLBs before owners, and can be taken off', () => {
    p2m.insert(0x200, 0x400, 0, RAM_RW)
    const seen: number[] = []
    const stop = p2m.onRelease((gfn) => seen.push(at(gfn).type))
    const stopChange = p2m.onChange(() => seen.push(-2))
    p2m.remove(0x200, 0x400)
    expect(seen).toEqual([-2, MMIO_DM])
    stop()
    stopChange()
    p2m.insert(0x200, 0x400, 0, RAM_RW)
    p2m.remove(0x200, 0x400)
    expect(seen).toEqual([-2, MMIO_DM])
  })
})

describe('removal', () => {
  test('of part of a range leaves the rest, and releases what it names', () => {
    p2m.insertRange(0x200, 0x400, 0x400, RAM_RW)
    p2m.remove(0x2ff, 0x4ff, 0x102)
    expect(at(0x2fe)).toMatchObject({ mfn: 0x4fe, order: 0 })
    expect([at(0x2ff).type, at(0x400).type]).toEqual([MMIO_DM, MMIO_DM])
    expect(at(0x401).mfn).toBe(0x601)
    expect(released.reduce((sum, [, , order]) => sum + 2 ** order, 0)).toBe(0x102)
  })

  test('of a whole superpage releases it in one piece', () => {
    p2m.insert(0x200, 0x400, 9, RAM_RW)
    p2m.remove(0x200, 0x400, 0x200)
    expect(released).toEqual([[0x200, 0x400, 9]])
    expect([...p2m.leaves()]).toEqual([])
  })

  test('of holes that are holes is allowed, mapped or not', () => {
    p2m.insert(0x200, INVALID_MFN, 9, INVALID)
    p2m.remove(0x100, INVALID_MFN, 0x180)
    expect(at(0x27f).type).toBe(MMIO_DM)
    expect(at(0x280).type).toBe(INVALID)
    expect(released).toEqual([])
  })

  test.each([
    { given: 'another machine frame', gfn: 0x200, mfn: 0x401, count: 1 },
    { given: 'one frame too many', gfn: 0x200, mfn: 0x400, count: 0x201 },
    { given: 'a hole where there is RAM', gfn: 0x200, mfn: INVALID_MFN, count: 1 },
    { given: 'RAM where there is a hole', gfn: 0x1ff, mfn: 0x3ff, count: 2 },
  ])('that names $given is refused, and nothing changes', ({ gfn, mfn, count }) => {
    p2m.insert(0x200, 0x400, 9, RAM_RW)
    const before = [...p2m.leaves()]
    expect(codeOf(() => p2m.remove(gfn, mfn, count))).toBe('ERR_MISMATCH')
    expect([...p2m.leaves()]).toEqual(before)
    expect(released).toEqual([])
  })
})

describe('types of RAM', () => {
  test('change for all RAM in a range, in whole leaves where they lie within it', () => {
    p2m.insertRange(0x200, 0x400, 0x600, RAM_RW)
    p2m.remove(0x500, 0x700, 0x10)
    released.length = 0
    expect(p2m.setType(0x300, 0x400, RAM_LOGDIRTY)).toBe(0x400 - 0x10)
    expect(at(0x2ff)).toMatchObject({ type: RAM_RW, order: 0 })
    expect(at(0x300)).toEqual({ mfn: 0x500, type: RAM_LOGDIRTY, order: 0, rights: 5 })
    expect(at(0x500).type).toBe(MMIO_DM)
    expect(at(0x600)).toMatchObject({ type: RAM_LOGDIRTY, order: 0 })
    expect(at(0x700)).toMatchObject({ type: RAM_RW, order: 0 })
    expect(released).toEqual([])
    expect(p2m.setType(0x300, 0x400, RAM_LOGDIRTY)).toBe(0)
  })

  test('a whole superpage stays one', () => {
    p2m.insert(0x200, 0x400, 9, RAM_RW)
    expect(p2m.setType(0x100, 0x400, RAM_RO)).toBe(0x200)
    expect(at(0x200)).toEqual({ mfn: 0x400, type: RAM_RO, order: 9, rights: 5 })
  })
})

describe('populating', () => {
  test('gives zeroed RAM in the largest leaves there is memory for', () => {
    p2m.populate(0x100, 0x500)
    const orders = [...p2m.leaves()].map((leaf) => leaf.order)
    expect(orders.filter((order) => order === 9)).toHaveLength(2)
    expect(orders.filter((order) => order === 0)).toHaveLength(0x100)
    for (const leaf of p2m.leaves()) expect(memory.frames.isAllocated(leaf.mfn)).toBe(true)
    expect(memory.read(p2m.translate(0x20_0000), 4096).every((byte) => byte === 0)).toBe(true)
  })

  test('falls back to small frames when large runs are gone', () => {
    while (memory.frames.tryAllocate(9) >= 0);
    p2m.populate(0x200, 0x100, RAM_RO)
    expect(at(0x2ff)).toMatchObject({ type: RAM_RO, order: 0 })
  })

  test('takes nothing if there is not enough', () => {
    const free = memory.frames.freeFrames
    expect(codeOf(() => p2m.populate(0x200, 0x8000))).toBe('ERR_NO_MEMORY')
    expect(memory.frames.freeFrames).toBe(free)
    expect([...p2m.leaves()]).toEqual([])
  })

  test('a PC with 3 GiB of RAM needs at most 32 KiB of tables', () => {
    const large = MachineMemory.create({ bytes: 3200 * MIB })
    const map = P2m.create(large)
    map.populate(0, 0xa0)
    map.populate(0xc0, 0x40, RAM_RO)
    map.populate(0x100, 0xc_0000 - 0x100)
    map.insertRange(0xf_fff0, large.frames.allocate(0), 1, RAM_RO)
    expect(map.translateWrite(0xbfff_ffff)).toBeGreaterThan(0)
    expect(map.tableBytes).toBeLessThanOrEqual(32 * 1024)
  })

  test('takes the largest runs first, and frames of one size in ascending order', () => {
    const large = MachineMemory.create({ bytes: 3300 * MIB })
    const map = P2m.create(large)
    map.populate(0x100, 0xc_0000 - 0x100)
    expect(map.statistics().leaves).toEqual({ '4K': 0x100, '2M': 511, '1G': 2 })
    expect(map.contiguous(0x4_0000, 1e9)).toBe(0x8_0000)
    // What no run of 1 GiB was left for lies on both sides of those two.
    const breaks = [...map.leaves(0x200, 0x4_0000)].filter(
      ({ gfn, mfn }, i, leaves) =>
        i > 0 && mfn !== (leaves[i - 1] as P2mLeaf).mfn + gfn - (leaves[i - 1] as P2mLeaf).gfn,
    )
    expect(breaks).toHaveLength(1)
  })

  test('a run of several large leaves is one run of machine frames', () => {
    p2m.populate(0x200, 0x1000)
    expect(p2m.contiguous(0x200, 1e9)).toBe(0x1000)
  })

  test('destroying a map releases its RAM and gives every table back', () => {
    const free = memory.frames.freeFrames
    const other = P2m.create(memory)
    other.onRelease((_, mfn, order) => memory.frames.free(mfn, order))
    other.populate(0x100, 0x500)
    other.insert(2 ** 35, INVALID_MFN, 0, MMIO_DM)
    other.destroy()
    expect(memory.frames.freeFrames).toBe(free)
    expect(other.tableBytes).toBe(0)
  })
})

describe('misuse', () => {
  test.each([
    { given: 'an order that no level has', code: 'ERR_ORDER', action: () => p2m.insert(0, 1, 3, RAM_RW) },
    { given: 'a misaligned guest frame', code: 'ERR_ALIGN', action: () => p2m.insert(1, 0x200, 9, RAM_RW) },
    { given: 'a misaligned machine frame', code: 'ERR_ALIGN', action: () => p2m.insert(0x200, 1, 9, RAM_RW) },
    { given: 'a guest frame beyond 2^36', code: 'ERR_RANGE', action: () => p2m.insert(2 ** 36, 1, 0, RAM_RW) },
    { given: 'a guest frame below 0', code: 'ERR_RANGE', action: () => p2m.insert(-1, 1, 0, RAM_RW) },
    { given: 'a machine frame outside', code: 'ERR_RANGE', action: () => p2m.insert(0, 0x4000, 0, RAM_RW) },
    { given: 'machine frame 0', code: 'ERR_RANGE', action: () => p2m.insert(0, 0, 0, RAM_RW) },
    { given: 'RAM without a frame', code: 'ERR_RANGE', action: () => p2m.insert(0, INVALID_MFN, 0, RAM_RW) },
    { given: 'a hole with a frame', code: 'ERR_TYPE', action: () => p2m.insert(0, 1, 0, MMIO_DM) },
    { given: 'a type with a call of its own', code: 'ERR_TYPE', action: () => p2m.insert(0, 1, 0, IOREQ_SERVER) },
    { given: 'an unknown type', code: 'ERR_TYPE', action: () => p2m.insert(0, 1, 0, 63) },
    { given: 'RAM retyped as a hole', code: 'ERR_TYPE', action: () => p2m.setType(0, 1, MMIO_DM) },
    { given: 'a hole populated as a hole', code: 'ERR_TYPE', action: () => p2m.populate(0, 1, MMIO_DM) },
    { given: 'no frames', code: 'ERR_RANGE', action: () => p2m.insertRange(0, 1, 0, RAM_RW) },
    { given: 'half a frame', code: 'ERR_RANGE', action: () => p2m.remove(0.5, 1) },
  ])('$given → $code', ({ code, action }) => {
    expect(codeOf(action)).toBe(code)
    expect([...p2m.leaves()]).toEqual([])
  })
})
