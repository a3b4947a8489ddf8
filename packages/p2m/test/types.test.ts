import { MachineMemory } from '@retrap/memory'
import { beforeEach, describe, expect, test } from 'vitest'
import { FrameCounts, INVALID_MFN, isForeign, isRam, P2m, P2mAccess, P2mType } from '../src/index.ts'
import { codeOf, entryAt, reach, typeAt } from './support/entries.ts'

const T = P2mType
let memory: MachineMemory
let counts: FrameCounts
let p2m: P2m
let released: [gfn: number, mfn: number][]

beforeEach(() => {
  memory = MachineMemory.create({ bytes: 32 << 20 })
  counts = FrameCounts.create(memory)
  p2m = P2m.create(memory, { counts })
  released = []
  p2m.onRelease((gfn, mfn) => released.push([gfn, mfn]))
})

/** Gives the guest frame 0x200. @returns its machine frame */
function populated(): number {
  p2m.populate(0x200, 1)
  return entryAt(p2m, 0x200).mfn
}

/** Brings guest frame 0x200 to a type, the way one gets there. */
const WAYS: Readonly<Record<number, () => void>> = {
  [T.RAM_RW]: () => p2m.populate(0x200, 1),
  [T.INVALID]: () => p2m.insert(0x200, INVALID_MFN, 0, T.INVALID),
  [T.RAM_LOGDIRTY]: () => p2m.populate(0x200, 1, T.RAM_LOGDIRTY),
  [T.RAM_RO]: () => p2m.populate(0x200, 1, T.RAM_RO),
  [T.MMIO_DM]: () => p2m.insert(0x200, INVALID_MFN, 0, T.MMIO_DM),
  [T.MMIO_DIRECT]: () => p2m.insert(0x200, memory.frames.allocate(), 0, T.MMIO_DIRECT),
  [T.POPULATE_ON_DEMAND]: () => p2m.onDemand.mark(0x200, 1),
  [T.GRANT_MAP_RW]: () => p2m.insertForeign(0x200, memory.frames.allocate(), T.GRANT_MAP_RW),
  [T.GRANT_MAP_RO]: () => p2m.insertForeign(0x200, memory.frames.allocate(), T.GRANT_MAP_RO),
  [T.RAM_PAGING_OUT]: () => {
    p2m.populate(0x200, 1)
    p2m.paging.nominate(0x200)
  },
  [T.RAM_PAGED]: () => {
    way(T.RAM_PAGING_OUT)()
    p2m.paging.evict(0x200)
  },
  [T.RAM_PAGING_IN]: () => {
    way(T.RAM_PAGED)()
    p2m.paging.request(0x200)
  },
  [T.RAM_SHARED]: () => {
    p2m.populate(0x200, 2)
    p2m.share(0x201, p2m, 0x200)
  },
  [T.RAM_BROKEN]: () => {
    p2m.populate(0x200, 1)
    p2m.markBroken(0x200)
  },
  [T.MAP_FOREIGN]: () => p2m.insertForeign(0x200, memory.frames.allocate(), T.MAP_FOREIGN),
  [T.IOREQ_SERVER]: () => {
    p2m.populate(0x200, 1)
    p2m.writeClaim.claim(3)
    p2m.writeClaim.add(0x200, 1)
  },
}

const way = (type: number): (() => void) => WAYS[type] as () => void

