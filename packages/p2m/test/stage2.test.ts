import { MachineMemory } from '@retrap/memory'
import fc from 'fast-check'
import { beforeEach, describe, expect, test } from 'vitest'
import { ArmP2mType, FrameCounts, INVALID_MFN, P2m, P2mAccess, type Stage2 } from '../src/index.ts'
import { walkStage2, type Stage2Walk } from './support/stage2-walker.ts'
import { codeOf, entryAt, reach } from './support/entries.ts'

const T = ArmP2mType
let memory: MachineMemory
let counts: FrameCounts
let flushes: number
let p2m: P2m

function create(ipaBits = 40, vmid = 7): P2m {
  return P2m.create(memory, { counts, stage2: { ipaBits, vmid, flushTlb: () => flushes++ } })
}

beforeEach(() => {
  memory = MachineMemory.create({ bytes: 64 << 20 })
  counts = FrameCounts.create(memory)
  flushes = 0
  p2m = create()
})

const stage2 = (map: P2m = p2m): Stage2 => map.stage2 as Stage2
const walk = (gfn: number, map: P2m = p2m): Stage2Walk =>
  walkStage2(memory, stage2(map).registers, BigInt(gfn) * 4096n + 0x123n)

describe('the registers and the tables that they name', () => {
  test.each([
    { ipaBits: 32, start: 1, tables: 1 },
    { ipaBits: 36, start: 1, tables: 1 },
    { ipaBits: 40, start: 1, tables: 2 },
    { ipaBits: 42, start: 1, tables: 8 },
    { ipaBits: 44, start: 0, tables: 1 },
    { ipaBits: 48, start: 0, tables: 1 },
  ])('$ipaBits bits begin at level $start with $tables tables side by side', ({ ipaBits, start, tables }) => {
    const free = memory.frames.freeFrames
    const map = create(ipaBits, 0xbeef)
    const { registers, rootTables } = stage2(map)
    expect([rootTables, registers.vttbrLo % (tables * 4096), registers.vttbrHi >>> 16]).toEqual([tables, 0, 0xbeef])
    expect([64 - (registers.vtcr & 63), 2 - ((registers.vtcr >>> 6) & 3)]).toEqual([ipaBits, start])
    expect(walk(0, map)).toEqual({ level: start, fault: 'translation' })
    const limit = 2 ** (ipaBits - 12)
    for (const gfn of [0, 2 ** 19, limit - 1]) {
      map.populate(gfn, 1)
      expect(walk(gfn, map)).toMatchObject({ level: 3, output: map.translate(gfn * 4096) + 0x123 })
      expect(map.translate(gfn * 4096 + 0x123)).toBe(walk(gfn, map).output)
    }
    expect([codeOf(() => map.populate(limit, 1)), map.translate(limit * 4096), entryAt(map, limit).type]).toEqual([
      'ERR_RANGE',
      -1,
      T.INVALID,
    ])
    map.destroy()
    expect(memory.frames.freeFrames).toBe(free)
  })

  test('other sizes and VMIDs are refused, and no memory is said', () => {
    expect([codeOf(() => create(39)), codeOf(() => create(40, 0x1_0000)), codeOf(() => create(40, -1))]).toEqual([
      'ERR_RANGE',
      'ERR_RANGE',
      'ERR_RANGE',
    ])
    while (memory.frames.tryAllocate(0) >= 0);
    memory.frames.free(0x1000)
    memory.frames.free(0x1001)
    expect([codeOf(() => create()), memory.frames.freeFrames]).toEqual(['ERR_NO_MEMORY', 2])
  })
})

const RAM = { memAttr: 0xf, shareability: 3, accessed: true }
const DIRECT = { shareability: 2, accessed: true, execute: false, read: true, write: true }

