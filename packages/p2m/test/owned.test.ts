import { MachineMemory } from '@retrap/memory'
import fc from 'fast-check'
import { slicedCount, slicedSeed } from '@retrap/tooling/slice'
import { beforeEach, describe, expect, test } from 'vitest'
import { FrameCounts, INVALID_MFN, P2m, P2mType } from '../src/index.ts'
import { codeOf } from './support/entries.ts'

const { RAM_RW, RAM_RO, RAM_LOGDIRTY, MMIO_DM } = P2mType
let memory: MachineMemory
let counts: FrameCounts
let p2m: P2m

beforeEach(() => {
  memory = MachineMemory.create({ bytes: 32 << 20 })
  counts = FrameCounts.create(memory)
  p2m = P2m.create(memory, { counts })
})

function mfnOf(gfn: number): number {
  return p2m.translate(gfn * 4096) / 4096
}

describe('frames of a map that counts them', () => {
  test('are its own when it is populated, and free when they leave', () => {
    const free = memory.frames.freeFrames
    p2m.populate(0x200, 0x401)
    const tables = p2m.tableBytes / 4096 - 1
    const mfn = mfnOf(0x210)
    expect([counts.count(mfn), p2m.guestFrame(mfn), free - memory.frames.freeFrames]).toEqual([
      1,
      0x210,
      0x401 + tables,
    ])
    p2m.remove(0x200, mfnOf(0x200), 0x400)
    expect([counts.count(mfn), p2m.guestFrame(mfn), memory.frames.isAllocated(mfn)]).toEqual([0, -1, false])
    p2m.destroy()
    // The root and the control block had been taken before.
    expect(memory.frames.freeFrames).toBe(free + 2)
  })

  test('stay what they are while somebody else holds them, and go back with the last', () => {
    p2m.populate(0x200, 1)
    const mfn = mfnOf(0x200)
    memory.writeU8(mfn * 4096, 7)
    p2m.onRelease((_, frame, order) => counts.tryTake(frame, 2 ** order))
    p2m.remove(0x200, mfn)
    expect([counts.count(mfn), memory.u8[mfn * 4096]]).toEqual([1, 7])
    counts.drop(mfn, 1)
    expect([memory.frames.isAllocated(mfn), memory.u8[mfn * 4096]]).toEqual([false, 0])
  })

  test('are let go of only when TLBs and device models have been told', () => {
    p2m.populate(0x200, 0x200)
    const mfn = mfnOf(0x200)
    const seen: [string, number][] = []
    p2m.onChange(() => seen.push(['change', counts.count(mfn)]))
    p2m.onRelease(() => seen.push(['release', counts.count(mfn)]))
    p2m.insert(0x200, INVALID_MFN, 9, MMIO_DM)
    expect([seen, counts.count(mfn)]).toEqual([
      [
        ['change', 1],
        ['release', 1],
      ],
      0,
    ])
  })

  test('keep their reference through other types, shattering and merging', () => {
    p2m.populate(0x200, 0x200)
    const mfn = mfnOf(0x200)
    let released = 0
    p2m.onRelease(() => released++)
    p2m.setType(0x210, 4, RAM_RO)
    p2m.insert(0x220, mfn + 0x20, 0, RAM_RO)
    p2m.setType(0x200, 0x200, RAM_RW)
    p2m.coalesce()
    const all = Array.from({ length: 0x200 }, (_, i) => counts.count(mfn + i))
    expect([new Set(all), released, p2m.statistics().leaves]).toEqual([new Set([1]), 0, { '4K': 0, '2M': 1, '1G': 0 }])
  })

  test('that the caller has adopted get a reference, and stay his when they leave', () => {
    const mfn = memory.frames.allocate()
    counts.adopt(mfn, 1)
    p2m.insert(0x200, mfn, 0, RAM_RW)
    p2m.insert(0x201, mfn, 0, RAM_RO)
    expect([counts.count(mfn), p2m.guestFrame(mfn)]).toEqual([3, 0x201])
    p2m.remove(0x201, mfn)
    expect([counts.count(mfn), p2m.guestFrame(mfn)]).toEqual([2, -1])
    p2m.remove(0x200, mfn)
    expect([counts.count(mfn), memory.frames.isAllocated(mfn)]).toEqual([1, true])
  })

  test('that nobody has adopted stay nobody’s', () => {
    const mfn = memory.frames.allocate()
    p2m.insert(0x200, mfn, 0, RAM_RW)
    counts.adopt(mfn, 1)
    p2m.remove(0x200, mfn)
    expect([counts.count(mfn), memory.frames.isAllocated(mfn)]).toEqual([1, true])
  })

  test('are named to guests by the guest frame, of which there may be 2^36', () => {
    p2m.populate(2 ** 36 - 1, 1)
    const mfn = mfnOf(2 ** 36 - 1)
    const other = P2m.create(memory, { counts })
    expect([p2m.guestFrame(mfn), other.guestFrame(mfn), p2m.guestFrame(0), p2m.guestFrame(2 ** 30)]).toEqual([
      2 ** 36 - 1,
      -1,
      -1,
      -1,
    ])
  })

  test('are counted right after anything', () => {
    const gfn = fc.integer({ min: 0x1f0, max: 0x410 })
    const step = fc.record({
      kind: fc.constantFrom('populate', 'remove', 'type', 'move', 'hole', 'coalesce', 'shatter'),
      gfn,
      count: fc.constantFrom(1, 2, 0x10, 0x200),
      other: gfn,
    })
    fc.assert(
      fc.property(fc.array(step, { maxLength: 25, size: 'max' }), (steps) => {
        const free = memory.frames.freeFrames
        p2m = P2m.create(memory, { counts })
        for (const { kind, gfn: at, count, other } of steps) {
          if (kind === 'populate') p2m.populate(at, count)
          else if (kind === 'type') p2m.setType(at, count, RAM_RO)
          else if (kind === 'hole') p2m.insertRange(at, INVALID_MFN, count, MMIO_DM)
          else if (kind === 'coalesce') p2m.coalesce()
          else if (kind === 'shatter') p2m.shatter(at)
          else if (mfnOf(at) > 0 && kind === 'remove') p2m.remove(at, mfnOf(at))
          else if (mfnOf(at) > 0) p2m.insert(other, mfnOf(at), 0, RAM_RW)
        }
        const expected = new Map<number, number>()
        for (const { mfn, order } of p2m.leaves()) {
          if (mfn < 0) continue
          for (let i = 0; i < 2 ** order; i++) expected.set(mfn + i, (expected.get(mfn + i) ?? 0) + 1)
        }
        for (let mfn = 1; mfn < memory.frameCount; mfn++) {
          if (counts.count(mfn) !== (expected.get(mfn) ?? 0)) expect([mfn, counts.count(mfn)]).toBe(expected.get(mfn))
        }
        p2m.destroy()
        expect(memory.frames.freeFrames).toBe(free)
      }),
      { numRuns: slicedCount(100, 3), seed: slicedSeed(0x5eed) },
    )
  })
})

