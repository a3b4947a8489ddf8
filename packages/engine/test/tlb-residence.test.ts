import { MachineMemory, PAGE_BYTES } from '@retrap/memory'
import fc from 'fast-check'
import { slicedCount } from '@retrap/tooling/slice'
import { expect, test } from 'vitest'
import {
  type FoundPage,
  SLOTS_FRAME,
  TLB_EXECUTE,
  TLB_INDEX_MASK,
  TLB_READ,
  TLB_WRITE,
  tlbBytes,
} from '../src/tlb-layout.ts'
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
const places = [0, 1].map(() => memory.allocate(tlbBytes(MODES), 0x1000, 'TLB'))
/** By TLB and page: two frames, and a slot table for each. */
const framesOf = places.map(() => PAGES.map(() => [0, 1].map(() => memory.allocate(PAGE_BYTES, PAGE_BYTES, 'frame'))))
const slotsOf = framesOf.map((pages) => pages.map((frames) => frames.map((frame) => slotTable(frame))))

function slotTable(frame: number): number {
  const slots = memory.allocate(4 * PAGE_BYTES + 64, 64, 'slots') + 64
  memory.u32[(slots + SLOTS_FRAME) >>> 2] = frame
  return slots
}

/** A guest's processor, as far as its TLB matters. */
class Guest {
  readonly #frames: readonly (readonly number[])[]
  readonly #slots: readonly (readonly number[])[]
  readonly tlb: Tlb
  /** Which of its frames each page has. */
  readonly #now = PAGES.map(() => 0)
  walks = 0
  #space = 0
  #view = 0

  constructor(number: number) {
    const at = places[number]!
    this.#frames = framesOf[number]!
    this.#slots = slotsOf[number]!
    memory.u8.fill(0, at, at + tlbBytes(MODES))
    for (const [frame] of this.#frames) memory.codeBits[frame! / PAGE_BYTES] = 0
    this.tlb = new Tlb(memory, at, MODES)
  }

  frameOf(page: number): number {
    return this.#frames[page]![this.#now[page]!]!
  }

  access(set: number, table: number, number: number): void {
    const page = PAGES[number]!
    const { lo, hi } = page
    if (!this.find(set, table, number)) this.walks++
    const isCode = table === TLB_EXECUTE
    const target = isCode ? this.#slots[number]![this.#now[number]!]! : this.frameOf(number)
    this.tlb.fill(set, table, lo, hi, target, page)
  }

  find(set: number, table: number, number: number): FoundPage | undefined {
    const { lo, hi } = PAGES[number]!
    const into = { ma: 0, writable: false, cacheable: false, global: false, pageBytes: 0, key: 0 }
    return this.tlb.find(set, table, lo + 8, hi, into) ? into : undefined
  }

  exchange(space: number): void {
    if (space !== this.#space) this.tlb.exchange(this.#space, space)
    this.#space = space
  }

  exchangeView(view: number): void {
    if (view !== this.#view) this.tlb.exchangeView(this.#view, view)
    this.#view = view
  }

  /** What the host does to a page. */
  disturb(how: string, page: number): void {
    const { tlb } = this
    const frame = this.frameOf(page)
    const number = frame / PAGE_BYTES
    if (how === 'code') {
      tlb.dropWritable(frame)
      memory.codeBits[number] = 1
    } else if (how === 'data') memory.codeBits[number] = 0
    else if (how === 'log') tlb.dropWritableFrames(Uint32Array.of(number), 1)
    else if (how === 'flush') tlb.flushExecute()
    else if (how === 'view') {
      const view = this.#view
      this.exchangeView((view + 1) % 3)
      this.exchangeView(view)
    } else if (page >= FIRST_SHARED) {
      this.#now[page]! ^= 1
      tlb.moveFrame(frame, this.frameOf(page), true)
    }
  }

  /** What generated code finds, which is to be right. */
  check(set: number, table: number, number: number): void {
    const { lo, hi } = PAGES[number]!
    const word = (this.tlb.setAddress(set) + table + ((lo >>> 8) & TLB_INDEX_MASK)) >>> 2
    if (memory.u32[word] !== lo || memory.u32[word + 1] !== hi) return
    const now = this.#now[number]!
    const isCode = table === TLB_EXECUTE
    expect(memory.u32[word + 2]).toBe(isCode ? this.#slots[number]![now] : this.frameOf(number))
    if (table === TLB_WRITE) expect(memory.codeBits[this.frameOf(number) / PAGE_BYTES]).toBe(0)
  }
}

const page = fc.nat({ max: PAGES.length - 1 })
const action = fc.oneof(
  {
    weight: 8,
    arbitrary: fc.record({ kind: fc.constant('access'), set: fc.nat({ max: 1 }), table: fc.nat({ max: 2 }), page }),
  },
  {
    weight: 4,
    arbitrary: fc.record({
      kind: fc.constantFrom('exchange', 'exchange', 'exchange', 'view', 'forget'),
      to: fc.nat({ max: 1 }),
    }),
  },
  { weight: 1, arbitrary: fc.record({ kind: fc.constant('invalidate'), page }) },
  { weight: 1, arbitrary: fc.record({ kind: fc.constantFrom('flush', 'keys'), bits: fc.nat({ max: 3 }) }) },
  {
    weight: 6,
    arbitrary: fc.record({
      kind: fc.constant('host'),
      how: fc.constantFrom('code', 'data', 'log', 'flush', 'view', 'move'),
      page,
    }),
  },
)

/** Has a guest do something. */
function act(
  guest: Guest,
  a: { kind: string; set?: number; table?: number; page?: number; to?: number; bits?: number },
): void {
  const { lo, hi } = PAGES[a.page ?? 0]!
  if (a.kind === 'access') {
    if (a.table !== 1 || a.page! < FIRST_SHARED) guest.access(a.set!, TABLES[a.table!]!, a.page!)
  } else if (a.kind === 'exchange') guest.exchange(a.to!)
  else if (a.kind === 'view') guest.exchangeView(a.to!)
  else if (a.kind === 'forget') guest.tlb.dropAllParked()
  else if (a.kind === 'invalidate') guest.tlb.invalidatePage(lo, hi)
  else if (a.kind === 'keys') guest.tlb.dropKeys(a.bits!)
  else guest.tlb.flush(a.bits === 0)
}

test('a guest walks for the same pages, whatever its host does meanwhile', () => {
  fc.assert(
    fc.property(fc.array(action, { minLength: 20, maxLength: 80, size: 'max' }), (actions) => {
      const [alone, disturbed] = [new Guest(0), new Guest(1)]
      for (const a of actions) {
        if ('how' in a) disturbed.disturb(a.how, a.page)
        else for (const guest of [alone, disturbed]) act(guest, a)
        expect(disturbed.walks).toBe(alone.walks)
        for (const { number } of PAGES) {
          for (const table of TABLES) {
            for (let set = 0; set < MODES; set++) {
              const [one, other] = [alone.find(set, table, number), disturbed.find(set, table, number)]
              // The host may want to be asked before a write.
              const writable = other?.writable
              expect(other).toEqual(one && { ...one, ma: disturbed.frameOf(number) + 8, writable })
              disturbed.check(set, table, number)
            }
          }
        }
      }
    }),
    { numRuns: slicedCount(500, 3) },
  )
})