describe('entries, as hardware reads them', () => {
  test.each([
    { type: T.RAM_RW, found: { ...RAM, read: true, write: true, execute: true } },
    { type: T.RAM_RO, found: { ...RAM, read: true, write: false, execute: true } },
    { type: T.MMIO_DIRECT_DEV, found: { ...DIRECT, memAttr: 1 } },
    { type: T.MMIO_DIRECT_NC, found: { ...DIRECT, memAttr: 5 } },
    { type: T.MMIO_DIRECT_C, found: { ...DIRECT, memAttr: 0xf } },
    { type: T.FOREIGN_MAP_RW, found: { ...RAM, read: true, write: true, execute: false } },
    { type: T.FOREIGN_MAP_RO, found: { ...RAM, read: true, write: false, execute: false } },
    { type: T.GRANT_MAP_RW, found: { ...RAM, read: true, write: true, execute: false } },
    { type: T.GRANT_MAP_RO, found: { ...RAM, read: true, write: false, execute: false } },
    { type: T.IOMMU_MAP_RW, found: { ...RAM, read: true, write: true, execute: false } },
    { type: T.IOMMU_MAP_RO, found: { ...RAM, read: true, write: false, execute: false } },
  ])('of type $type', ({ type, found }) => {
    const mfn = memory.frames.allocate()
    if (type >= T.FOREIGN_MAP_RW) p2m.insertForeign(0x12345, mfn, type)
    else p2m.insert(0x12345, mfn, 0, type)
    expect(walk(0x12345)).toMatchObject({ level: 3, output: mfn * 4096 + 0x123, software: type, ...found })
    const { rights } = entryAt(p2m, 0x12345)
    expect([(rights & 1) !== 0, (rights & 2) !== 0, (rights & 4) !== 0]).toEqual([
      found.read,
      found.write,
      found.execute,
    ])
    expect(p2m.translateExecute(0x1234_5000) >= 0).toBe(found.execute)
    expect(reach(p2m, 0x12345)).toEqual([found.read, found.write])
    expect(entryAt(p2m, 0x12344).type).toBe(T.INVALID)
  })

  test('blocks of 2 MiB and 1 GiB', () => {
    const large = MachineMemory.create({ bytes: 2100 * 2 ** 20 })
    const map = P2m.create(large, { stage2: {} })
    map.insert(0x4_0000, 0x4_0000, 18, T.RAM_RW)
    map.insert(0x8_0200, 0x600, 9, T.RAM_RO)
    const at = (gfn: number): Stage2Walk => walkStage2(large, stage2(map).registers, BigInt(gfn) * 4096n)
    expect(at(0x7_ffff)).toMatchObject({ level: 1, bytes: 2 ** 30, output: 0x7fff_f000 })
    expect(at(0x8_03ff)).toMatchObject({ level: 2, bytes: 2 ** 21, output: 0x7f_f000, write: false })
    map.shatter(0x4_1234)
    expect(at(0x4_1234)).toMatchObject({ level: 3, output: 0x4123_4000, execute: true, software: T.RAM_RW })
    expect([map.coalesce(), at(0x4_1234).level]).toEqual([2, 1])
  })

  test('16 neighbours that map consecutive, aligned frames are marked, until one of them changes', () => {
    p2m.insertRange(0x1000, 0x2000, 0x40, T.RAM_RW)
    p2m.insertRange(0x2000, 0x2008, 0x20, T.RAM_RW)
    p2m.insertRange(0x3008, 0x2008, 0x10, T.RAM_RW)
    expect([0x1000, 0x103f, 0x2000, 0x3008, 0x3010].map((gfn) => walk(gfn).contiguous)).toEqual([
      true,
      true,
      false,
      false,
      false,
    ])
    flushes = 0
    p2m.setType(0x1012, 1, T.RAM_RO)
    expect([0x100f, 0x1010, 0x101f, 0x1020].map((gfn) => walk(gfn).contiguous)).toEqual([true, false, false, true])
    expect([flushes > 0, walk(0x1012).write, walk(0x1013).write, entryAt(p2m, 0x1013).mfn]).toEqual([
      true,
      false,
      true,
      0x2013,
    ])
    p2m.insertRange(0x4_0000, 0x2000, 0x200 * 4, T.RAM_RW)
    expect(walk(0x4_0000)).toMatchObject({ level: 2, contiguous: false })
  })

  test('blocks of which there are 16 neighbours are marked as well', () => {
    const large = MachineMemory.create({ bytes: 100 << 20 })
    const map = P2m.create(large, { stage2: {} })
    const at = (gfn: number): Stage2Walk => walkStage2(large, stage2(map).registers, BigInt(gfn) * 4096n)
    map.insertRange(0x4_0000, 0x2000, 0x200 * 16, T.RAM_RW)
    expect([at(0x4_0000), at(0x4_1fff)]).toMatchObject([
      { level: 2, contiguous: true },
      { level: 2, contiguous: true },
    ])
  })

  test.each([
    { type: T.RAM_RO, contiguous: true },
    { type: T.MMIO_DIRECT_DEV, contiguous: true },
  ])('pages of type $type may be one: $contiguous', ({ type, contiguous }) => {
    p2m.insertRange(0x1000, 0x2000, 16, type)
    expect([walk(0x1000), walk(0x100f)]).toMatchObject([{ contiguous }, { contiguous }])
  })
})