describe('one writer at a time', () => {
  test('a listener cannot change the map that tells it of a change', () => {
    const codes: string[] = []
    const stop = p2m.onChange(() => codes.push(codeOf(() => p2m.populate(0x300, 1))))
    p2m.populate(0x200, 1)
    stop()
    expect([codes, p2m.translate(0x30_0000)]).toEqual([['ERR_BUSY'], -1])
    p2m.populate(0x300, 1)
    expect(p2m.translate(0x30_0000)).toBeGreaterThan(0)
  })

  test('a change that throws lets the next one in', () => {
    expect(codeOf(() => p2m.remove(0x200, 5))).toBe('ERR_MISMATCH')
    p2m.populate(0x200, 1)
    expect(p2m.version).toBeGreaterThan(0)
  })

  test('views share the lock, the counts and the number of tables', () => {
    const other = P2m.attach(MachineMemory.attach(memory.memory), p2m.ma)
    other.populate(0x200, 3)
    const mfn = mfnOf(0x200)
    const { version } = other
    p2m.remove(0x200, mfn)
    expect([counts.count(mfn), other.tableBytes, other.version > version]).toEqual([0, p2m.tableBytes, true])
    expect(codeOf(() => P2m.attach(memory, 0x1000))).toBe('ERR_STATE')
    p2m.destroy()
    expect(codeOf(() => P2m.attach(memory, p2m.ma))).toBe('ERR_STATE')
  })
})

describe('who is told what a change takes away', () => {
  test.each([
    { change: 'a write right', act: () => p2m.setType(0x200, 1, RAM_RO), lost: 2, kept: true },
    { change: 'everything', act: () => p2m.remove(0x200, mfnOf(0x200)), lost: 7, kept: false },
    { change: 'nothing, but the frame', act: () => p2m.populate(0x200, 1), lost: 0, kept: false },
    {
      change: 'a part of 2 MiB of small leaves',
      act: () => p2m.insert(0x200, INVALID_MFN, 9, MMIO_DM),
      lost: 7,
      kept: false,
    },
  ])('$change', ({ act, lost, kept }) => {
    p2m.populate(0x200, 2)
    const seen: unknown[] = []
    p2m.onChange((_gfn, _count, rights, same) => seen.push([rights, same]))
    act()
    expect(seen).toEqual([[lost, kept]])
  })

  test.each([0x200, 0x201, 0x2ff, 0x355, 0x3ff])('2 MiB of which only frame %i has rights', (gfn) => {
    p2m.populate(gfn, 1)
    const seen: unknown[] = []
    p2m.onChange((_gfn, _count, rights, same) => seen.push([rights, same]))
    p2m.insert(0x200, INVALID_MFN, 9, MMIO_DM)
    expect(seen).toEqual([[7, false]])
  })

  test('a right that is given back: nothing is lost, and the frame stays', () => {
    p2m.populate(0x200, 2)
    p2m.setType(0x200, 1, RAM_LOGDIRTY)
    const seen: unknown[] = []
    p2m.onChange((gfn, count, rights, same) => seen.push([gfn, count, rights, same]))
    p2m.setType(0x200, 1, RAM_RW)
    expect(seen).toEqual([[0x200, 1, 0, true]])
  })
})
