import { SLICE_REPEAT, sliced, sliceTests } from '@retrap/tooling/slice'
import { describe, expect, test } from 'vitest'
import {
  ACCESS_READ,
  ACCESS_USER,
  ACCESS_WRITE,
  Invalidate,
  PagingStructureCache,
  walk,
  WALK_FAULT,
  WALK_OK,
  WalkResult,
} from '../src/index.ts'
import { cachedCase } from './support/cached-case.ts'
import { buildPath, contextOf, CR4, entryGpa, Memory, randomOf, registersFor } from './support/guest.ts'

/** The seeds of 5,000 guests; a run has a quarter of them. */
const SEEDS = sliced([...Array(5000).keys()], 4)
const atTimes = sliceTests(4)

function guest(mode = 4): {
  memory: Memory
  cache: PagingStructureCache
  context: ReturnType<typeof contextOf>
  read: (access?: number, linear?: number) => WalkResult
} {
  const memory = new Memory()
  buildPath(memory, mode, 0n, 0x7000n)
  const registers = registersFor(mode)
  const context = contextOf({ ...registers, cr4: registers.cr4 | (mode >= 4 ? CR4.PCIDE : 0) })
  if (mode === 3) context.loadPdptes(memory)
  const cache = new PagingStructureCache()
  const read = (access = ACCESS_READ, linear = 0): WalkResult => {
    const result = new WalkResult()
    walk(context, memory, linear, 0, access, result, cache)
    return result
  }
  return { memory, cache, context, read }
}

test('what is invalidated has the number of INVPCID’s type (SDM vol. 2A, "INVPCID")', () => {
  expect(Invalidate).toEqual({ ADDRESS: 0, PCID: 1, ALL: 2, ALL_NON_GLOBAL: 3 })
})

