import { MachineMemory } from '@retrap/memory'
import fc from 'fast-check'
import { slicedCount } from '@retrap/tooling/slice'
import { describe, expect, test as base } from 'vitest'
import { TLB_EXECUTE, TLB_INDEX_MASK, TLB_READ, TLB_SET_BYTES, TLB_WRITE, tlbBytes } from '../src/tlb-layout.ts'
import { clearTlbSet, Tlb } from '../src/tlb.ts'
import type { TlbPage } from '../src/tlb-layout.ts'

const MODES = 3
/** Access modes, and the miss set after them. */
const [TLB_USER, TLB_SUPERVISOR, TLB_SUPERVISOR_SMAP, TLB_MISS] = [0, 1, 2, MODES]

const ofPage = (global: boolean, pageBytes: number, key = 0): TlbPage => ({ global, pageBytes, key })

const memory = MachineMemory.create({ bytes: 16 << 20 })
const at = memory.allocate(tlbBytes(MODES), 0x1000, 'TLB')

/** A TLB in fresh memory. */
function emptyTlb(ignored = 0): Tlb {
  memory.u8.fill(0, at, at + tlbBytes(MODES))
  return new Tlb(memory, at, MODES, ignored)
}

const test = base.extend('tlb', () => emptyTlb())

/** What generated code does: the host page of a linear address, or -1. */
function lookUp(tlb: Tlb, set: number, table: number, lo: number, hi: number): number {
  const entry = tlb.setAddress(set) + table + ((lo >>> 8) & TLB_INDEX_MASK)
  const tag = memory.readU64(entry)
  const linear = (BigInt(hi >>> 0) << 32n) | BigInt(lo >>> 0)
  const distance = BigInt.asUintN(64, linear - tag)
  return distance < 0x1000n ? (memory.u32[(entry + 8) >>> 2] as number) : -1
}

const SETS = [TLB_USER, TLB_SUPERVISOR, TLB_SUPERVISOR_SMAP]
const TABLES = [TLB_READ, TLB_WRITE, TLB_EXECUTE]