// The reference's table "Types": second-level rights, whether it has a frame, RAM set, special.
describe('each type has the rights and the place that the reference gives it', () => {
  test.each([
    { type: T.RAM_RW, rights: 7, frame: true, ram: true, foreign: false },
    { type: T.INVALID, rights: 0, frame: false, ram: false, foreign: false },
    { type: T.RAM_LOGDIRTY, rights: 5, frame: true, ram: true, foreign: false },
    { type: T.RAM_RO, rights: 5, frame: true, ram: true, foreign: false },
    { type: T.MMIO_DM, rights: 0, frame: false, ram: false, foreign: false },
    { type: T.MMIO_DIRECT, rights: 7, frame: true, ram: false, foreign: false },
    { type: T.POPULATE_ON_DEMAND, rights: 0, frame: false, ram: false, foreign: false },
    { type: T.GRANT_MAP_RW, rights: 3, frame: true, ram: false, foreign: true },
    { type: T.GRANT_MAP_RO, rights: 1, frame: true, ram: false, foreign: true },
    { type: T.RAM_PAGING_OUT, rights: 0, frame: true, ram: true, foreign: false },
    { type: T.RAM_PAGED, rights: 0, frame: false, ram: true, foreign: false },
    { type: T.RAM_PAGING_IN, rights: 0, frame: false, ram: true, foreign: false },
    { type: T.RAM_SHARED, rights: 5, frame: true, ram: true, foreign: false },
    { type: T.RAM_BROKEN, rights: 0, frame: true, ram: false, foreign: false },
    { type: T.MAP_FOREIGN, rights: 3, frame: true, ram: false, foreign: true },
    { type: T.IOREQ_SERVER, rights: 5, frame: true, ram: true, foreign: false },
  ])('type $type: rights $rights', ({ type, rights, frame, ram, foreign }) => {
    way(type)()
    const entry = entryAt(p2m, 0x200)
    expect([entry.type, entry.rights, entry.mfn >= 0, entry.order]).toEqual([type, rights, frame, 0])
    expect(reach(p2m, 0x200)).toEqual([(rights & 1) !== 0, (rights & 2) !== 0])
    expect([isRam(type), isForeign(type)]).toEqual([ram, foreign])
    // Merging says the same with larger leaves, and never with these alone.
    p2m.coalesce()
    expect(typeAt(p2m, 0x200)).toBe(type)
  })
})

describe('changes that are refused leave everything as it was', () => {
  const calls: Record<string, () => void> = {
    'setType RAM_RO': () => p2m.setType(0x200, 1, T.RAM_RO),
    nominate: () => p2m.paging.nominate(0x200),
    evict: () => p2m.paging.evict(0x200),
    prepare: () => p2m.paging.prepare(0x200, new Uint8Array(4096)),
    resume: () => p2m.paging.resume(0x200),
    unshare: () => p2m.unshare(0x200),
    share: () => {
      p2m.populate(0x300, 1)
      p2m.share(0x300, p2m, 0x200)
    },
    mark: () => p2m.onDemand.mark(0x200, 1),
    'insert RAM': () => p2m.insert(0x200, memory.frames.allocate(), 0, T.RAM_RW),
    removeForeign: () => p2m.removeForeign(0x200),
    markBroken: () => p2m.markBroken(0x200),
    'claim add': () => {
      if (p2m.writeClaim.server < 0) p2m.writeClaim.claim(1)
      p2m.writeClaim.add(0x200, 1)
    },
  }
  /** By call, the types from which it goes through; what `setType` passes over counts, too. */
  const ALLOWED: Record<string, readonly number[]> = {
    'setType RAM_RO': [0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15],
    nominate: [T.RAM_RW, T.RAM_LOGDIRTY],
    evict: [T.RAM_PAGING_OUT],
    prepare: [T.RAM_PAGED, T.RAM_PAGING_IN],
    resume: [T.RAM_PAGING_OUT],
    unshare: [T.RAM_SHARED],
    share: [T.RAM_RW, T.RAM_SHARED],
    mark: [T.INVALID, T.MMIO_DM, T.POPULATE_ON_DEMAND],
    'insert RAM': [0, 1, 2, 3, 4, 6, 9, 10, 11, 12, 13, 15],
    removeForeign: [T.GRANT_MAP_RW, T.GRANT_MAP_RO, T.MAP_FOREIGN],
    markBroken: [T.RAM_RW, T.RAM_LOGDIRTY, T.RAM_RO, T.RAM_PAGING_OUT, T.RAM_SHARED, T.RAM_BROKEN, T.IOREQ_SERVER],
    'claim add': [T.RAM_RW],
  }
  /** Not by the type. */
  const CODES: Record<string, string> = { mark: 'ERR_BUSY', 'insert RAM': 'ERR_FOREIGN' }

  test.each(Object.keys(calls))('%s', (name) => {
    for (const type of Object.values(T)) {
      memory = MachineMemory.create({ bytes: 8 << 20 })
      counts = FrameCounts.create(memory)
      p2m = P2m.create(memory, { counts })
      way(type)()
      const before = entryAt(p2m, 0x200)
      const code = codeOf(calls[name] as () => void)
      if (ALLOWED[name]?.includes(type) === true) expect([type, code]).toEqual([type, 'none'])
      else {
        const expected = type === T.RAM_PAGING_IN && name === 'resume' ? 'ERR_STATE' : (CODES[name] ?? 'ERR_TYPE')
        expect([type, code, entryAt(p2m, 0x200)]).toEqual([type, expected, before])
      }
    }
  })
})

