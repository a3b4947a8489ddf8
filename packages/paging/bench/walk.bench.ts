// Walks of a 512 MiB linear range mapped by 4 KiB pages, in random order: the time of one walk, A and D set already.
import {
  ACCESS_READ,
  ACCESS_USER,
  type PagingContext,
  PagingStructureCache,
  walk,
  WALK_OK,
  WalkResult,
  type TableReader,
} from '@retrap/paging'
import { contextOf, CR4, LMA, NXE, pair, randomOf } from '../test/support/guest.ts'
import { naiveWalk, type NaiveState } from '../test/support/naive.ts'

const PAGES = 0x2_0000
const LINEAR_HI = 0xffff_8880

/** Guest-physical memory from 0 on. */
class Flat implements TableReader {
  readonly words: Uint32Array = new Uint32Array(0x200_0000 / 4)

  read32(gpa: number, into: Uint32Array): boolean {
    into[0] = this.words[gpa >>> 2] as number
    return true
  }

  read64(gpa: number, into: Uint32Array): boolean {
    const word = gpa >>> 2
    into[0] = this.words[word] as number
    into[1] = this.words[word + 1] as number
    return true
  }

  compareExchange32(): boolean {
    throw new Error('every A and D bit is set already')
  }

  compareExchange64(): boolean {
    throw new Error('every A and D bit is set already')
  }
}

/** PML4 at 0x1000, PDPT at 0x2000, page directory at 0x3000, page tables from 0x4000 on. */
function build(): Flat {
  const flat = new Flat()
  const put = (gpa: number, value: number): void => void (flat.words[gpa >>> 2] = value)
  put(0x1000 + ((LINEAR_HI >>> 7) & 511) * 8, 0x2027)
  put(0x2000 + ((LINEAR_HI << 2) & 511) * 8, 0x3027)
  for (let table = 0; table < PAGES / 512; table++) put(0x3000 + table * 8, (0x4000 + table * 0x1000) | 0x27)
  for (let page = 0; page < PAGES; page++) put(0x4000 + page * 8, (0x4000_0000 + page * 4096) | 0x67)
  return flat
}

/** The best of many short rounds, each shorter than a time slice of the host's scheduler: other load does not count. */
function nanoseconds(rounds: number, count: number, once: () => number): number {
  let best = Infinity
  for (let round = 0; round < rounds; round++) {
    const start = performance.now()
    if (once() !== count) throw new Error('a walk failed')
    best = Math.min(best, ((performance.now() - start) * 1e6) / count)
  }
  return best
}

export function run(): void {
  const flat = build()
  const registers = { cr0: 0x8001_0001, cr3: 0x1000n, cr4: CR4.PAE | CR4.PGE | CR4.SMEP | CR4.SMAP, efer: LMA | NXE }
  const context: PagingContext = contextOf(registers)
  const result = new WalkResult()
  const random = randomOf(1)
  const linear = Uint32Array.from({ length: 0x2000 }, () => Math.floor(random() * PAGES) * 4096)

  const walks = (cache: PagingStructureCache | null) => (): number => {
    let ok = 0
    for (let i = 0; i < linear.length; i++) {
      if (walk(context, flat, linear[i] as number, LINEAR_HI, ACCESS_READ | ACCESS_USER, result, cache) === WALK_OK)
        ok++
    }
    return ok
  }
  const fast = nanoseconds(1000, linear.length, walks(null))
  const cached = nanoseconds(1000, linear.length, walks(new PagingStructureCache()))

  const state: NaiveState = { ...registers, cpu: context.cpu, pkru: 0, pkrs: 0, pdptes: [] }
  const access = { write: false, user: true, fetch: false, implicit: false, ac: false }
  const entry = new Uint32Array(2)
  const memory = (gpa: bigint): bigint => {
    flat.read64(Number(gpa), entry)
    return pair(entry[0] as number, entry[1] as number)
  }
  const few = 200
  const naive = nanoseconds(200, few, () => {
    let ok = 0
    for (let i = 0; i < few; i++) {
      if (naiveWalk(state, memory, pair(linear[i] as number, LINEAR_HI), access).kind === 'mapped') ok++
    }
    return ok
  })
  console.log(
    `walk: ${(fast / cached).toFixed(2)} x without a paging-structure cache (4-level walk of 4 KiB pages, ` +
      `${cached.toFixed(1)} ns with it against ${fast.toFixed(1)} ns)`,
  )
  console.log(
    `walk: ${(naive / fast).toFixed(1)} x naive (${fast.toFixed(1)} ns against ${naive.toFixed(0)} ns of the tests' ` +
      'walker in bigints)',
  )
}
