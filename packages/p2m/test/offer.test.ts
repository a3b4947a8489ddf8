/** RAM that a guest shares with others from one instant on. */
import { FRAME_MONITORED, MachineMemory, PAGE_BYTES } from '@retrap/memory'
import { beforeEach, expect, test } from 'vitest'
import { FrameCounts, P2m, P2mEntry, P2mError, P2mType } from '../src/index.ts'

let memory: MachineMemory
let counts: FrameCounts
let source: P2m
let clone: P2m
const entry = new P2mEntry()

beforeEach(() => {
  memory = MachineMemory.create({ bytes: 32 << 20 })
  counts = FrameCounts.create(memory)
  source = P2m.create(memory, { counts })
  clone = P2m.create(memory, { counts })
  source.populate(512, 1024)
})

test('whole leaves are shared, and written frames become each guest’s own', () => {
  const { mfn } = mapped(source, 600)
  memory.writeU8(mfn * PAGE_BYTES, 5)
  const free = memory.frames.freeFrames
  const offered = source.offer(512, 1024)
  expect([offered.runs, offered.tables.map(({ gfn }) => gfn)]).toEqual([[], [512, 1024]])
  for (const table of offered.tables) clone.insertSharedTable(table)
  offered.close()
  // Two tables of the clone's, two that both have, and no frame of RAM.
  expect(free - memory.frames.freeFrames).toBe(4)
  expect(mapped(source, 600)).toEqual({ mfn, type: P2mType.RAM_SHARED, order: 0 })
  expect(mapped(clone, 600)).toEqual({ mfn, type: P2mType.RAM_SHARED, order: 0 })
  expect([...clone.leaves(0, undefined, true)].map(({ gfn, order }) => [gfn, order])).toEqual([
    [512, 9],
    [1024, 9],
  ])
  expect(source.translateWrite(600 * PAGE_BYTES)).toBe(-1)
  clone.unshare(600)
  const own = mapped(clone, 600)
  expect(own).toMatchObject({ type: P2mType.RAM_RW, order: 0 })
  expect(own.mfn).not.toBe(mfn)
  expect(memory.readU8(own.mfn * PAGE_BYTES)).toBe(5)
  expect(mapped(clone, 601)).toMatchObject({ type: P2mType.RAM_SHARED, order: 0 })
  expect(counts.count(mfn)).toBe(1)
  // The last one that has it needs no copy.
  source.unshare(600)
  expect(mapped(source, 600)).toMatchObject({ mfn, type: P2mType.RAM_RW })
  expect([source.guestFrame(mfn), clone.guestFrame(own.mfn)]).toEqual([600, 600])
  clone.destroy()
  expect(counts.count(mapped(source, 601).mfn)).toBe(1)
  source.destroy()
  expect(memory.frames.freeFrames).toBeGreaterThan(free)
  // Its tables are others' frames.
  memory.fill(source.root, PAGE_BYTES, 0xff)
  expect([source.translate(0), source.translateWrite(601 * PAGE_BYTES), mapped(source, 601).type]).toEqual([
    -1,
    -1,
    P2mType.MMIO_DM,
  ])
  expect(() => source.populate(0, 1)).toThrow(P2mError)
  expect(() => source.coalesce()).toThrow(P2mError)
})

test('frames that others hold, or that a processor watches, stay as they are', () => {
  const held = mapped(source, 700).mfn
  const watched = mapped(source, 800).mfn
  counts.tryTake(held, 1)
  memory.codeBits[watched]! |= FRAME_MONITORED
  const offered = source.offer(512, 512)
  expect(offered.tables).toEqual([])
  expect(offered.runs.map(({ gfn, count }) => [gfn, count])).toEqual([
    [512, 188],
    [701, 99],
    [801, 223],
  ])
  expect(mapped(source, 700).type).toBe(P2mType.RAM_RW)
  expect(mapped(source, 800).type).toBe(P2mType.RAM_RW)
  // A second time, what is shared is offered again.
  expect(source.offer(512, 512).runs).toEqual(offered.runs)
  expect(counts.count(mapped(source, 512).mfn)).toBe(3)
})

test('a map that is the same offers the same again, and one that has changed what it has then', () => {
  const first = source.offer(512, 1024)
  const listed = ({ tables, runs }: typeof first): unknown => ({ tables, runs })
  const again = source.offer(512, 1024)
  expect(listed(again)).toEqual(listed(first))
  first.close()
  first.close()
  again.close()
  // The table is this map's own then: the next offer has to share it anew.
  source.insertShared({ gfn: 600, mfn: mapped(source, 600).mfn, count: 1 })
  const shared = source.offer(512, 1024)
  for (const table of shared.tables) clone.insertSharedTable(table)
  shared.close()
  const former = mapped(source, 600).mfn
  source.unshare(600)
  memory.writeU8(mapped(source, 600).mfn * PAGE_BYTES, 7)
  expect(mapped(clone, 600)).toMatchObject({ mfn: former, type: P2mType.RAM_SHARED })
  const later = source.offer(512, 1024)
  for (const table of later.tables) clone.insertSharedTable(table)
  later.close()
  expect(memory.readU8(mapped(clone, 600).mfn * PAGE_BYTES)).toBe(7)
  for (const map of [source, clone]) map.destroy()
  expect(counts.count(former)).toBe(0)
})

test('frames without an owner cannot be inserted, and a full machine keeps its references', () => {
  expect(() => clone.insertShared({ gfn: 0, mfn: 4000, count: 1 })).toThrow(/has no owner/)
  expect(() => clone.insertSharedTable({ gfn: 0, mfn: 4000 })).toThrow(/is no shared table/)
  counts.tryTake(mapped(source, 700).mfn, 1)
  while (memory.frames.tryAllocate(0) >= 0);
  expect(() => source.offer(512, 1024)).toThrow(/no machine frame/)
  expect(counts.count(mapped(source, 1100).mfn)).toBe(1)
})

function mapped(p2m: P2m, gfn: number): { mfn: number; type: number; order: number } {
  p2m.lookup(gfn, entry)
  const { mfn, type, order } = entry
  return { mfn, type, order }
}
