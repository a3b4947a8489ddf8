import { MachineMemory } from '@retrap/memory'
import { beforeEach, describe, expect, test } from 'vitest'
import { ForeignMappings, FrameCounts, INVALID_MFN, P2m, P2mEntry, P2mType } from '../src/index.ts'
import { codeOf } from './support/entries.ts'

const { RAM_RW, RAM_RO, MMIO_DM, MAP_FOREIGN, GRANT_MAP_RW, GRANT_MAP_RO } = P2mType
let memory: MachineMemory
let counts: FrameCounts
let p2m: P2m
let foreign: ForeignMappings
/** A frame of some other guest's. */
let theirs: number

beforeEach(() => {
  memory = MachineMemory.create({ bytes: 16 << 20 })
  counts = FrameCounts.create(memory)
  p2m = P2m.create(memory)
  foreign = new ForeignMappings(p2m, counts)
  theirs = memory.frames.allocate()
  counts.adopt(theirs, 1)
})

function at(gfn: number): [type: number, mfn: number, rights: number] {
  const entry = new P2mEntry()
  p2m.lookup(gfn, entry)
  return [entry.type, entry.mfn, entry.rights]
}

describe("another's frame", () => {
  test.each([
    { type: MAP_FOREIGN, rights: 3, write: true },
    { type: GRANT_MAP_RW, rights: 3, write: true },
    { type: GRANT_MAP_RO, rights: 1, write: false },
  ])('of type $type is mapped with rights $rights and a reference', ({ type, rights, write }) => {
    foreign.map(0x300, theirs, type)
    expect([at(0x300), counts.count(theirs), foreign.size]).toEqual([[type, theirs, rights], 2, 1])
    expect(p2m.translate(0x30_0123)).toBe(theirs * 4096 + 0x123)
    expect(p2m.translateWrite(0x30_0123)).toBe(write ? theirs * 4096 + 0x123 : -1)
    foreign.unmap(0x300)
    expect([at(0x300), counts.count(theirs)]).toEqual([[MMIO_DM, INVALID_MFN, 0], 1])
  })

  test('stays what it is when its owner loses it, and is freed by who unmaps it last', () => {
    foreign.map(0x300, theirs)
    counts.drop(theirs, 1)
    expect([memory.frames.isAllocated(theirs), at(0x300)[1]]).toEqual([true, theirs])
    let flushed = false
    p2m.onChange(() => {
      flushed = memory.frames.isAllocated(theirs)
    })
    foreign.unmap(0x300)
    expect([flushed, memory.frames.isAllocated(theirs)]).toEqual([true, false])
  })

  test('releases the RAM that it replaces, and is not released as RAM itself', () => {
    const released: [number, number][] = []
    p2m.onRelease((gfn, mfn) => released.push([gfn, mfn]))
    p2m.insert(0x200, 0x400, 9, RAM_RW)
    foreign.map(0x300, theirs)
    expect(released).toEqual([[0x300, 0x500]])
    foreign.unmap(0x300)
    expect(released.length).toBe(1)
  })

  test('is in the way of whatever else would replace it; nothing has changed then (reference case 5)', () => {
    p2m.insert(0x200, 0x400, 9, RAM_RW)
    foreign.map(0x300, theirs)
    const released: number[] = []
    p2m.onRelease((gfn) => released.push(gfn))
    const attempts = [
      () => p2m.remove(0x200, 0x400, 0x200),
      () => p2m.remove(0x300, theirs),
      () => p2m.insert(0x300, theirs, 0, RAM_RW),
      () => p2m.insert(0x200, 0x400, 9, RAM_RW),
      () => p2m.insert(0, INVALID_MFN, 18, MMIO_DM),
      () => foreign.map(0x300, theirs, GRANT_MAP_RO),
      () => p2m.insertForeign(0x300, theirs, GRANT_MAP_RO),
      () => p2m.insertRange(0x280, 0x480, 0x100, RAM_RO),
      () => p2m.populate(0x280, 0x100),
      () => p2m.destroy(),
    ]
    const free = memory.frames.freeFrames
    expect(attempts.map(codeOf)).toEqual(attempts.map(() => 'ERR_FOREIGN'))
    expect([memory.frames.freeFrames, at(0x280)[0]]).toEqual([free, RAM_RW])
    expect([at(0x300), at(0x301)[1], released, counts.count(theirs)]).toEqual([[MAP_FOREIGN, theirs, 3], 0x501, [], 2])
    foreign.unmapAll()
    expect([foreign.size, counts.count(theirs)]).toEqual([0, 1])
    p2m.destroy()
  })

  test('is in the way at the guest’s first frame, too', () => {
    p2m.insert(0, 0x400, 9, RAM_RW)
    foreign.map(0, theirs)
    expect(codeOf(() => p2m.insert(0, 0x400, 9, RAM_RW))).toBe('ERR_FOREIGN')
    expect([at(0), at(1)[1]]).toEqual([[MAP_FOREIGN, theirs, 3], 0x401])
  })

  test('is passed over by what is for RAM, and not saved', () => {
    p2m.insert(0x200, 0x400, 9, RAM_RW)
    foreign.map(0x300, theirs)
    expect([p2m.setType(0x200, 0x200, RAM_RO), at(0x300)[0]]).toEqual([0x1ff, MAP_FOREIGN])
    expect([p2m.coalesce(), p2m.save().runs.map(({ count }) => count)]).toEqual([0, [0x100, 0xff]])
    p2m.insertForeign(0x300, theirs, MAP_FOREIGN)
    expect(at(0x300)[1]).toBe(theirs)
  })

  test('is refused if it is nobody’s, or if it cannot be mapped; its reference goes back', () => {
    const nobodys = memory.frames.allocate()
    expect(codeOf(() => foreign.map(0x300, nobodys))).toBe('ERR_COUNT')
    expect(codeOf(() => foreign.map(0x300, theirs, RAM_RW))).toBe('ERR_TYPE')
    expect(codeOf(() => foreign.map(-1, theirs))).toBe('ERR_RANGE')
    expect(codeOf(() => foreign.unmap(0x300))).toBe('ERR_TYPE')
    while (memory.frames.tryAllocate(0) >= 0);
    expect(codeOf(() => foreign.map(0x300, theirs))).toBe('ERR_NO_MEMORY')
    expect([counts.count(theirs), foreign.size]).toEqual([1, 0])
    expect(codeOf(() => p2m.insert(0x300, theirs, 0, MAP_FOREIGN))).toBe('ERR_TYPE')
  })
})
