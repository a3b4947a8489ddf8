import { MachineMemory } from '@retrap/memory'
import fc from 'fast-check'
import { expect, test } from 'vitest'
import { INVALID_MFN, P2m, P2mError, P2mType, type P2mState } from '../src/index.ts'

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
    version: 1,
    runs: [
      { gfn: 0x200, mfn: 0x400, count: 0x5ff, type: RAM_RW },
      { gfn: 0x7ff, mfn: 0x9ff, count: 1, type: RAM_RO },
      { gfn: 0x800, mfn: INVALID_MFN, count: 0x300, type: INVALID },
      { gfn: 2 ** 35, mfn: 0x401, count: 1, type: RAM_RW },
    ],
  })
  expect(p2m.statistics()).toEqual({
    tableBytes: p2m.tableBytes,
    leaves: { '4K': 0x400 + 0x100 + 1, '2M': 2, '1G': 0 },
    frames: { [RAM_RW]: 0x600, [RAM_RO]: 1, [INVALID]: 0x300 },
  })
  p2m.destroy()
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

test.each([
  { state: { version: 2, runs: [] } },
  {
    state: {
      version: 1,
      runs: [
        { gfn: 4, mfn: 8, count: 2, type: RAM_RW },
        { gfn: 5, mfn: 8, count: 2, type: RAM_RW },
      ],
    },
  },
  { state: { version: 1, runs: [{ gfn: 4, mfn: 8, count: 2, type: INVALID }] } },
])('data that no map saved is refused: $state', ({ state }) => {
  const p2m = P2m.create(memory)
  let code = 'none'
  try {
    p2m.restore(state as P2mState)
  } catch (error) {
    if (error instanceof P2mError) code = error.code
  }
  expect([code, [...p2m.leaves()]]).toEqual(['ERR_STATE', []])
  p2m.destroy()
})
