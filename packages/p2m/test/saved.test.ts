import { MachineMemory } from '@retrap/memory'
import fc from 'fast-check'
import { expect, test } from 'vitest'
import { FrameCounts, INVALID_MFN, P2m, P2mAccess, P2mType, type P2mState } from '../src/index.ts'
import { codeOf } from './support/entries.ts'

const { RAM_RW, RAM_RO, RAM_LOGDIRTY, INVALID, MMIO_DM } = P2mType
const memory = MachineMemory.create({ bytes: 64 << 20 })

test('a map is saved as runs, whatever its leaves', () => {
  const p2m = P2m.create(memory)
  p2m.insertRange(0x200, 0x400, 0x600, RAM_RW)
  p2m.shatter(0x456)
  p2m.setType(0x7ff, 1, RAM_RO)
  p2m.insertRange(0x800, INVALID_MFN, 0x300, INVALID)
  p2m.insert(2 ** 35, 0x401, 0, RAM_RW)
  expect(p2m.save()).toEqual({
    version: 2,
    format: 'ept',
    defaultAccess: 7,
    onDemandCache: 0,
    writeClaim: -1,
    readOnly: [],
    runs: [
      { gfn: 0x200, mfn: 0x400, count: 0x5ff, type: RAM_RW },
      { gfn: 0x7ff, mfn: 0x9ff, count: 1, type: RAM_RO },
      { gfn: 0x800, mfn: INVALID_MFN, count: 0x300, type: INVALID },
      { gfn: 2 ** 35, mfn: 0x401, count: 1, type: RAM_RW },
    ],
  })
  expect(p2m.statistics()).toEqual({
    format: 'ept',
    tableBytes: p2m.tableBytes,
    leaves: { '4K': 0x400 + 0x100 + 1, '2M': 2, '1G': 0 },
    frames: { [RAM_RW]: 0x600, [RAM_RO]: 1, [INVALID]: 0x300 },
  })
  p2m.destroy()
})

test('entries of a restored map have no bits but those of the format', () => {
  const [one, two] = [P2m.create(memory), P2m.create(memory)]
  // 16 aligned neighbours, which stage 2 of Arm marks as one, and a larger leaf.
  one.insertRange(0x1000, 0x410, 16, RAM_RW)
  one.insertRange(0x1200, 0x600, 0x200, RAM_RW)
  two.restore(one.save())
  const frames: number[] = []
  // Intel SDM vol. 3C, "Format of an EPT Page-Table Entry": address bits 51:12, leaf bit 7 above the lowest level.
  const visit = (table: number, level: number): void => {
    for (let i = 0; i < 512; i++) {
      const [lo, hi] = [memory.u32[table / 4 + 2 * i]!, memory.u32[table / 4 + 2 * i + 1]!]
      if ((lo & 7) === 0) continue
      const address = (hi & 0xf_ffff) * 2 ** 32 + ((lo & 0xffff_f000) >>> 0)
      if (level === 0 || (lo & 0x80) !== 0) frames.push(Math.floor(address / 4096))
      else visit(address, level - 1)
    }
  }
  visit(two.root, 3)
  expect(frames).toEqual([...Array.from({ length: 16 }, (_, i) => 0x410 + i), 0x600])
  one.destroy()
  two.destroy()
})