describe('the TLB', () => {
  test('when new, no address is found in any set or table', ({ tlb }) => {
    for (const set of [...SETS, TLB_MISS]) {
      for (const table of TABLES) {
        for (const lo of [0, 0xfff, 0x1000, 0x3f_f000, 0x40_0000, 0xffff_f000, 0xffff_ffff]) {
          for (const hi of [0, 1, 0x7fff, 0xffff_8000, 0xffff_ffff]) expect(lookUp(tlb, set, table, lo, hi)).toBe(-1)
        }
      }
    }
  })

  test('an entry is found for each byte of its page, in its own set and table only', ({ tlb }) => {
    tlb.fill(TLB_USER, TLB_WRITE, 0x1234_5678, 0xffff_8000, 0xabc000, ofPage(false, 0x1000))
    expect(lookUp(tlb, TLB_USER, TLB_WRITE, 0x1234_5000, 0xffff_8000)).toBe(0xabc000)
    expect(lookUp(tlb, TLB_USER, TLB_WRITE, 0x1234_5fff, 0xffff_8000)).toBe(0xabc000)
    expect(lookUp(tlb, TLB_USER, TLB_WRITE, 0x1234_4fff, 0xffff_8000)).toBe(-1)
    expect(lookUp(tlb, TLB_USER, TLB_WRITE, 0x1234_6000, 0xffff_8000)).toBe(-1)
    expect(lookUp(tlb, TLB_USER, TLB_WRITE, 0x1234_5678, 0xffff_8001)).toBe(-1)
    expect(lookUp(tlb, TLB_USER, TLB_READ, 0x1234_5678, 0xffff_8000)).toBe(-1)
    expect(lookUp(tlb, TLB_SUPERVISOR, TLB_WRITE, 0x1234_5678, 0xffff_8000)).toBe(-1)
  })

  test.each([0x1000, 0x20_0000, 0x4000_0000])('a page of %i bytes is dropped with all of its tags', (pageBytes) => {
    const tlb = emptyTlb(0xff00_0000)
    for (const global of [false, true]) {
      tlb.fill(TLB_USER, TLB_READ, 0x1234_5000, 0x5a00_0012, 0xabc000, ofPage(global, pageBytes))
      expect(lookUp(tlb, TLB_USER, TLB_READ, 0x1234_5000, 0x0000_0012)).toBe(-1)
      tlb.invalidatePage(0x1234_5000, 0x0000_0013)
      expect(lookUp(tlb, TLB_USER, TLB_READ, 0x1234_5000, 0x5a00_0012)).toBe(0xabc000)
      tlb.invalidatePage(0x1234_5000, 0x0000_0012)
      expect(lookUp(tlb, TLB_USER, TLB_READ, 0x1234_5000, 0x5a00_0012)).toBe(-1)
    }
  })

  test('a flush that keeps global pages keeps those only', ({ tlb }) => {
    tlb.fill(TLB_SUPERVISOR, TLB_READ, 0x1000, 0, 0x5000, ofPage(true, 0x1000))
    tlb.fill(TLB_SUPERVISOR, TLB_READ, 0x2000, 0, 0x6000, ofPage(false, 0x1000))
    tlb.flush(false)
    expect(lookUp(tlb, TLB_SUPERVISOR, TLB_READ, 0x1000, 0)).toBe(0x5000)
    expect(lookUp(tlb, TLB_SUPERVISOR, TLB_READ, 0x2000, 0)).toBe(-1)
    tlb.flush(true)
    expect(lookUp(tlb, TLB_SUPERVISOR, TLB_READ, 0x1000, 0)).toBe(-1)
  })

  test('INVLPG drops the page in all modes and tables, and nothing else', ({ tlb }) => {
    for (const set of SETS) {
      for (const table of TABLES) {
        tlb.fill(set, table, 0x7000, 5, 0x9000, ofPage(true, 0x1000))
        tlb.fill(set, table, 0x8000, 5, 0xa000, ofPage(true, 0x1000))
      }
    }
    tlb.invalidatePage(0x7123, 5)
    for (const set of SETS) {
      for (const table of TABLES) {
        expect(lookUp(tlb, set, table, 0x7000, 5)).toBe(-1)
        expect(lookUp(tlb, set, table, 0x8000, 5)).toBe(0xa000)
      }
    }
  })

  test.for([0x4000, 0x1_0000, 0x20_0000, 0x40_0000, 0x80_0000, 0x200_0000, 0x4000_0000])(
    'INVLPG of any byte of a page of %i bytes drops all of it',
    (pageBytes, { tlb }) => {
      const start = 0x4000_0000
      tlb.fill(TLB_USER, TLB_READ, start + 0x3000, 0, 0x9000, ofPage(false, pageBytes))
      tlb.invalidatePage(start + pageBytes - 1, 0)
      expect(lookUp(tlb, TLB_USER, TLB_READ, start + 0x3000, 0)).toBe(-1)
    },
  )

  test('INVLPG of a fragment keeps what is not of its large page', ({ tlb }) => {
    tlb.fill(TLB_USER, TLB_READ, 0x4000_3000, 0, 0x9000, ofPage(true, 0x20_0000))
    tlb.fill(TLB_USER, TLB_READ, 0x4020_4000, 0, 0xa000, ofPage(false, 0x20_0000))
    tlb.fill(TLB_USER, TLB_READ, 0x4000_5000, 0, 0xb000, ofPage(false, 0x1000))
    tlb.invalidatePage(0x4010_0000, 0)
    expect(lookUp(tlb, TLB_USER, TLB_READ, 0x4000_3000, 0)).toBe(-1)
    expect(lookUp(tlb, TLB_USER, TLB_READ, 0x4020_4000, 0)).toBe(0xa000)
    expect(lookUp(tlb, TLB_USER, TLB_READ, 0x4000_5000, 0)).toBe(0xb000)
  })

  describe('with views of code', () => {
    const CODE = ofPage(false, 0x1000)

    test('execute entries go away with theirs and come back; data entries stay', ({ tlb }) => {
      tlb.fill(TLB_SUPERVISOR, TLB_EXECUTE, 0x1000, 0, 0x5000, CODE)
      tlb.fill(TLB_SUPERVISOR, TLB_WRITE, 0x1000, 0, 0x6000, CODE)
      tlb.exchangeView(0, 1)
      expect(lookUp(tlb, TLB_SUPERVISOR, TLB_EXECUTE, 0x1000, 0)).toBe(-1)
      expect(lookUp(tlb, TLB_SUPERVISOR, TLB_WRITE, 0x1000, 0)).toBe(0x6000)
      tlb.fill(TLB_SUPERVISOR, TLB_EXECUTE, 0x1000, 0, 0x8000, CODE)
      tlb.exchangeView(1, 0)
      expect(lookUp(tlb, TLB_SUPERVISOR, TLB_EXECUTE, 0x1000, 0)).toBe(0x5000)
      tlb.exchangeView(0, 1)
      expect(lookUp(tlb, TLB_SUPERVISOR, TLB_EXECUTE, 0x1000, 0)).toBe(0x8000)
    })

    test.each<readonly [string, (tlb: Tlb) => void]>([
      ['a flush', (tlb) => tlb.flush(false)],
      ['INVLPG', (tlb) => tlb.invalidatePage(0x1000, 0)],
      ['another address space', (tlb) => tlb.exchange(0, 3)],
      ['moved slot tables', (tlb) => tlb.flushExecute()],
      ['another meaning of the view', (tlb) => tlb.dropView(0)],
    ])('they do not come back after %s', (_, drop) => {
      const tlb = emptyTlb()
      tlb.fill(TLB_USER, TLB_EXECUTE, 0x1000, 0, 0x5000, CODE)
      tlb.exchangeView(0, 1)
      drop(tlb)
      tlb.exchangeView(1, 0)
      expect(lookUp(tlb, TLB_USER, TLB_EXECUTE, 0x1000, 0)).toBe(-1)
    })

    test('an entry that was dropped while its view was current does not come back', ({ tlb }) => {
      tlb.fill(TLB_USER, TLB_EXECUTE, 0x1000, 0, 0x5000, CODE)
      tlb.invalidatePage(0x1000, 0)
      tlb.exchangeView(0, 1)
      tlb.exchangeView(1, 0)
      expect(lookUp(tlb, TLB_USER, TLB_EXECUTE, 0x1000, 0)).toBe(-1)
    })

    test('a view of many entries gets none back, and the next one none of them', ({ tlb }) => {
      const pages = 1000
      const found = (): number =>
        Array.from({ length: pages }, (_, i) => lookUp(tlb, TLB_USER, TLB_EXECUTE, i * 0x1000, 0)).filter(
          (at) => at !== -1,
        ).length
      for (let i = 0; i < pages; i++) tlb.fill(TLB_USER, TLB_EXECUTE, i * 0x1000, 0, 0x5000, CODE)
      expect(found()).toBe(pages)
      tlb.exchangeView(0, 1)
      expect(found()).toBe(0)
      tlb.exchangeView(1, 0)
      expect(found()).toBe(0)
    })

    test('those of an address space that comes back are of the view in which it does, or gone', ({ tlb }) => {
      tlb.fill(TLB_USER, TLB_EXECUTE, 0x1000, 0, 0x5000, CODE)
      tlb.exchange(0, 3)
      tlb.exchangeView(0, 1)
      tlb.exchange(3, 0)
      expect(lookUp(tlb, TLB_USER, TLB_EXECUTE, 0x1000, 0)).toBe(-1)

      tlb.fill(TLB_USER, TLB_EXECUTE, 0x2000, 0, 0x5000, CODE)
      tlb.exchange(0, 3)
      tlb.exchange(3, 0)
      tlb.exchangeView(1, 0)
      expect(lookUp(tlb, TLB_USER, TLB_EXECUTE, 0x2000, 0)).toBe(-1)
    })
  })

  describe('with address spaces', () => {
    test('entries go away with theirs and come back; global ones stay', ({ tlb }) => {
      tlb.fill(TLB_USER, TLB_READ, 0x1000, 7, 0x5000, ofPage(false, 0x1000))
      tlb.fill(TLB_SUPERVISOR, TLB_READ, 0x2000, 7, 0x6000, ofPage(true, 0x1000))
      tlb.exchange(0, 5)
      expect(lookUp(tlb, TLB_USER, TLB_READ, 0x1000, 7)).toBe(-1)
      expect(lookUp(tlb, TLB_SUPERVISOR, TLB_READ, 0x2000, 7)).toBe(0x6000)
      tlb.fill(TLB_USER, TLB_READ, 0x1000, 7, 0x8000, ofPage(false, 0x1000))
      tlb.exchange(5, 0)
      expect(lookUp(tlb, TLB_USER, TLB_READ, 0x1000, 7)).toBe(0x5000)
      tlb.exchange(0, 5)
      expect(lookUp(tlb, TLB_USER, TLB_READ, 0x1000, 7)).toBe(0x8000)
    })

    test('an address space of many entries gets those back that were made last, and only those', ({ tlb }) => {
      const pages = 10_000
      for (let i = 0; i < pages; i++) tlb.fill(TLB_USER, TLB_READ, i * 0x1000, 0, 0x5000, ofPage(false, 0x1000))
      tlb.exchange(0, 1)
      tlb.exchange(1, 0)
      expect(lookUp(tlb, TLB_USER, TLB_READ, 0, 0)).toBe(-1)
      const found = Array.from({ length: pages }, (_, i) => lookUp(tlb, TLB_USER, TLB_READ, i * 0x1000, 0) === 0x5000)
      const first = found.indexOf(true)
      expect(found.slice(first).every(Boolean)).toBe(true)
      expect(pages - first).toBeLessThan(pages)
      expect(pages - first).toBeGreaterThan(pages / 2)
    })

    test('one that is dropped while it is away does not come back', ({ tlb }) => {
      for (const drop of [() => tlb.dropParked(3), () => tlb.dropAllParked(), () => tlb.flush(true)]) {
        tlb.exchange(0, 3)
        tlb.fill(TLB_USER, TLB_READ, 0x1000, 7, 0x5000, ofPage(false, 0x1000))
        tlb.exchange(3, 0)
        drop()
        tlb.exchange(0, 3)
        expect(lookUp(tlb, TLB_USER, TLB_READ, 0x1000, 7)).toBe(-1)
        tlb.exchange(3, 0)
      }
    })

    test('fragments of large pages come back as such', ({ tlb }) => {
      tlb.fill(TLB_USER, TLB_READ, 0x4000_3000, 0, 0x9000, ofPage(false, 0x20_0000))
      tlb.exchange(0, 1)
      tlb.exchange(1, 0)
      expect(lookUp(tlb, TLB_USER, TLB_READ, 0x4000_3000, 0)).toBe(0x9000)
      tlb.invalidatePage(0x401f_f000, 0)
      expect(lookUp(tlb, TLB_USER, TLB_READ, 0x4000_3000, 0)).toBe(-1)
    })

    test('frames that hold code now, and moved code pages, are noticed while away', ({ tlb }) => {
      for (const table of TABLES) tlb.fill(TLB_USER, table, 0x7000, 0, 0x9000, ofPage(false, 0x1000))
      tlb.exchange(0, 1)
      tlb.dropWritable(0x9000)
      tlb.flushExecute()
      tlb.exchange(1, 0)
      expect(TABLES.map((table) => lookUp(tlb, TLB_USER, table, 0x7000, 0))).toEqual([0x9000, -1, -1])
    })

    test('more of them than are kept lose the one that was away longest', ({ tlb }) => {
      for (let pcid = 0; pcid < 12; pcid++) {
        tlb.fill(TLB_USER, TLB_READ, 0x1000, 0, 0x1000 * (pcid + 1), ofPage(false, 0x1000))
        tlb.exchange(pcid, pcid + 1)
      }
      // From the latest back: those that are left are found, with what is theirs.
      const found: number[] = []
      for (let pcid = 11; pcid >= 0; pcid--) {
        tlb.exchange(pcid + 1, pcid)
        found.push(lookUp(tlb, TLB_USER, TLB_READ, 0x1000, 0))
      }
      const left = found.indexOf(-1)
      expect(left).toBeGreaterThan(3)
      expect(found).toEqual(Array.from({ length: 12 }, (_, i) => (i < left ? 0x1000 * (12 - i) : -1)))
    })
  })

  // The page of a guest that waits in MWAIT, again and again.
  test.for([
    { given: 'one entry', make: [0x7000] },
    { given: 'one entry, made twice', make: [0x7000, 0x7000] },
    { given: 'two entries', make: [0x7000, 0x8000] },
    { given: 'two entries, the first made again', make: [0x7000, 0x8000, 0x7000] },
    { given: 'an entry that is parked', make: [0x7000, 'park'] },
    { given: 'an entry that is parked, and another', make: [0x7000, 'park', 0x8000] },
    { given: 'an entry whose place another frame has', make: [0x7000, 0x10_7000] },
  ] as const)('a frame that is dropped each time that it can be written: $given', ({ make }, { tlb }) => {
    for (let round = 0; round < 3; round++) {
      let pcid = 0
      for (const one of make) {
        if (one === 'park') tlb.exchange(pcid, ++pcid)
        else tlb.fill(TLB_USER, TLB_WRITE, one, 0, one > 0x10_0000 ? 0xb000 : 0x9000, ofPage(false, 0x1000))
      }
      tlb.dropWritable(0x9000)
      for (; pcid > 0; pcid--) {
        expect(lookUp(tlb, TLB_USER, TLB_WRITE, 0x8000, 0)).toBe(-1)
        tlb.exchange(pcid, pcid - 1)
      }
      expect([0x7000, 0x8000].map((lo) => lookUp(tlb, TLB_USER, TLB_WRITE, lo, 0))).toEqual([-1, -1])
      const other = make.some((one) => one === 0x10_7000)
      expect(lookUp(tlb, TLB_USER, TLB_WRITE, 0x10_7000, 0)).toBe(other ? 0xb000 : -1)
    }
  })

  test('a frame that holds code now leaves the write tables of all modes, and stays readable', ({ tlb }) => {
    for (const set of SETS)
      for (const table of TABLES) tlb.fill(set, table, 0x7000 + 0x1000 * set, 0, 0x9000, ofPage(false, 0x1000))
    tlb.fill(TLB_USER, TLB_WRITE, 0xf000, 0, 0xb000, ofPage(false, 0x1000))
    tlb.dropWritable(0x9000)
    for (const set of SETS) {
      expect(lookUp(tlb, set, TLB_WRITE, 0x7000 + 0x1000 * set, 0)).toBe(-1)
      expect(lookUp(tlb, set, TLB_READ, 0x7000 + 0x1000 * set, 0)).toBe(0x9000)
      expect(lookUp(tlb, set, TLB_EXECUTE, 0x7000 + 0x1000 * set, 0)).toBe(0x9000)
    }
    expect(lookUp(tlb, TLB_USER, TLB_WRITE, 0xf000, 0)).toBe(0xb000)
  })

  test('frames whose writes are to be noticed leave the write tables together, and come back when they are filled', ({
    tlb,
  }) => {
    const write = (page: number): number => lookUp(tlb, TLB_USER, TLB_WRITE, page * 0x1000, 0)
    const fill = (page: number, table = TLB_WRITE): void =>
      tlb.fill(TLB_USER, table, page * 0x1000, 0, (page + 0x100) * 0x1000, ofPage((page & 1) !== 0, 0x1000))
    for (const page of [1, 2, 3, 4, 5]) fill(page)
    fill(2, TLB_READ)
    // The last is not meant, and one was never there.
    tlb.dropWritableFrames(Uint32Array.of(0x102, 0x103, 0x105, 0x200, 0x104), 4)
    expect([1, 2, 3, 4, 5].map(write)).toEqual([0x10_1000, -1, -1, 0x10_4000, -1])
    expect(lookUp(tlb, TLB_USER, TLB_READ, 0x2000, 0)).toBe(0x10_2000)
    for (const page of [2, 3]) fill(page)
    tlb.dropWritableFrames(Uint32Array.of(0x102), 1)
    expect([2, 3].map(write)).toEqual([-1, 0x10_3000])
    // Those of an address space that is put aside are dropped too.
    fill(2)
    tlb.exchange(0, 1)
    tlb.dropWritableFrames(Uint32Array.of(0x102, 0x103), 2)
    tlb.exchange(1, 0)
    expect([1, 2, 3, 4].map(write)).toEqual([0x10_1000, -1, -1, 0x10_4000])
  })

  test('a page whose writes are seen is found for stores, unless the host is to be asked', ({ tlb }) => {
    const seen = (lo: number, hi = -1): number => tlb.findSeen(tlb.setAddress(TLB_USER), lo | 0, hi)
    memory.codeBits[0x9] = 1
    tlb.fill(TLB_USER, TLB_WRITE, 0xffff_9000, 0xffff_ffff, 0x9000, ofPage(false, 0x1000))
    expect([seen(0xffff_9123), seen(0xffff_a123), seen(0xf3ff_9123), seen(0xffff_9123, 0)]).toEqual([0x9000, 0, 0, 0])
    expect(lookUp(tlb, TLB_USER, TLB_WRITE, 0xffff_9000, 0xffff_ffff)).toBe(-1)
    memory.codeBits[0x9] = 0
    expect(seen(0xffff_9123)).toBe(0)
    memory.codeBits[0x9] = 1
    tlb.dropWritableFrames(Uint32Array.of(9), 1)
    expect(seen(0xffff_9123)).toBe(0)
    memory.codeBits[0x9] = 0
  })

  test('moved code pages leave the execute tables only', ({ tlb }) => {
    for (const table of TABLES) tlb.fill(TLB_USER, table, 0x7000, 0, 0x9000, ofPage(true, 0x1000))
    tlb.flushExecute()
    expect(TABLES.map((table) => lookUp(tlb, TLB_USER, table, 0x7000, 0))).toEqual([0x9000, 0x9000, -1])
  })

  test('behaves as a map from page to host page that may forget, and never remembers what was dropped', () => {
    const page = fc.record({
      lo: fc.constantFrom(0, 0x1000, 0x40_0000, 0x40_1000, 0xffff_f000),
      hi: fc.constantFrom(0, 1, 0xffff_ffff),
    })
    const action = fc.oneof(
      {
        weight: 6,
        arbitrary: fc.record({
          kind: fc.constant('fill' as const),
          page,
          set: fc.constantFrom(...SETS),
          table: fc.constantFrom(...TABLES),
          host: fc.integer({ min: 1, max: 200 }),
          global: fc.boolean(),
          pageBytes: fc.constantFrom(0x1000, 0x1_0000, 0x20_0000, 0x40_0000, 0x200_0000, 0x4000_0000),
          key: fc.constantFrom(0, 1, 16, 31),
        }),
      },
      { weight: 2, arbitrary: fc.record({ kind: fc.constant('invalidate' as const), page }) },
      { weight: 1, arbitrary: fc.record({ kind: fc.constant('flush' as const), all: fc.boolean() }) },
      { weight: 2, arbitrary: fc.record({ kind: fc.constant('exchange' as const), to: fc.nat({ max: 3 }) }) },
      {
        weight: 1,
        arbitrary: fc.record({ kind: fc.constant('keys' as const), keys: fc.constantFrom(1, 2, 1 << 16, -1) }),
      },
      { weight: 1, arbitrary: fc.record({ kind: fc.constant('forget' as const), pcid: fc.nat({ max: 3 }) }) },
      {
        weight: 1,
        arbitrary: fc.record({ kind: fc.constantFrom('drop', 'move'), host: fc.integer({ min: 1, max: 200 }) }),
      },
    )
    fc.assert(
      fc.property(fc.array(action, { maxLength: 60, size: 'max' }), (actions) => {
        const tlb = emptyTlb()
        interface Entry {
          host: number
          global: boolean
          pcid: number
          pageBytes: number
          key: number
          set: number
          table: number
          lo: number
          hi: number
        }
        let pcid = 0
        // By page, and for pages that are not global by PCID.
        const model = new Map<string, Entry>()
        const keyOf = (e: Omit<Entry, 'host' | 'pageBytes' | 'key'>): string =>
          `${e.set} ${e.table} ${e.lo} ${e.hi} ${e.global ? 'global' : e.pcid}`
        for (const a of actions) {
          if (a.kind === 'fill') {
            tlb.fill(a.set, a.table, a.page.lo, a.page.hi, a.host << 12, ofPage(a.global, a.pageBytes, a.key))
            const { set, table, global, pageBytes, key } = a
            const e = { host: a.host << 12, global, pcid, pageBytes, key, set, table, ...a.page }
            for (const either of [false, true]) model.delete(keyOf({ ...e, global: either }))
            model.set(keyOf(e), e)
          } else if (a.kind === 'invalidate') {
            tlb.invalidatePage(a.page.lo, a.page.hi)
            for (const [key, e] of model) {
              const covers =
                e.hi === a.page.hi && Math.floor(e.lo / e.pageBytes) === Math.floor(a.page.lo / e.pageBytes)
              if (covers && (e.global || e.pcid === pcid)) model.delete(key)
            }
          } else if (a.kind === 'flush') {
            tlb.flush(a.all)
            for (const [key, e] of model) if (a.all || (!e.global && e.pcid === pcid)) model.delete(key)
          } else if (a.kind === 'exchange') {
            if (a.to !== pcid) tlb.exchange(pcid, a.to)
            pcid = a.to
          } else if (a.kind === 'keys') {
            tlb.dropKeys(a.keys)
            for (const [key, e] of model) {
              if (((a.keys >>> e.key) & 1) !== 0 && e.table !== TLB_EXECUTE) model.delete(key)
            }
          } else if (a.kind === 'forget') {
            if (a.pcid !== pcid) {
              tlb.dropParked(a.pcid)
              for (const [key, e] of model) if (!e.global && e.pcid === a.pcid) model.delete(key)
            }
          } else if (a.kind === 'move') {
            tlb.dropWritable(a.host << 12)
            tlb.moveFrame(a.host << 12, 0x100_0000, false)
            for (const e of model.values()) if (e.host === a.host << 12) e.host = 0x100_0000
          } else {
            const hosts = [a.host, (a.host + 7) % 200, (a.host * 3) % 200].slice(0, 1 + (a.host & 3))
            if (hosts.length === 1) tlb.dropWritable(a.host << 12)
            else tlb.dropWritableFrames(Uint32Array.of(...hosts, a.host + 1), hosts.length)
            for (const [key, e] of model) {
              if (e.table === TLB_WRITE && hosts.includes(e.host >>> 12)) model.delete(key)
            }
          }
          for (const set of SETS) {
            for (const table of TABLES) {
              for (const lo of [0, 0x1000, 0x40_0000, 0x40_1000, 0xffff_f000]) {
                for (const hi of [0, 1, 0xffff_ffff]) {
                  const found = lookUp(tlb, set, table, lo, hi)
                  if (found === -1) continue
                  const expected = [false, true].map((global) => model.get(keyOf({ set, table, lo, hi, global, pcid })))
                  expect(expected.map((e) => e?.host)).toContain(found)
                }
              }
            }
          }
        }
      }),
      { numRuns: slicedCount(200, 3) },
    )
  })

  test('a frame that moves takes its read entries along, those of other address spaces too', ({ tlb }) => {
    for (const lo of [0x1000, 0x2000]) tlb.fill(TLB_USER, TLB_READ, lo, 0, 0x9000, ofPage(lo === 0x2000, 0x1000))
    tlb.exchange(0, 1)
    tlb.moveFrame(0x9000, 0xa000, false)
    tlb.exchange(1, 0)
    expect([0x1000, 0x2000].map((lo) => lookUp(tlb, TLB_USER, TLB_READ, lo, 0))).toEqual([0xa000, 0xa000])
  })

  test('keys that lose rights take the data of their pages along, not the code', ({ tlb }) => {
    for (const table of TABLES) {
      for (const key of [0, 5, 16, 21])
        tlb.fill(TLB_USER, table, 0x1000 * (key + 1), 0, 0x1000 * (key + 1), ofPage(key === 21, 0x1000, key))
    }
    const kept = (key: number): boolean[] =>
      TABLES.map((table) => lookUp(tlb, TLB_USER, table, 0x1000 * (key + 1), 0) !== -1)
    tlb.dropKeys((1 << 5) | (1 << 21))
    expect([0, 5, 16, 21].map(kept)).toEqual(
      [0, 5, 16, 21].map((key) => TABLES.map((table) => table === TLB_EXECUTE || (key !== 5 && key !== 21))),
    )
    // What has been put aside with its address space does not come back either.
    tlb.fill(TLB_USER, TLB_READ, 0x6000, 0, 0x6000, ofPage(false, 0x1000, 5))
    tlb.exchange(0, 1)
    tlb.dropKeys(1 << 5)
    tlb.exchange(1, 0)
    expect([kept(5)[0], kept(0)[0]]).toEqual([false, true])
  })

  test('more fills than the journal holds are flushed all the same', ({ tlb }) => {
    for (let i = 0; i < 10_000; i++)
      tlb.fill(TLB_USER, TLB_READ, (i % 1024) << 12, i >>> 10, 0x1000 * (i + 1), ofPage(false, 0x1000))
    expect(lookUp(tlb, TLB_USER, TLB_READ, (9999 % 1024) << 12, 9999 >>> 10)).toBe(0x1000 * 10_000)
    tlb.flush(true)
    for (let i = 0; i < 10_000; i++) expect(lookUp(tlb, TLB_USER, TLB_READ, (i % 1024) << 12, i >>> 10)).toBe(-1)
  })
})