describe('break before make', () => {
  /** Keeps what TLBs may have, and looks at each entry that is published. */
  function watch(): string[] {
    const wrong: string[] = []
    const publish = memory.publishEntry.bind(memory)
    let table = -1
    let reached = true
    /** Whether valid entries lead to a table, by its frame. */
    const isReached = (frame: number): boolean => {
      const below = (first: number, entries: number, level: number): boolean => {
        if (frame >= first >>> 12 && frame < (first >>> 12) + entries / 512) return true
        for (let i = 0; level < 3 && i < entries; i++) {
          const lo = memory.u32[first / 4 + i * 2] as number
          if ((lo & 3) === 3 && below((lo & ~0xfff) >>> 0, 512, level + 1)) return true
        }
        return false
      }
      return below(p2m.root, 512 * stage2().rootTables, 1)
    }
    /** By MA: the valid entry that a TLB may still have. */
    let cached = new Map<number, string>()
    memory.publishEntry = (ma, lo, hi) => {
      const [oldLo, oldHi] = [memory.u32[ma / 4] as number, memory.u32[ma / 4 + 1] as number]
      // What no valid tables lead to, no TLB has: that is how a fault's handler may take valid bits without a flush.
      const cleared = lo === (oldLo & ~1) >>> 0 && hi === oldHi
      if (!cleared || ma >>> 12 !== table) reached = !cleared || isReached(ma >>> 12)
      table = cleared ? ma >>> 12 : -1
      if ((oldLo & 1) !== 0 && reached && !cached.has(ma)) cached.set(ma, `${oldLo} ${oldHi & 0x10_ffff}`)
      const before = cached.get(ma)
      if ((lo & 1) !== 0 && before !== undefined && before !== `${lo} ${hi & 0x10_ffff}`)
        wrong.push(`${ma}: not broken`)
      if ((lo & 1) !== 0 && (oldLo & 1) !== 0 && (oldLo !== lo || ((oldHi ^ hi) & 0x10_0000) !== 0)) {
        wrong.push(`${ma}: made over a valid entry`)
      }
      publish(ma, lo, hi)
      if ((lo & 1) === 0) return
      // Of 16 neighbours, those that are valid agree on whether they are one.
      for (let at = ma - (ma % 128); at < ma - (ma % 128) + 128; at += 8) {
        const other = memory.u32[at / 4] as number
        const differs = (((memory.u32[at / 4 + 1] as number) ^ hi) & 0x10_0000) !== 0
        if ((other & 1) !== 0 && differs) wrong.push(`${ma}: ${at} is contiguous or not`)
      }
    }
    p2m = P2m.attach(memory, p2m.ma, () => {
      flushes++
      cached = new Map()
    })
    return wrong
  }

  test('an entry becomes another through an invalid one and a flush by VMID', () => {
    p2m.insert(0x200, 0x1000, 0, T.RAM_RW)
    const seen: (number | string)[] = []
    const publish = memory.publishEntry.bind(memory)
    memory.publishEntry = (ma, lo, hi) => {
      seen.push(lo & 1)
      publish(ma, lo, hi)
    }
    const view = P2m.attach(memory, p2m.ma, (vmid) => seen.push(`flush ${vmid}`))
    view.insert(0x200, 0x1001, 0, T.RAM_RW)
    expect(seen.splice(0)).toEqual([0, 'flush 7', 1])
    // From nothing, nobody has anything to forget.
    view.insert(0x201, 0x1002, 0, T.RAM_RW)
    expect(seen.splice(0)).toEqual([1])
    view.insert(0x201, 0x1002, 0, T.RAM_RW)
    expect(seen.splice(0)).toEqual([])
    // Removal flushes once, at the end.
    view.remove(0x200, 0x1001, 2)
    expect(seen.splice(0)).toEqual([0, 0, 'flush 7'])
  })

  test('nothing is freed, and nobody told, before the flush', () => {
    p2m.populate(0x200, 0x200)
    p2m.populate(0x400, 0x200)
    p2m.shatter(0x400)
    const [first, second] = [entryAt(p2m, 0x200).mfn, entryAt(p2m, 0x400).mfn]
    const { tableBytes } = p2m
    const seen: unknown[] = []
    const view = P2m.attach(memory, p2m.ma, () =>
      seen.push(['flush', counts.count(first), counts.count(second), view.tableBytes === tableBytes]),
    )
    view.onRelease((gfn, mfn) => seen.push(['release', gfn, counts.count(mfn)]))
    view.insertRange(0x200, INVALID_MFN, 0x400, T.INVALID)
    expect(seen.slice(0, 3)).toEqual([
      ['flush', 1, 1, true],
      ['release', 0x200, 1],
      ['release', 0x400, 1],
    ])
    expect([seen.length, counts.count(first), view.tableBytes]).toEqual([1 + 1 + 0x200, 0, tableBytes - 4096])
  })

  test('holds through any changes, and hardware finds what was mapped', () => {
    const step = fc.record({
      kind: fc.constantFrom('insert', 'remove', 'type', 'shatter', 'coalesce', 'invalidate', 'resolve'),
      gfn: fc
        .tuple(fc.constantFrom(0x200, 0x400, 0x3_fe00), fc.constantFrom(0, 0x10, 0x11, 0x1f0))
        .map(([a, b]) => a + b),
      mfn: fc.constantFrom(0x200, 0x210, 0x401, 0x600),
      count: fc.constantFrom(1, 0x10, 0x20, 0x200, 0x210),
      type: fc.constantFrom(T.RAM_RW, T.RAM_RO, T.MMIO_DIRECT_DEV),
    })
    fc.assert(
      fc.property(fc.array(step, { minLength: 1, maxLength: 14 }), (steps) => {
        memory = MachineMemory.create({ bytes: 16 << 20 })
        p2m = P2m.create(memory, { stage2: { ipaBits: 40 } })
        const wrong = watch()
        const map = new Map<number, [mfn: number, type: number]>()
        for (const { kind, gfn, mfn, count, type } of steps) {
          if (kind === 'insert') {
            // A device's frames are in the way of anything but themselves.
            const code = codeOf(() => p2m.insertRange(gfn, mfn, count, type))
            if (code !== 'none') {
              expect(code).toBe('ERR_FOREIGN')
              map.clear()
              for (const leaf of p2m.leaves()) {
                for (let i = 0; i < 2 ** leaf.order; i++) map.set(leaf.gfn + i, [leaf.mfn + i, leaf.type])
              }
            } else for (let i = 0; i < count; i++) map.set(gfn + i, [mfn + i, type])
          } else if (kind === 'remove') {
            const [at] = map.get(gfn) ?? [INVALID_MFN]
            if (codeOf(() => p2m.remove(gfn, at, count)) === 'none') for (let i = 0; i < count; i++) map.delete(gfn + i)
          } else if (kind === 'type' && type !== T.MMIO_DIRECT_DEV) {
            p2m.setType(gfn, count, type)
            for (let i = 0; i < count; i++) {
              const old = map.get(gfn + i)
              if (old !== undefined && old[1] !== T.MMIO_DIRECT_DEV) map.set(gfn + i, [old[0], type])
            }
          } else if (kind === 'shatter') p2m.shatter(gfn)
          else if (kind === 'coalesce') p2m.coalesce()
          else if (kind === 'invalidate') stage2().invalidate()
          else if (kind === 'resolve') expect(stage2().resolveFault(gfn)).toBe(map.has(gfn))
          for (const at of [gfn - 1, gfn, gfn + 1, gfn + 0x10, gfn + count - 1, gfn + count]) {
            const [expected, expectedType] = map.get(at) ?? [INVALID_MFN, T.INVALID]
            const entry = entryAt(p2m, at)
            expect([entry.mfn, entry.type]).toEqual([expected, expectedType])
            const found = walk(at)
            if (found.contiguous === true) {
              const size = (found.bytes as number) / 4096
              const first = at - (at % (16 * size))
              for (let i = 0; i < 16; i++) {
                const output = (found.output as number) + (first + i * size - (at - (at % size))) * 4096
                expect(walk(first + i * size + (at % size))).toEqual({ ...found, output })
              }
            }
            if (found.fault === undefined) expect(found.output).toBe(expected * 4096 + 0x123)
            // Hardware may be kept out of what is mapped; the fault is resolved then.
            else if (expected !== INVALID_MFN) {
              expect(stage2().resolveFault(at)).toBe(true)
              expect(walk(at)).toMatchObject({ output: expected * 4096 + 0x123, software: expectedType })
            }
          }
          expect(wrong).toEqual([])
        }
      }),
      { numRuns: 200, seed: 0x7654321 },
    )
  })
})

