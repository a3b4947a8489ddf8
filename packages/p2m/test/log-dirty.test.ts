import { MachineMemory } from '@retrap/memory'
import fc from 'fast-check'
import { slicedCount, slicedSeed } from '@retrap/tooling/slice'
import { beforeEach, describe, expect, test } from 'vitest'
import { type P2mOptions, ArmP2mType, LogDirty, P2m, P2mAccess, P2mEntry, P2mError, P2mType } from '../src/index.ts'

let options: P2mOptions
let memory: MachineMemory
let p2m: P2m

function typeAt(gfn: number): number {
  return p2m.lookup(gfn, new P2mEntry())
}

function orderAt(gfn: number): number {
  const entry = new P2mEntry()
  p2m.lookup(gfn, entry)
  return entry.order
}

/** Translations for writing that a vCPU keeps. */
let kept: Set<number>

/** What a vCPU does: a store to what it has no translation for asks for one, and keeps it. */
function store(gfn: number): void {
  if (kept.has(gfn)) return
  const gpa = gfn * 4096
  const ma = p2m.translateWrite(gpa)
  expect(ma >= 0 ? ma : p2m.translateLogged(gpa)).toBe(p2m.translate(gpa))
  kept.add(gfn)
}

/** Has a vCPU hear of what is changed in a map. */
function listen(map: P2m): void {
  kept = new Set()
  map.onChange((_gfn, _count, lost, same) => {
    if (lost !== 0 || !same) kept.clear()
  })
  map.writeLogs.onWatched((gfn, count, frames) => {
    for (let i = 0; i < count; i++) if (((frames[i >>> 5]! >>> (i & 31)) & 1) !== 0) kept.delete(gfn + i)
  })
}

function taken(log: LogDirty): number[] {
  const words = new Uint32Array(Math.ceil(log.count / 32))
  const count = log.take(words)
  const frames = Array.from({ length: log.count }, (_, i) => i).filter(
    (i) => ((words[i >>> 5] as number) >>> (i & 31)) & 1,
  )
  expect(frames.length).toBe(count)
  return frames.map((i) => log.gfn + i)
}

