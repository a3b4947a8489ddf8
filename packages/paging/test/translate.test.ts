import { describe, expect, test } from 'vitest'
import { mappings, PagingError, translate } from '../src/index.ts'
import { buildPath, contextOf, CR4, entryGpa, LMA, Memory, NXE, registersFor } from './support/guest.ts'

describe('translate', () => {
  const memory = new Memory()
  buildPath(memory, 4, 0xffff_8000_0000_1000n, 0x7000n)
  const context = contextOf({ ...registersFor(4), cr4: CR4.PAE | CR4.SMAP, efer: LMA | NXE })

  test('tells a mapping in words', () => {
    expect(translate(context, memory, 0xffff_8000_0000_1234n, { write: true, user: true })).toEqual({
      ...{ kind: 'mapped', linear: 0xffff_8000_0000_1234n, gpa: 0x7234, pageBytes: 4096 },
      ...{ writable: true, user: true, executable: true, global: false, dirty: false, pkey: 0 },
      ...{ accessed: true, shadowStack: false, patIndex: 0 },
    })
    expect(memory.exchanges).toBe(0)
  })

  test.each([
    { access: {}, pfec: 1 },
    { access: { ac: true }, pfec: undefined },
    { access: { implicit: true, ac: true, user: true }, pfec: 1 },
    { access: { fetch: true }, pfec: undefined },
    { access: { write: true }, pfec: 3 },
  ])('$access → $pfec', ({ access, pfec }) => {
    const found = translate(context, memory, 0xffff_8000_0000_1000n, access)
    expect(found.kind === 'fault' ? found.pfec : undefined).toBe(pfec)
  })

  test('tells a fault with its level', () => {
    const linear = 0xffff_8000_0000_2000n
    expect(translate(context, memory, linear)).toEqual({ kind: 'fault', linear, pfec: 0, level: 1 })
  })

  test.each([-1n, 1n << 64n])('refuses %s', (linear) => {
    expect(() => translate(context, memory, linear)).toThrow(PagingError)
  })
})

describe('mappings', () => {
  test.each([
    { mode: 2, linears: [0n, 0x1000n, 0x40_0000n, 0xffff_f000n] },
    { mode: 3, linears: [0n, 0x1000n, 0x4000_0000n, 0xffff_f000n] },
    { mode: 4, linears: [0x1000n, 0x7fff_ffff_f000n, 0xffff_8000_0000_0000n, 0xffff_ffff_ffff_f000n] },
    { mode: 5, linears: [0x1000n, 0xff_ffff_ffff_f000n, 0xff00_0000_0000_0000n, 0xffff_ffff_ffff_f000n] },
  ])('$mode levels: every page is listed, in order', ({ mode, linears }) => {
    const memory = new Memory()
    // All paths share their tables, so that each entry of each table leads to the same next one.
    for (const linear of linears.toReversed()) buildPath(memory, mode, linear, 0x7000n)
    const context = contextOf(registersFor(mode))
    if (mode === 3) context.loadPdptes(memory)
    const found = [...mappings(context, memory)].map((mapping) => mapping.linear)
    for (const linear of linears) expect(found).toContain(linear)
    const order = found.map((linear) => BigInt.asIntN(64, linear))
    const positive = order.filter((linear) => linear >= 0n)
    const negative = order.filter((linear) => linear < 0n)
    expect(order).toEqual([
      ...positive.toSorted((a, b) => (a < b ? -1 : 1)),
      ...negative.toSorted((a, b) => (a < b ? -1 : 1)),
    ])
  })

  test('large pages are one mapping, rights hide nothing, and reserved bits do', () => {
    const memory = new Memory()
    buildPath(memory, 4, 0n, 0x7000n)
    memory.store(entryGpa(4, 1, 0n), 0x7001n)
    memory.store(entryGpa(4, 1, 0x1000n), 0x8001n | (1n << 50n))
    memory.store(entryGpa(4, 2, 0x20_0000n), 0xe000_0085n)
    const context = contextOf({ ...registersFor(4), cr4: CR4.PAE | CR4.SMAP | CR4.PKE, pkru: -1 })
    expect([...mappings(context, memory)].map(({ linear, gpa, pageBytes }) => [linear, gpa, pageBytes])).toEqual([
      [0n, 0x7000, 4096],
      [0x20_0000n, 0xe000_0000, 2 << 20],
    ])
    expect(context.smap).toBe(1)
  })

  test.each([
    { start: 0x1000n, stop: undefined, found: [0x1000n, 0x20_0000n, 0xffff_8000_0000_0000n] },
    { start: 0x1fffn, stop: 0x20_0001n, found: [0x1000n, 0x20_0000n] },
    { start: 0x2000n, stop: 0x20_0000n, found: [] },
    { start: 0x3f_ffffn, stop: 0x40_0000n, found: [0x20_0000n] },
    { start: 0x3f_ffffn, stop: 1n << 64n, found: [0x20_0000n, 0xffff_8000_0000_0000n] },
    { start: 0xffff_8000_0000_0000n, stop: 0xffff_8000_0000_0001n, found: [0xffff_8000_0000_0000n] },
    { start: 0x20_0000n, stop: 0x1000n, found: [] },
  ])('from $start to $stop: $found', ({ start, stop, found }) => {
    const memory = new Memory()
    for (const linear of [0n, 0x1000n, 0xffff_8000_0000_0000n]) buildPath(memory, 4, linear, 0x7000n)
    memory.store(entryGpa(4, 3, 0n), 0x2027n)
    memory.store(entryGpa(4, 4, 0xffff_8000_0000_0000n), 0xa027n)
    memory.store(0xa000, 0x4000_00a7n)
    memory.store(entryGpa(4, 1, 0n), 0n)
    memory.store(entryGpa(4, 2, 0x20_0000n), 0xe000_00a7n)
    const range = { start, ...(stop === undefined ? {} : { stop }) }
    const context = contextOf(registersFor(4))
    expect([...mappings(context, memory, range)].map(({ linear }) => linear)).toEqual(found)
  })

  test.each([0x8000_0000_0000n, -1n, 1n << 65n])('a range cannot begin or end at %s', (linear) => {
    const context = contextOf(registersFor(4))
    expect(() => [...mappings(context, new Memory(), { start: linear })]).toThrow(PagingError)
    expect(() => [...mappings(context, new Memory(), { stop: linear })]).toThrow(PagingError)
  })

  test('there are none without paging', () => {
    expect([...mappings(contextOf({ cr0: 1, efer: 0 }), new Memory())]).toEqual([])
  })
})