describe('entries whose valid bit has been taken away', () => {
  test('reference case 13: the fault puts it back a level at a time, and nobody is told of a release', () => {
    p2m.populate(0x200, 0x200)
    p2m.populate(0x1_0001, 2)
    let released = 0
    p2m.onRelease(() => released++)
    flushes = 0
    const before = [...p2m.leaves()]
    stage2().invalidate()
    expect([flushes, walk(0x210), walk(0x1_0001), p2m.translate(0x21_0000)]).toEqual([
      1,
      { level: 1, fault: 'translation' },
      { level: 1, fault: 'translation' },
      -1,
    ])
    // All that is known of the map stays.
    expect([...p2m.leaves()]).toEqual(before)
    expect(stage2().resolveFault(0x210)).toBe(true)
    expect([walk(0x210).output, walk(0x1_0001)]).toEqual([
      entryAt(p2m, 0x210).mfn * 4096 + 0x123,
      { level: 2, fault: 'translation' },
    ])
    expect(stage2().resolveFault(0x1_0001)).toBe(true)
    expect([walk(0x1_0001).level, walk(0x1_0002)]).toEqual([3, { level: 3, fault: 'translation' }])
    expect(stage2().resolveFault(0x1_0002)).toBe(true)
    expect([stage2().resolveFault(0x1_0002), stage2().resolveFault(0x1_0003), stage2().resolveFault(2 ** 28)]).toEqual([
      true,
      false,
      false,
    ])
    expect([flushes, released, [...p2m.leaves()]]).toEqual([1, 0, before])
  })

  test('they are removed, replaced and broken up like others', () => {
    p2m.populate(0x200, 0x400)
    const mfn = entryAt(p2m, 0x200).mfn
    stage2().invalidate()
    p2m.shatter(0x210)
    p2m.remove(0x201, mfn + 1)
    p2m.populate(0x202, 1)
    expect([entryAt(p2m, 0x201).type, counts.count(mfn + 1), counts.count(mfn + 2), entryAt(p2m, 0x203).mfn]).toEqual([
      T.INVALID,
      0,
      0,
      mfn + 3,
    ])
    for (const gfn of [0x200, 0x202, 0x203, 0x5ff]) {
      expect([stage2().resolveFault(gfn), walk(gfn).output]).toEqual([true, entryAt(p2m, gfn).mfn * 4096 + 0x123])
    }
  })
})