test('a TLB without a place keeps nothing, and shares the set that never has an entry', () => {
  const machine = MachineMemory.create({ bytes: 16 << 20 })
  const missSet = machine.allocate(TLB_SET_BYTES, 0x1000, 'miss set')
  clearTlbSet(machine, missSet)
  const changes = machine.allocate(8, 8, 'changes')
  const [first, second] = [0, 4].map((each) => new Tlb(machine, { changes: changes + each, missSet }, MODES))
  const page = ofPage(false, 0x1000)
  first!.fill(TLB_USER, TLB_READ, 0x5000, 0, 0x9000, page)
  first!.invalidatePage(0x5000, 0)
  first!.flush(true)
  expect([first!.setAddress(TLB_USER), first!.setAddress(TLB_MISS), first!.changes]).toEqual([missSet, missSet, 2])
  expect(first!.lookup(TLB_USER, TLB_READ, 0x5000, 0)).toBe(-1)
  for (const tlb of [first!, second!]) tlb.place(machine.allocate(MODES * TLB_SET_BYTES, 0x1000, 'sets'))
  expect(first!.lookup(TLB_SUPERVISOR, TLB_WRITE, 0, 0)).toBe(-1)
  first!.fill(TLB_USER, TLB_READ, 0x5000, 0, 0x9000, page)
  expect([first!, second!].map((tlb) => tlb.lookup(TLB_USER, TLB_READ, 0x5000, 0))).toEqual([0x9000, -1])
  expect([first!, second!].map((tlb) => tlb.setAddress(TLB_MISS))).toEqual([missSet, missSet])
  first!.flush(true)
  expect([first!.lookup(TLB_USER, TLB_READ, 0x5000, 0), first!.changes, second!.changes]).toEqual([-1, 3, 0])
})