describe("a real device's frame", () => {
  test('is no RAM: not counted, not released, and in the way until it is removed', () => {
    const mfn = memory.frames.allocate()
    p2m.insert(0x200, mfn, 0, T.MMIO_DIRECT)
    expect(codeOf(() => p2m.populate(0x200, 1))).toBe('ERR_FOREIGN')
    p2m.insert(0x200, mfn, 0, T.MMIO_DIRECT)
    expect(codeOf(() => p2m.remove(0x200, INVALID_MFN))).toBe('ERR_MISMATCH')
    p2m.remove(0x200, mfn)
    expect([released, counts.count(mfn), memory.frames.isAllocated(mfn), typeAt(p2m, 0x200)]).toEqual([
      [],
      0,
      true,
      T.MMIO_DM,
    ])
  })

  test('in a read-only range cannot be written, in leaves that end where the range does', () => {
    const run = memory.frames.allocate(9)
    p2m.declareReadOnly(run + 0x10, 2)
    p2m.insertRange(0x400, run, 0x200, T.MMIO_DIRECT)
    const writable = [0x40f, 0x410, 0x411, 0x412].map((gfn) => reach(p2m, gfn))
    expect(writable).toEqual([
      [true, true],
      [true, false],
      [true, false],
      [true, true],
    ])
    const other = memory.frames.allocate(9)
    p2m.declareReadOnly(other, 0x200)
    p2m.insertRange(0x600, other, 0x200, T.MMIO_DIRECT)
    expect([entryAt(p2m, 0x600).order, reach(p2m, 0x7ff)]).toEqual([9, [true, false]])
    expect(codeOf(() => p2m.declareReadOnly(0, 1))).toBe('ERR_RANGE')
  })
})

test('a range of a real device may be mapped again as it is, and not moved', () => {
  const run = memory.frames.allocate(9)
  p2m.insertRange(0x400, run, 4, T.MMIO_DIRECT)
  const again = (gfn: number, mfn: number, count: number): string =>
    codeOf(() => p2m.insertRange(gfn, mfn, count, T.MMIO_DIRECT))
  expect([again(0x400, run, 4), again(0x402, run + 2, 1), again(0x401, run + 1, 4)]).toEqual(['none', 'none', 'none'])
  expect([again(0x400, run + 1, 1), again(0x401, run, 2), again(0x3ff, run, 2)]).toEqual([
    'ERR_FOREIGN',
    'ERR_FOREIGN',
    'ERR_FOREIGN',
  ])
})

describe('a broken frame', () => {
  test('leaves device models, stays in its place, and is never used again', () => {
    const mfn = populated()
    p2m.markBroken(0x200)
    expect([released, reach(p2m, 0x200)]).toEqual([[[0x200, mfn]], [false, false]])
    p2m.remove(0x200, mfn)
    expect([counts.count(mfn), memory.frames.isAllocated(mfn)]).toEqual([1, true])
  })
})