describe('accesses, in a tree of their own', () => {
  test('take rights from frames, one by one, and are kept when a frame is mapped anew', () => {
    p2m.populate(0x200, 0x200)
    expect(walk(0x210).level).toBe(2)
    expect(p2m.setAccess(0x210, 2, P2mAccess.RX)).toBe(2)
    expect([walk(0x210), entryAt(p2m, 0x210).access, entryAt(p2m, 0x212).access]).toMatchObject([
      { level: 3, read: true, write: false, execute: true },
      P2mAccess.RX,
      P2mAccess.RWX,
    ])
    p2m.setType(0x210, 1, T.RAM_RO)
    p2m.setType(0x210, 1, T.RAM_RW)
    expect([walk(0x210).write, entryAt(p2m, 0x210).access]).toEqual([false, P2mAccess.RX])
    p2m.populate(0x400, 0x200)
    expect([walk(0x400).level, p2m.setAccess(0x200, 0x200, P2mAccess.RWX), walk(0x210).write]).toEqual([2, 2, true])
  })

  test('with no memory for the tree nothing has changed', () => {
    p2m.populate(0x200, 1)
    while (memory.frames.tryAllocate(0) >= 0);
    expect([codeOf(() => p2m.setAccess(0x200, 1, P2mAccess.R)), reach(p2m, 0x200)]).toEqual([
      'ERR_NO_MEMORY',
      [true, true],
    ])
  })

  test('come back with the map, and go with it', () => {
    const free = memory.frames.freeFrames
    const one = create()
    one.populate(0x200, 4)
    one.setAccess(0x201, 1, P2mAccess.R)
    const state = one.save()
    const two = create()
    two.restore(state)
    expect([two.save(), walk(0x201, two).write, walk(0x202, two).write]).toEqual([state, false, true])
    two.destroy()
    one.destroy()
    expect(memory.frames.freeFrames).toBe(free)
  })
})

test('what only x86 guests have is refused', () => {
  const calls = [
    () => p2m.onDemand.mark(0x200, 1),
    () => p2m.paging.nominate(0x200),
    () => p2m.writeClaim.claim(1),
    () => p2m.share(0x200, p2m, 0x201),
    () => p2m.unshare(0x200),
    () => p2m.markBroken(0x200),
  ]
  expect(calls.map(codeOf)).toEqual(calls.map(() => 'ERR_TYPE'))
  p2m.populate(0x200, 1, T.RAM_RO)
  p2m.dirtied(0x200)
  expect([entryAt(p2m, 0x200).type, p2m.frames, P2m.create(memory).stage2]).toEqual([T.RAM_RO, 1, null])
})
