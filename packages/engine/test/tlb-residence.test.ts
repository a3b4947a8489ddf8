import { MachineMemory, PAGE_BYTES } from '@retrap/memory'
import fc from 'fast-check'
import { slicedCount } from '@retrap/tooling/slice'
import { expect, test } from 'vitest'
import { SLOTS_FRAME, TLB_EXECUTE, TLB_READ, TLB_WRITE, tlbBytes } from '../src/tlb-layout.ts'
import { Tlb } from '../src/tlb.ts'

// A guest sees by accessed bits which of its pages are walked for. That is to depend on what the guest does alone, and not on what its
// host does: on code caches, frames that clones share and logs of writes.

const MODES = 2
const TABLES = [TLB_READ, TLB_WRITE, TLB_EXECUTE]

/** The guest's pages. The last two have the place of the first one in a table; some are in every address space. */
const PAGES = [0, 1, 2, 0x3ff, 0x4000, 0xf_c000].map((page, i) => ({
  ...{ lo: (page * PAGE_BYTES) >>> 0, hi: i & 1, number: i, global: i % 3 === 2, key: i & 3 },
  pageBytes: i === 3 ? 0x40_0000 : PAGE_BYTES,
}))
/** Pages from here on are never written: their frames may move. */
const FIRST_SHARED = 3

const memory = MachineMemory.create({ bytes: 32 << 20 })

/** What is at each page of one guest: two frames, and the slot tables of each, one for each view. */
const places = [0, 1].map(() => ({
  at: memory.allocate(tlbBytes(MODES), 0x1000, 'TLB'),
  pages: PAGES.map(() => [0, 1].map(() => frameWithSlots())),
}))

interface Frame {
  readonly frame: number
  readonly slots: readonly number[]
}

function frameWithSlots(): Frame {
  const frame = memory.allocate(PAGE_BYTES, PAGE_BYTES, 'frame')
  const slots = [0, 1].map(() => memory.allocate(4 * PAGE_BYTES + 64, 64, 'slots') + 64)
  for (const table of slots) memory.u32[(table + SLOTS_FRAME) >>> 2] = frame
  return { frame, slots }
}

/** A guest's processor, as far as its TLB matters. */
class Guest {
  readonly tlb: Tlb
  readonly #pages: (typeof places)[number]['pages']
  /** Which of its frames each page has. */
  readonly #now = PAGES.map(() => 0)
  walks = 0
  #space = 0
  #view = 0

  constructor({ at, pages }: (typeof places)[number]) {
    memory.u8.fill(0, at, at + tlbBytes(MODES))
    for (const [one] of pages) memory.codeBits[one!.frame / PAGE_BYTES] = 0
    this.tlb = new Tlb(memory, at, MODES)
    this.#pages = pages
  }

  at(page: number): Frame {
    return this.#pages[page]![this.#now[page]!]!
  }

  find(set: number, table: number, number: number): object | undefined {
    const { lo, hi } = PAGES[number]!
    const into = { ma: 0, writable: false, cacheable: false, global: false, pageBytes: 0, key: 0 }
    if (!this.tlb.find(set, table, lo + 8, hi, into)) return undefined
    const { frame, slots } = this.at(number)
    const found = this.tlb.lookup(set, table, lo, hi)
    const isSeen = table === TLB_WRITE && memory.codeBits[frame / PAGE_BYTES] !== 0
    expect(isSeen ? [-1] : [-1, table === TLB_EXECUTE ? slots[this.#view] : frame]).toContain(found)
    // The host may want to be asked before a write.
    return { ...into, ma: into.ma - frame, writable: undefined }
  }

  act(a: { kind: string; set?: number; table?: number; page?: number; to?: number; bits?: number }): void {
    const { tlb } = this
    const page = PAGES[a.page ?? 0]!
    if (a.kind === 'access') {
      const table = TABLES[a.table!]!
      if (table === TLB_WRITE && a.page! >= FIRST_SHARED) return
      if (this.find(a.set!, table, a.page!) === undefined) this.walks++
      const { frame, slots } = this.at(a.page!)
      tlb.fill(a.set!, table, page.lo, page.hi, table === TLB_EXECUTE ? slots[this.#view]! : frame, page)
    } else if (a.kind === 'exchange') {
      if (a.to !== this.#space) tlb.exchange(this.#space, a.to!)
      this.#space = a.to!
    } else if (a.kind === 'view') this.#exchangeView(a.to!)
    else if (a.kind === 'forget') tlb.dropAllParked()
    else if (a.kind === 'invalidate') tlb.invalidatePage(page.lo, page.hi)
    else if (a.kind === 'keys') tlb.dropKeys(a.bits!)
    else tlb.flush(a.bits === 0)
  }

  #exchangeView(view: number): void {
    if (view !== this.#view) this.tlb.exchangeView(this.#view, view)
    this.#view = view
  }

  /** What the host does to a page. */
  disturb(how: string, page: number): void {
    const { tlb } = this
    const { frame } = this.at(page)
    if (how === 'code') {
      tlb.dropWritable(frame)
      memory.codeBits[frame / PAGE_BYTES] = 1
    } else if (how === 'data') memory.codeBits[frame / PAGE_BYTES] = 0
    else if (how === 'log') tlb.dropWritableFrames(Uint32Array.of(frame / PAGE_BYTES), 1)
    else if (how === 'flush') tlb.flushExecute()
    else if (how === 'view') {
      const view = this.#view
      this.#exchangeView(2)
      this.#exchangeView(view)
    } else if (page >= FIRST_SHARED) {
      this.#now[page]! ^= 1
      tlb.moveFrame(frame, this.at(page).frame, true)
    }
  }
}

const page = fc.nat({ max: PAGES.length - 1 })
const kind = fc.constantFrom('exchange', 'exchange', 'exchange', 'view', 'forget')
const how = fc.constantFrom('code', 'data', 'log', 'flush', 'view', 'move')
const access = { kind: fc.constant('access'), set: fc.nat({ max: 1 }), table: fc.nat({ max: 2 }), page }
const action = fc.oneof(
  { weight: 8, arbitrary: fc.record(access) },
  { weight: 4, arbitrary: fc.record({ kind, to: fc.nat({ max: 1 }) }) },
  { weight: 1, arbitrary: fc.record({ kind: fc.constant('invalidate'), page }) },
  { weight: 1, arbitrary: fc.record({ kind: fc.constantFrom('flush', 'keys'), bits: fc.nat({ max: 3 }) }) },
  { weight: 6, arbitrary: fc.record({ how, page }) },
)

test('a guest walks for the same pages, whatever its host does meanwhile', () => {
  fc.assert(
    fc.property(fc.array(action, { minLength: 20, maxLength: 80, size: 'max' }), (actions) => {
      const [alone, disturbed] = [new Guest(places[0]!), new Guest(places[1]!)]
      for (const a of actions) {
        if ('how' in a) disturbed.disturb(a.how, a.page)
        else for (const guest of [alone, disturbed]) guest.act(a)
        expect(disturbed.walks).toBe(alone.walks)
        for (const { number } of PAGES) {
          for (const table of TABLES) {
            for (let set = 0; set < MODES; set++)
              expect(disturbed.find(set, table, number)).toEqual(alone.find(set, table, number))
          }
        }
      }
    }),
    { numRuns: slicedCount(500, 3) },
  )
})