describe('paging', () => {
  const contents = Uint8Array.from({ length: 4096 }, (_, i) => i * 7)

  test('out and in again keeps the contents, in another frame', () => {
    p2m.populate(0x200, 0x200)
    const { mfn } = entryAt(p2m, 0x210)
    memory.write(mfn * 4096, contents)
    p2m.paging.nominate(0x210)
    const saved = memory.read(entryAt(p2m, 0x210).mfn * 4096, 4096)
    p2m.paging.evict(0x210)
    expect([released, memory.frames.isAllocated(mfn), p2m.guestFrame(mfn)]).toEqual([[[0x210, mfn]], false, -1])
    expect([p2m.paging.request(0x210), p2m.paging.request(0x210)]).toEqual(['load', 'none'])
    p2m.paging.prepare(0x210, saved)
    expect([typeAt(p2m, 0x210), reach(p2m, 0x210)]).toEqual([T.RAM_PAGING_IN, [false, false]])
    p2m.paging.resume(0x210)
    expect(memory.read(p2m.translateWrite(0x21_0000), 4096)).toEqual(contents)
    expect([released.length, counts.count(entryAt(p2m, 0x210).mfn)]).toEqual([1, 1])
  })

  test.each([
    { order: [0x210, 0x300], what: 'in order' },
    { order: [0x300, 0x210], what: 'the other way round' },
  ])('frames come back where others have been, and their neighbours stay known: $what', ({ order }) => {
    p2m.populate(0x200, 0x200)
    for (const gfn of order) p2m.paging.nominate(gfn)
    // No frame is free but those that are evicted.
    while (memory.frames.tryAllocate(0) >= 0);
    for (const gfn of [0x210, 0x300]) p2m.paging.evict(gfn)
    for (const gfn of order) p2m.paging.prepare(gfn, contents)
    for (const gfn of order) p2m.paging.resume(gfn)
    const gfns = Array.from({ length: 0x200 }, (_, i) => 0x200 + i)
    expect(gfns.map((gfn) => p2m.guestFrame(entryAt(p2m, gfn).mfn))).toEqual(gfns)
    expect(p2m.frames).toBe(0x200)
  })

  test('a frame that is asked for before it is evicted is resumed, and not evicted', () => {
    const mfn = populated()
    p2m.paging.nominate(0x200)
    expect([p2m.paging.request(0x200), codeOf(() => p2m.paging.evict(0x200))]).toEqual(['resume', 'ERR_TYPE'])
    expect(codeOf(() => p2m.paging.prepare(0x200, contents))).toBe('ERR_BUSY')
    p2m.paging.resume(0x200)
    expect([p2m.translate(0x20_0000), counts.count(mfn)]).toEqual([mfn * 4096, 1])
    expect([typeAt(p2m, 0x201), p2m.translate(0x20_1000)]).toEqual([T.MMIO_DM, -1])
  })

  test('a frame that others hold is not evicted', () => {
    const mfn = populated()
    counts.tryTake(mfn, 1)
    p2m.paging.nominate(0x200)
    expect(codeOf(() => p2m.paging.evict(0x200))).toBe('ERR_BUSY')
    counts.drop(mfn, 1)
    expect(codeOf(() => p2m.paging.evict(0x200))).toBe('none')
  })

  test('a frame that is paged out can be given back, and is a hole then', () => {
    way(T.RAM_PAGED)()
    p2m.remove(0x200, INVALID_MFN)
    expect([typeAt(p2m, 0x200), codeOf(() => p2m.paging.prepare(0x200, contents))]).toEqual([T.MMIO_DM, 'ERR_TYPE'])
  })

  test('contents of another size are refused, and so is an address that there is not', () => {
    way(T.RAM_PAGED)()
    expect(codeOf(() => p2m.paging.prepare(0x200, new Uint8Array(1)))).toBe('ERR_RANGE')
    expect(codeOf(() => p2m.paging.request(-1))).toBe('ERR_RANGE')
    while (memory.frames.tryAllocate(0) >= 0);
    expect([codeOf(() => p2m.paging.prepare(0x200, contents)), typeAt(p2m, 0x200)]).toEqual([
      'ERR_NO_MEMORY',
      T.RAM_PAGED,
    ])
  })
})

describe('sharing', () => {
  test('two guests have one frame, until one of them writes', () => {
    const other = P2m.create(memory, { counts })
    for (const map of [p2m, other]) {
      map.populate(0x200, 1)
      memory.write(map.translate(0x20_0000), Uint8Array.of(1, 2, 3))
    }
    const own = entryAt(p2m, 0x200).mfn
    const shared = entryAt(other, 0x200).mfn
    p2m.share(0x200, other, 0x200)
    expect([entryAt(p2m, 0x200).mfn, counts.count(shared), memory.frames.isAllocated(own)]).toEqual([shared, 2, false])
    expect([released, reach(p2m, 0x200), reach(other, 0x200)]).toEqual([[[0x200, own]], [true, false], [true, false]])
    p2m.unshare(0x200)
    const copy = entryAt(p2m, 0x200).mfn
    expect([copy === shared, memory.read(copy * 4096, 3), counts.count(shared)]).toEqual([
      false,
      Uint8Array.of(1, 2, 3),
      1,
    ])
    // The last user needs no copy.
    other.unshare(0x200)
    expect([entryAt(other, 0x200).mfn, reach(other, 0x200)]).toEqual([shared, [true, true]])
  })

  test('is refused for other contents, and while somebody holds a frame', () => {
    p2m.populate(0x200, 2)
    memory.write(p2m.translate(0x20_1000), Uint8Array.of(1))
    expect(codeOf(() => p2m.share(0x200, p2m, 0x201))).toBe('ERR_MISMATCH')
    expect([reach(p2m, 0x200), counts.count(entryAt(p2m, 0x201).mfn)]).toEqual([[true, true], 1])
    p2m.unshare(0x201)
    counts.tryTake(entryAt(p2m, 0x200).mfn, 1)
    expect(codeOf(() => p2m.share(0x201, p2m, 0x200))).toBe('ERR_BUSY')
    expect(codeOf(() => p2m.share(0x200, p2m, 0x201))).toBe('ERR_BUSY')
  })
})

