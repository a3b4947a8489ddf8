import { describe, expect, test as base } from 'vitest'
import * as paging from '../src/index.ts'
import { buildPath, contextOf, CR4, entryGpa, LMA, Memory, NXE, registersFor } from './support/guest.ts'

const test = base.extend('memory', () => new Memory())

const shown = (steps: ReturnType<typeof paging.explain>['steps']): string[] =>
  steps.map(({ name, index, gpa, value, leads, bits }) =>
    [name, index, gpa?.toString(16) ?? 'register', value?.toString(16) ?? '-', leads, ...bits].join(' '),
  )

describe('explain', () => {
  test('shows each entry of a four-level walk', ({ memory }) => {
    buildPath(memory, 4, 0xffff_8000_0020_1000n, 0x7000n | (1n << 63n) | (5n << 59n) | 0x1d8n)
    const context = contextOf({ ...registersFor(4), cr4: CR4.PAE | CR4.PGE, efer: LMA | NXE })
    const { steps, outcome } = paging.explain(context, memory, 0xffff_8000_0020_1000n)
    expect(shown(steps)).toEqual([
      'PML4E 256 4800 3027 table P R/W U/S A',
      'PDPTE 0 3000 2027 table P R/W U/S A',
      'PDE 1 2008 1027 table P R/W U/S A',
      'PTE 1 1008 a8000000000071ff page P R/W U/S PWT PCD A XD D G PAT key 5',
    ])
    expect(outcome).toMatchObject({ kind: 'mapped', gpa: 0x7000, executable: false, accessed: true, patIndex: 7 })
    expect(memory.exchanges).toBe(0)
  })

  test('shows where it ends: not present, a reserved bit, no memory, a large page', ({ memory }) => {
    buildPath(memory, 4, 0n, 0x7000n)
    const context = contextOf(registersFor(4))
    const last = (): string | undefined => shown(paging.explain(context, memory, 0n).steps).at(-1)
    memory.store(entryGpa(4, 1, 0n), 0x7026n)
    expect(last()).toBe('PTE 0 1000 7026 not present')
    memory.store(entryGpa(4, 2, 0n), 0x1027n | (1n << 50n))
    expect(last()).toBe('PDE 0 2000 4000000001027 reserved bit P R/W U/S A')
    memory.store(entryGpa(4, 3, 0n), 0x4000_10e7n)
    expect(last()).toBe('PDPTE 0 3000 400010e7 page P R/W U/S A D PS PAT')
    memory.words.delete(entryGpa(4, 4, 0n))
    expect(last()).toBe('PML4E 0 4000 - no memory')
  })

  test("shows PAE's registers and two-level tables", ({ memory }) => {
    buildPath(memory, 3, 0xc060_1000n, 0x7000n)
    const pae = contextOf(registersFor(3))
    pae.loadPdptes(memory)
    expect(shown(paging.explain(pae, memory, 0xc060_1000n).steps)).toEqual([
      'PDPTE 3 register 2001 table P',
      'PDE 3 2018 1027 table P R/W U/S A',
      'PTE 1 1008 7027 page P R/W U/S A',
    ])
    const small = new Memory()
    buildPath(small, 2, 0xc060_1000n, 0x7000n)
    expect(shown(paging.explain(contextOf(registersFor(2)), small, 0xc060_1000n).steps)).toEqual([
      'PDE 769 2c04 1027 table P R/W U/S A',
      'PTE 513 1804 7027 page P R/W U/S A',
    ])
  })

  test('there is nothing to show without paging', () => {
    const { steps, outcome } = paging.explain(contextOf({ cr0: 1, efer: 0 }), new Memory(), 0x1234n)
    expect([steps, outcome.kind]).toEqual([[], 'mapped'])
  })
})

describe('beside a paging-structure cache', () => {
  const LINEAR = 0x20_1000n
  const walked = (mode: number) => {
    const memory = new Memory()
    buildPath(memory, mode, LINEAR, 0x7000n)
    const context = contextOf(registersFor(mode))
    if (mode === 3) context.loadPdptes(memory)
    const cache = new paging.PagingStructureCache()
    const reads = (): number => {
      const result = new paging.WalkResult()
      paging.walk(context, memory, Number(LINEAR), 0, paging.ACCESS_READ, result, cache)
      return result.reads
    }
    const explained = (): ReturnType<typeof paging.explain> => paging.explain(context, memory, LINEAR, {}, cache)
    const cached = (): string[] =>
      explained().cached.map(({ name, level, table, writable, user, executable, agrees }) =>
        [name, level, table.toString(16), writable, user, executable, agrees ? 'agrees' : 'differs'].join(' '),
      )
    return { memory, context, reads, explained, cached }
  }

  test.each([
    { mode: 2, cached: [] },
    { mode: 3, cached: ['PDE 1 1000'] },
    { mode: 4, cached: ['PDE 1 1000', 'PDPTE 2 2000', 'PML4E 3 3000'] },
    { mode: 5, cached: ['PDE 1 1000', 'PDPTE 2 2000', 'PML4E 3 3000', 'PML5E 4 4000'] },
  ])('$mode levels: it has what a walk has left, which agrees with memory', ({ mode, cached: tables }) => {
    const { memory, context, reads, explained, cached } = walked(mode)
    expect([explained().cached, reads()]).toEqual([[], mode === 3 ? 2 : mode])
    expect(cached()).toEqual(tables.map((table) => `${table} true true true agrees`))
    const { steps, outcome } = explained()
    expect({ steps, outcome, cached: [] }).toEqual(paging.explain(context, memory, LINEAR))
    // It was looked at, and no more: the next walk begins with its first table.
    expect(reads()).toBe(tables.length === 0 ? mode : 1)
  })

  test('a table that memory names no more is seen to differ, and so is every right', () => {
    const { memory, reads, explained, cached } = walked(4)
    reads()
    memory.store(0x9008, 0x8027n)
    memory.store(entryGpa(4, 2, LINEAR), 0x9027n)
    expect(explained()).toMatchObject({ outcome: { kind: 'mapped', gpa: 0x8000 } })
    expect(cached()).toEqual([
      'PDE 1 1000 true true true differs',
      'PDPTE 2 2000 true true true agrees',
      'PML4E 3 3000 true true true agrees',
    ])
    memory.store(entryGpa(4, 2, LINEAR), 0x1027n)
    memory.store(entryGpa(4, 3, LINEAR), 0x2025n)
    expect(cached().map((line) => line.split(' ').at(-1))).toEqual(['differs', 'differs', 'agrees'])
    memory.store(entryGpa(4, 4, LINEAR), 0n)
    expect(cached().map((line) => line.split(' ').at(-1))).toEqual(['differs', 'differs', 'differs'])
    expect(explained().outcome).toMatchObject({ kind: 'fault', level: 4 })
  })
})

test('an entry of 32 bits is explained without what lies behind it', ({ memory }) => {
  const context = contextOf(registersFor(2))
  memory.store(entryGpa(2, 2, 0n), 0xdead_beef_0000_1027n)
  expect(paging.explain(context, memory, 0n).steps[0]!.value).toBe(0x1027n)
})

test('a table that the second level refuses is no page fault', () => {
  const refused: paging.TableReader = {
    read32: () => paging.SECOND_LEVEL_FAULT,
    read64: () => paging.SECOND_LEVEL_FAULT,
    compareExchange32: () => false,
    compareExchange64: () => false,
  }
  expect(paging.translate(contextOf(registersFor(4)), refused, 0n)).toEqual({
    ...{ kind: 'second-level', linear: 0n, tableGpa: 0x4000, level: 4 },
  })
})