test('any map comes back from its data as JSON, in the largest leaves', () => {
  const change = fc.record({
    gfn: fc.constantFrom(0, 1, 0x1ff, 0x200, 0x400, 0x4_0000, 2 ** 35),
    mfn: fc.constantFrom(0x200, 0x201, 0x400, 0x600),
    count: fc.constantFrom(1, 2, 0x1ff, 0x200, 0x400),
    type: fc.constantFrom(RAM_RW, RAM_RO, RAM_LOGDIRTY, INVALID, MMIO_DM),
  })
  fc.assert(
    fc.property(fc.array(change, { maxLength: 12, size: 'max' }), (changes) => {
      const free = memory.frames.freeFrames
      const [one, two] = [P2m.create(memory), P2m.create(memory)]
      for (const { gfn, mfn, count, type } of changes)
        one.insertRange(gfn, type === INVALID || type === MMIO_DM ? INVALID_MFN : mfn, count, type)
      const state = JSON.parse(JSON.stringify(one.save())) as P2mState
      two.restore(state)
      expect(two.save()).toEqual(state)
      one.coalesce()
      two.coalesce()
      expect([...two.leaves()]).toEqual([...one.leaves()])
      one.destroy()
      two.destroy()
      expect(memory.frames.freeFrames).toBe(free)
    }),
    { numRuns: 200, seed: 0x5eed },
  )
})

const EMPTY: P2mState = {
  version: 2,
  format: 'ept',
  runs: [],
  defaultAccess: 7,
  onDemandCache: 0,
  writeClaim: -1,
  readOnly: [],
}

test.each([
  { given: 'another version', state: { ...EMPTY, version: 1 } },
  { given: 'another format', state: { ...EMPTY, format: 'lpae' } },
  {
    given: 'overlapping runs',
    state: {
      ...EMPTY,
      runs: [
        { gfn: 4, mfn: 8, count: 2, type: RAM_RW },
        { gfn: 5, mfn: 8, count: 2, type: RAM_RW },
      ],
    },
  },
  { given: 'a hole with a frame', state: { ...EMPTY, runs: [{ gfn: 4, mfn: 8, count: 2, type: INVALID }] } },
  { given: 'RAM without', state: { ...EMPTY, runs: [{ gfn: 4, mfn: INVALID_MFN, count: 2, type: RAM_RW }] } },
  { given: "another's frame", state: { ...EMPTY, runs: [{ gfn: 4, mfn: 8, count: 1, type: P2mType.MAP_FOREIGN }] } },
  { given: 'no such type', state: { ...EMPTY, runs: [{ gfn: 4, mfn: 8, count: 1, type: 16 }] } },
  { given: 'no such frames', state: { ...EMPTY, runs: [{ gfn: 4, mfn: 0x3fff, count: 2, type: RAM_RW }] } },
])('data that no map saved is refused: $given', ({ state }) => {
  const p2m = P2m.create(memory)
  expect([codeOf(() => p2m.restore(state as P2mState)), [...p2m.leaves()]]).toEqual(['ERR_STATE', []])
  p2m.destroy()
})

test('frames of every type come back, with their claims and caches', () => {
  const counts = FrameCounts.create(memory)
  const one = P2m.create(memory, { counts })
  one.populate(0x200, 0x20)
  one.paging.nominate(0x201)
  for (const gfn of [0x202, 0x203]) {
    one.paging.nominate(gfn)
    one.paging.evict(gfn)
  }
  one.paging.request(0x203)
  one.share(0x204, one, 0x205)
  one.markBroken(0x206)
  one.writeClaim.claim(2)
  one.writeClaim.add(0x207, 3)
  one.setAccess(0x210, 4, P2mAccess.RX2RW)
  one.defaultAccess = P2mAccess.RX
  one.onDemand.mark(0x400, 0x300)
  one.onDemand.setCache(5)
  const device = memory.frames.allocate(9)
  one.declareReadOnly(device + 1, 1)
  one.insertRange(0x800, device, 0x200, P2mType.MMIO_DIRECT)
  const state = JSON.parse(JSON.stringify(one.save())) as P2mState
  const two = P2m.create(memory, { counts })
  two.restore(state)
  expect(two.save()).toEqual(state)
  expect([...two.leaves()]).toEqual([...one.leaves()])
  expect([two.onDemand.cached, two.onDemand.entries, two.writeClaim.server, two.writeClaim.frames]).toEqual([
    5, 0x300, 2, 3,
  ])
  two.destroy()
  one.destroy()
})