describe('writes that a server claims (IOREQ_SERVER)', () => {
  test('need a claim, which one server has at a time', () => {
    p2m.populate(0x200, 4)
    expect(codeOf(() => p2m.writeClaim.add(0x200, 1))).toBe('ERR_STATE')
    p2m.writeClaim.claim(0)
    expect([p2m.writeClaim.server, codeOf(() => p2m.writeClaim.claim(1))]).toEqual([0, 'ERR_BUSY'])
    expect(codeOf(() => p2m.writeClaim.end(1))).toBe('ERR_BUSY')
  })

  test('are for whole ranges of RAM_RW, frame by frame, and nothing is released', () => {
    p2m.populate(0x200, 0x200)
    p2m.setType(0x210, 1, T.RAM_RO)
    p2m.writeClaim.claim(0)
    expect([codeOf(() => p2m.writeClaim.add(0x208, 0x10)), p2m.writeClaim.frames]).toEqual(['ERR_TYPE', 0])
    p2m.writeClaim.add(0x208, 8)
    expect([reach(p2m, 0x207), reach(p2m, 0x208), reach(p2m, 0x210), p2m.writeClaim.frames]).toEqual([
      [true, true],
      [true, false],
      [true, false],
      8,
    ])
    expect(p2m.setType(0x208, 1, T.RAM_RO)).toBe(0)
    p2m.writeClaim.remove(0x208, 8)
    expect([reach(p2m, 0x208), released]).toEqual([[true, true], []])
  })

  test('whose claim has ended become RAM again by a sweep in parts, before there is another', () => {
    p2m.populate(0x200, 0x100)
    p2m.writeClaim.claim(0)
    p2m.writeClaim.add(0x240, 0x20)
    p2m.writeClaim.end(0)
    expect(codeOf(() => p2m.writeClaim.claim(1))).toBe('ERR_BUSY')
    let parts = 0
    for (let from = 0; from >= 0; parts++) from = p2m.writeClaim.sweep(from, 0x30)
    expect([parts > 1, p2m.writeClaim.frames, reach(p2m, 0x240)]).toEqual([true, 0, [true, true]])
    p2m.writeClaim.claim(1)
    p2m.writeClaim.add(0x240, 1)
    expect([p2m.writeClaim.sweep(0, 1e9), p2m.writeClaim.frames]).toEqual([-1, 1])
  })
})