describe.each([
  ['EPT', {}, P2mType, P2mType.MMIO_DM],
  ['LPAE', { stage2: {} }, ArmP2mType, ArmP2mType.INVALID],
] as const)('log-dirty mode, %s', (_name, given, { RAM_RW, RAM_RO, RAM_LOGDIRTY, INVALID }, hole) => {
  beforeEach(() => {
    options = given
    memory = MachineMemory.create({ bytes: 16 << 20 })
    p2m = P2m.create(memory, options)
    listen(p2m)
  })

  test('notices the first write to each frame, and again after each take', () => {
    p2m.populate(0x200, 0x200)
    const log = new LogDirty(p2m, 0x200, 0x200)
    expect([taken(log), typeAt(0x200), orderAt(0x200)]).toEqual([[], RAM_LOGDIRTY, 9])
    store(0x203)
    store(0x203)
    store(0x3ff)
    expect([typeAt(0x203), orderAt(0x203), log.isDirty(0x203), log.isDirty(0x204)]).toEqual([
      RAM_LOGDIRTY,
      9,
      true,
      false,
    ])
    expect(log.peek(new Uint32Array(16))).toBe(2)
    expect(taken(log)).toEqual([0x203, 0x3ff])
    expect([typeAt(0x203), taken(log), log.isDirty(0x203)]).toEqual([RAM_LOGDIRTY, [], false])
    store(0x203)
    expect(taken(log)).toEqual([0x203])
  })

  test('ends with everything as it was, in large leaves', () => {
    p2m.populate(0x200, 0x200)
    const tables = p2m.tableBytes
    const log = new LogDirty(p2m, 0x210, 0x100)
    for (let gfn = 0x200; gfn < 0x400; gfn += 3) store(gfn)
    log.stop()
    log.stop()
    expect([typeAt(0x211), orderAt(0x211), p2m.tableBytes]).toEqual([RAM_RW, 9, tables])
    log.mark(0x212)
    expect(typeAt(0x212)).toBe(RAM_RW)
  })

  test('leaves ROM and holes alone, and what lies outside', () => {
    p2m.populate(0x200, 8)
    p2m.setType(0x201, 1, RAM_RO)
    p2m.remove(0x202, p2m.translate(0x20_2000) / 4096)
    p2m.insert(0x203, -1, 0, INVALID)
    const log = new LogDirty(p2m, 0x200, 6)
    log.mark(0x1f0, 0x100)
    expect(taken(log)).toEqual([0x200, 0x204, 0x205])
    expect([0x200, 0x201, 0x202, 0x203, 0x206].map(typeAt)).toEqual([RAM_LOGDIRTY, RAM_RO, hole, INVALID, RAM_RW])
    expect([log.isDirty(0x1ff), log.isDirty(0x206)]).toEqual([false, false])
  })

  test('counts frames as dirty whose mapping changes', () => {
    p2m.populate(0x200, 8)
    const log = new LogDirty(p2m, 0x200, 8)
    p2m.remove(0x202, p2m.translate(0x20_2000) / 4096)
    p2m.populate(0x202, 1)
    p2m.populate(0x208, 1)
    expect(taken(log)).toEqual([0x202])
    expect([typeAt(0x202), typeAt(0x208)]).toEqual([RAM_LOGDIRTY, RAM_RW])
    store(0x202)
    expect(taken(log)).toEqual([0x202])
  })

  test('changes no leaf for writes and takes, and needs no tables', () => {
    p2m.populate(0x200, 0x200)
    const log = new LogDirty(p2m, 0x200, 0x200)
    while (memory.frames.tryAllocate(0) >= 0);
    const { version } = p2m
    for (const gfn of [0x234, 0x235, 0x3ff]) store(gfn)
    p2m.dirtied(0x210, 2)
    expect([taken(log), p2m.version, orderAt(0x234)]).toEqual([[0x210, 0x211, 0x234, 0x235, 0x3ff], version, 9])
    store(0x234)
    expect([taken(log), taken(log)]).toEqual([[0x234], []])
  })

  test('of the same frames by two: each hears of every write after its own take', () => {
    p2m.populate(0x200, 0x40)
    const first = new LogDirty(p2m, 0x200, 0x40)
    for (const gfn of [0x210, 0x220, 0x230]) store(gfn)
    const second = new LogDirty(p2m, 0x218, 0x10)
    store(0x220)
    expect(taken(second)).toEqual([0x220])
    expect(taken(first)).toEqual([0x210, 0x220, 0x230])
    store(0x220)
    store(0x230)
    expect([taken(first), taken(second)]).toEqual([[0x220, 0x230], [0x220]])
    first.stop()
    // The end of one makes RAM of all, which the other takes for written.
    expect(taken(second).length).toBe(0x10)
    store(0x221)
    expect([taken(second), typeAt(0x221), typeAt(0x210)]).toEqual([[0x221], RAM_LOGDIRTY, RAM_RW])
  })

  test('gives no way to write what the access mask forbids', () => {
    p2m.populate(0x200, 4)
    const log = new LogDirty(p2m, 0x200, 4)
    p2m.setAccess(0x201, 1, P2mAccess.RX)
    log.take(new Uint32Array(1))
    expect([p2m.translateLogged(0x20_1000), p2m.translateLogged(0x20_0123)]).toEqual([-1, p2m.translate(0x20_0123)])
    expect(taken(log)).toEqual([0x200])
  })

  test('a frame that has been written can be no longer where its type or its mask forbids it', () => {
    p2m.populate(0x200, 4)
    const log = new LogDirty(p2m, 0x200, 4)
    for (const forbid of [() => p2m.setType(0x201, 1, RAM_RO), () => p2m.setAccess(0x202, 1, P2mAccess.RX)]) {
      store(0x202)
      forbid()
      expect(kept.size).toBe(0)
    }
    log.stop()
  })

  test('that cannot be begun changes nothing', () => {
    p2m.populate(0x200, 0x400)
    while (memory.frames.tryAllocate(0) >= 0);
    expect(() => new LogDirty(p2m, 0x200, 0x210)).toThrow(P2mError)
    expect([typeAt(0x200), typeAt(0x400), orderAt(0x400)]).toEqual([RAM_RW, RAM_RW, 9])
    for (const [gfn, count, bits] of [
      [-1, 4, 1],
      [0, 0, 1],
      [0, 33, 1],
      [2 ** 36 - 1, 2, 1],
    ] as const)
      expect(() => new LogDirty(p2m, gfn, count, new Uint32Array(bits))).toThrow(/guest frames/)
  })

  test('reference case 6: a range that is changed in part before it fails is dirty in that part', () => {
    p2m.populate(0x200, 0x600)
    const log = new LogDirty(p2m, 0x200, 0x600)
    const run = memory.frames.allocate(9)
    while (memory.frames.tryAllocate(0) >= 0);
    // The first 2 MiB take a leaf's place; what follows would need a table.
    expect(() => p2m.insertRange(0x200, run, 0x210, RAM_RW)).toThrow(P2mError)
    expect([p2m.translate(0x20_0000), taken(log)]).toEqual([
      run * 4096,
      Array.from({ length: 0x200 }, (_, i) => 0x200 + i),
    ])
  })

  test('reference case 14: a write to ROM is discarded, and dirties nothing', () => {
    p2m.populate(0x200, 1, RAM_RO)
    const log = new LogDirty(p2m, 0x200, 1)
    expect(p2m.translateWrite(0x20_0000)).toBe(-1)
    p2m.dirtied(0x200)
    expect([taken(log), typeAt(0x200)]).toEqual([[], RAM_RO])
  })

  test('is told by who knows the map alone, and unlogged frames can be written after that', () => {
    p2m.populate(0x200, 4)
    const log = new LogDirty(p2m, 0x200, 2)
    p2m.setType(0x203, 1, RAM_LOGDIRTY)
    p2m.dirtied(0x201, 3)
    expect([taken(log), typeAt(0x203)]).toEqual([[0x201], RAM_RW])
    log.stop()
    p2m.dirtied(0x201)
    expect(log.isDirty(0x201)).toBe(false)
  })

  test('says after each take what was written since the one before', () => {
    const step = fc.oneof(
      {
        weight: 8,
        arbitrary: fc.record({ kind: fc.constant('store' as const), at: fc.nat(0x23f), count: fc.constant(1) }),
      },
      {
        weight: 3,
        arbitrary: fc.record({
          kind: fc.constant('dma' as const),
          at: fc.nat(0x23f),
          count: fc.integer({ min: 1, max: 70 }),
        }),
      },
      {
        weight: 2,
        arbitrary: fc.record({ kind: fc.constant('take' as const), at: fc.constant(0), count: fc.constant(0) }),
      },
      {
        weight: 1,
        arbitrary: fc.record({ kind: fc.constant('coalesce' as const), at: fc.constant(0), count: fc.constant(0) }),
      },
    )
    fc.assert(
      fc.property(fc.array(step, { maxLength: 60, size: 'max' }), (steps) => {
        const free = memory.frames.freeFrames
        const map = P2m.create(memory, options)
        p2m = map
        listen(map)
        map.populate(0x200, 0x240)
        const log = new LogDirty(map, 0x200, 0x240)
        let written = new Set<number>()
        let exact = true
        for (const { kind, at, count } of steps) {
          const end = Math.min(at + count, 0x240)
          if (kind === 'store') {
            store(0x200 + at)
            written.add(0x200 + at)
          } else if (kind === 'dma') {
            log.mark(0x200 + at, end - at)
            for (let i = at; i < end; i++) written.add(0x200 + i)
          } else if (kind === 'coalesce') {
            // What it merges counts as changed.
            if (map.coalesce() > 0) exact = false
          } else {
            const seen = taken(log)
            if (exact) expect(seen).toEqual([...written].sort((a, b) => a - b))
            else expect(seen).toEqual(expect.arrayContaining([...written]))
            written = new Set()
            exact = true
          }
        }
        log.stop()
        const runs = [...map.leaves()].map(({ mfn, order }) => [mfn, order] as const)
        map.destroy()
        for (const [mfn, order] of runs) memory.frames.free(mfn, order)
        expect(memory.frames.freeFrames).toBe(free)
      }),
      { numRuns: slicedCount(150, 3), seed: slicedSeed(0x5eed) },
    )
  })
})