describe('a paging-structure cache (SDM vol. 3A, "Paging-Structure Caches")', () => {
  test.each([
    { mode: 3, first: 2, next: 1 },
    { mode: 4, first: 4, next: 1 },
    { mode: 5, first: 5, next: 1 },
  ])('$mode levels: the first walk reads $first entries, the next $next', ({ mode, first, next }) => {
    const { read } = guest(mode)
    expect(read()).toMatchObject({ status: WALK_OK, gpa: 0x7000, reads: first })
    expect(read()).toMatchObject({ status: WALK_OK, gpa: 0x7000, reads: next })
  })

  test.each([
    { level: 2, reads: 1 },
    { level: 3, reads: 1 },
  ])('a large leaf at level $level is read each time, and nothing else', ({ level, reads }) => {
    const { memory, read } = guest()
    memory.store(entryGpa(4, level, 0n), 0x4000_00a7n)
    read()
    expect(read()).toMatchObject({ status: WALK_OK, gpa: 0x4000_0000, level, reads })
    memory.store(entryGpa(4, level, 0n), 0x8000_00a7n)
    expect(read()).toMatchObject({ gpa: 0x8000_0000 })
  })

  test('neighbours share upper entries', () => {
    const { memory, read } = guest()
    memory.store(entryGpa(4, 1, 0x5000n), 0x9027n)
    memory.store(entryGpa(4, 2, 0x20_0000n), memory.at(entryGpa(4, 2, 0n)))
    read()
    expect(read(ACCESS_READ, 0x5000)).toMatchObject({ gpa: 0x9000, reads: 1 })
    expect(read(ACCESS_READ, 0x20_0000)).toMatchObject({ gpa: 0x7000, reads: 2 })
  })

  test('addresses that differ in any bit above the page table have tables of their own', () => {
    for (let bit = 21; bit < 57; bit++) {
      const memory = new Memory()
      const other = 1n << BigInt(bit)
      buildPath(memory, 5, 0n, 0x7000n)
      const context = contextOf(registersFor(5))
      const cache = new PagingStructureCache()
      const result = new WalkResult()
      const walkTo = (linear: bigint): number =>
        walk(context, memory, Number(linear & 0xffff_ffffn), Number(linear >> 32n), ACCESS_READ, result, cache)
      expect(walkTo(0n)).toBe(WALK_OK)
      // Nothing is mapped there, so that what is found must not come of the first walk.
      expect([walkTo(other), result.pfec], `bit ${bit}`).toEqual([WALK_FAULT, 0])
      buildPath(memory, 5, other, 0x7000n)
      expect([walkTo(other), result.gpa, walkTo(other), result.reads]).toEqual([WALK_OK, 0x7000, WALK_OK, 1])
    }
  })

  test.each(['0', '7fff_ffff_f000', 'ffff_8000_0000_0000', 'ffff_ffff_8000_0000', 'ffff_ffff_ffff_f000'])(
    'the second walk begins with the lowest table that the addresses share, the first being %sH',
    (text) => {
      const first = BigInt(`0x${text.replaceAll('_', '')}`)
      const walker = (): ((linear: bigint) => number) => {
        const memory = new Memory()
        const context = contextOf(registersFor(4))
        const [cache, result] = [new PagingStructureCache(), new WalkResult()]
        return (linear) => {
          buildPath(memory, 4, linear, 0x7000n)
          const [lo, hi] = [Number(linear & 0xffff_ffffn), Number(linear >> 32n)]
          expect(walk(context, memory, lo, hi, ACCESS_READ, result, cache)).toBe(WALK_OK)
          return result.reads
        }
      }
      // Bits that the tables of levels 1 to 3 translate.
      for (const [level, bit] of [12n, 21n, 30n].entries()) {
        const readsOf = walker()
        expect([readsOf(first), readsOf(first ^ (1n << bit))], `level ${level + 1}`).toEqual([4, level + 1])
      }
    },
  )

  test('an upper entry that is changed in memory counts only after an invalidation', () => {
    for (const scope of Object.values(Invalidate)) {
      const { memory, cache, read } = guest()
      read()
      memory.store(0x8000, 0x9027n)
      memory.store(entryGpa(4, 2, 0n), 0x8027n)
      expect(read().gpa).toBe(0x7000)
      cache.invalidate(scope, 0)
      expect(read()).toMatchObject({ gpa: 0x9000, reads: 4 })
    }
  })

  test('one PCID is invalidated without the others', () => {
    const { memory, cache, context } = guest()
    const result = new WalkResult()
    const readIn = (pcid: number): number => {
      context.pcid = pcid
      walk(context, memory, 0, 0, ACCESS_READ, result, cache)
      return result.reads
    }
    expect([readIn(1), readIn(2), readIn(1), readIn(2)]).toEqual([4, 4, 1, 1])
    cache.invalidate(Invalidate.PCID, 2)
    expect([readIn(1), readIn(2)]).toEqual([1, 4])
    cache.invalidate(Invalidate.ALL_NON_GLOBAL, 0)
    expect([readIn(1), readIn(2)]).toEqual([4, 4])
  })

  test('entries are kept only once their A bits are set: a walk that is refused keeps nothing', () => {
    const { memory, read } = guest()
    memory.store(entryGpa(4, 1, 0n), 0n)
    expect(read().status).toBe(WALK_FAULT)
    memory.store(entryGpa(4, 1, 0n), 0x7027n)
    expect(read().reads).toBe(4)
  })

  test.each([2, 3, 4])('rights that level %s has been given since do not lead to a fault', (level) => {
    for (const given of [2n, 4n]) {
      const { memory, read } = guest()
      const entry = entryGpa(4, level, 0n)
      memory.store(entry, memory.at(entry) & ~given)
      expect(read(given === 2n ? ACCESS_READ : ACCESS_WRITE).status).toBe(WALK_OK)
      memory.store(entry, memory.at(entry) | given)
      expect(read(ACCESS_WRITE | ACCESS_USER)).toMatchObject({ status: WALK_OK, pfec: 0 })
    }
  })

  test('a table that has been freed and replaced without an invalidation does not lead to a fault', () => {
    const { memory, read } = guest()
    read()
    // The old page table is gone, and a new one is where the directory now says.
    memory.words.delete(entryGpa(4, 1, 0n))
    memory.store(0x8000, 0x9027n)
    memory.store(entryGpa(4, 2, 0n), 0x8027n)
    expect(read()).toMatchObject({ status: WALK_OK, gpa: 0x9000 })
    // And the cache has learned of it.
    expect(read().reads).toBe(1)
  })

  test('a fault is of the tables as they are: its level and error code too', () => {
    const { memory, read } = guest()
    read()
    memory.store(entryGpa(4, 3, 0n), 0x2027n | (1n << 50n))
    memory.store(entryGpa(4, 1, 0n), 0n)
    expect(read(ACCESS_WRITE)).toMatchObject({ status: WALK_FAULT, pfec: 0x0b, level: 3 })
  })

  test.each([3, 4, 5].flatMap((mode) => [0, 0x4020_1000].map((linear) => ({ mode, linear }))))(
    'an entry that has led to a fault is not used again: $mode levels, linear address $linear',
    ({ mode, linear }) => {
      // A leaf that is not there, and one whose rights are too few.
      for (const bad of [0n, 0x7023n]) {
        const { memory, context, read } = guest(mode)
        buildPath(memory, mode, BigInt(linear), 0x7000n)
        if (mode === 3) context.loadPdptes(memory)
        const [leaf, directory] = [entryGpa(mode, 1, BigInt(linear)), entryGpa(mode, 2, BigInt(linear))]
        expect(read(ACCESS_USER, linear).status).toBe(WALK_OK)
        memory.store(leaf, bad)
        memory.store(directory, 0n)
        expect(read(ACCESS_USER, linear)).toMatchObject({ status: WALK_FAULT, level: 2 })
        memory.store(leaf, 0x7027n)
        expect(read(ACCESS_USER, linear)).toMatchObject({ status: WALK_FAULT, level: 2 })
      }
    },
  )

  atTimes('address-space numbers run out after 2^27 invalidations, and everything is dropped', () => {
    const { cache, memory, context } = guest()
    const result = new WalkResult()
    const reads = (pcid: number): number => {
      context.pcid = pcid
      walk(context, memory, 0, 0, ACCESS_READ, result, cache)
      return result.reads
    }
    reads(7)
    for (let i = 0; i < 2 ** 27; i++) cache.invalidate(Invalidate.PCID, 3)
    expect([reads(7), reads(3), reads(7)]).toEqual([4, 4, 1])
    // The numbers begin anew: an invalidation drops no more than its PCID again.
    cache.invalidate(Invalidate.PCID, 3)
    expect([reads(7), reads(3)]).toEqual([1, 4])
  })

  test('guests that edit tables and invalidate what they must see what a walker without a cache sees', () => {
    for (const seed of SEEDS) {
      const difference = cachedCase(randomOf(seed))
      if (difference !== undefined) expect.unreachable(`seed ${seed}: ${difference}; ${SLICE_REPEAT}`)
    }
  })
})