describe('access, the second mask', () => {
  test('leaves over what both allow, through every change of type', () => {
    p2m.populate(0x200, 0x200)
    expect(p2m.setAccess(0x210, 0x10, P2mAccess.RX)).toBe(0x10)
    expect([reach(p2m, 0x20f), reach(p2m, 0x210), entryAt(p2m, 0x210).rights]).toEqual([[true, true], [true, false], 5])
    p2m.setType(0x200, 0x200, T.RAM_RO)
    p2m.setType(0x200, 0x200, T.RAM_RW)
    expect([reach(p2m, 0x210), entryAt(p2m, 0x210).access, typeAt(p2m, 0x210)]).toEqual([
      [true, false],
      P2mAccess.RX,
      T.RAM_RW,
    ])
    expect([p2m.setAccess(0x200, 0x200, P2mAccess.RWX), p2m.coalesce(), entryAt(p2m, 0x210).order]).toEqual([
      0x10, 1, 9,
    ])
    expect(released).toEqual([])
  })

  test.each([
    [P2mAccess.N, 0],
    [P2mAccess.R, 1],
    [P2mAccess.W, 0],
    [P2mAccess.RW, 3],
    [P2mAccess.X, 4],
    [P2mAccess.RX, 5],
    [P2mAccess.WX, 4],
    [P2mAccess.RWX, 7],
    [P2mAccess.RX2RW, 5],
    [P2mAccess.N2RWX, 0],
    [P2mAccess.R_PW, 1],
  ])('access %i of RAM_RW gives rights %i', (access, rights) => {
    p2m.populate(0x200, 1)
    p2m.setAccess(0x200, 1, access)
    expect([entryAt(p2m, 0x200).rights, entryAt(p2m, 0x200).access]).toEqual([rights, access])
  })

  test('has a default for what will be mapped, and is one of those there are', () => {
    p2m.defaultAccess = P2mAccess.R
    p2m.populate(0x200, 1)
    expect([reach(p2m, 0x200), p2m.defaultAccess]).toEqual([[true, false], P2mAccess.R])
    expect([codeOf(() => p2m.setAccess(0x200, 1, 11)), codeOf(() => (p2m.defaultAccess = -1))]).toEqual([
      'ERR_TYPE',
      'ERR_TYPE',
    ])
    expect(p2m.setAccess(0x300, 1, P2mAccess.R)).toBe(0)
  })
})

describe('the reference’s test cases', () => {
  test('4: RAM replaced by RAM with the same machine frame is no release, with another it is', () => {
    const mfn = populated()
    p2m.insert(0x200, mfn, 0, T.RAM_RO)
    p2m.insert(0x200, mfn, 0, T.RAM_RW)
    expect(released).toEqual([])
    p2m.populate(0x200, 1)
    expect(released).toEqual([[0x200, mfn]])
  })

  test('5: a superpage’s worth of frames with one foreign one inside is not removed', () => {
    p2m.populate(0x200, 0x200)
    const { mfn } = entryAt(p2m, 0x200)
    p2m.insertForeign(0x300, memory.frames.allocate(), T.MAP_FOREIGN)
    released = []
    expect([codeOf(() => p2m.remove(0x200, mfn, 0x200)), released]).toEqual(['ERR_FOREIGN', []])
    expect(codeOf(() => p2m.insert(0x200, memory.frames.allocate(9), 9, T.RAM_RW))).toBe('ERR_FOREIGN')
    expect(released).toEqual([])
  })

  test('10: a frame that is removed and added with another machine frame before anybody has answered', () => {
    const mfn = populated()
    // Whoever is to be told keeps the frame until he has been.
    p2m.onRelease((_, frame) => counts.tryTake(frame, 1))
    p2m.remove(0x200, mfn)
    p2m.populate(0x200, 1)
    expect([released, entryAt(p2m, 0x200).mfn === mfn, memory.frames.isAllocated(mfn)]).toEqual([
      [[0x200, mfn]],
      false,
      true,
    ])
    counts.drop(mfn, 1)
    expect(memory.frames.isAllocated(mfn)).toBe(false)
  })
})

test('a write claim leaves the access that a monitor has set, when it comes and when it goes', () => {
  p2m.populate(0x200, 2)
  p2m.setAccess(0x200, 1, P2mAccess.RX)
  p2m.writeClaim.claim(1)
  const both = (): unknown[] => [0x200, 0x201].map((gfn) => [typeAt(p2m, gfn), entryAt(p2m, gfn).access])
  p2m.writeClaim.add(0x200, 2)
  expect(both()).toEqual([
    [T.IOREQ_SERVER, P2mAccess.RX],
    [T.IOREQ_SERVER, P2mAccess.RWX],
  ])
  p2m.writeClaim.remove(0x200, 2)
  expect(both()).toEqual([
    [T.RAM_RW, P2mAccess.RX],
    [T.RAM_RW, P2mAccess.RWX],
  ])
})

test('a frame that has left is no guest frame, even where a device page of that number is mapped in its place', () => {
  const mfn = populated()
  expect(p2m.guestFrame(mfn)).toBe(0x200)
  p2m.remove(0x200, mfn)
  expect(p2m.guestFrame(mfn)).toBe(-1)
  p2m.insert(0x200, mfn, 0, T.MMIO_DIRECT)
  expect([entryAt(p2m, 0x200).mfn, p2m.guestFrame(mfn)]).toEqual([mfn, -1])
})
