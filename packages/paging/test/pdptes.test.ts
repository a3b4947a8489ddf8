import { describe, expect, test } from 'vitest'
import { probe, reloadsPdptes, WALK_FAULT, WALK_OK, WalkResult } from '../src/index.ts'
import { buildPath, contextOf, CR4, entryGpa, Memory, registersFor } from './support/guest.ts'

describe('PAE\'s PDPTE registers (SDM vol. 3A, "PDPTE Registers")', () => {
  function guest(amd: boolean): { memory: Memory; context: ReturnType<typeof contextOf>; status: () => number } {
    const memory = new Memory()
    buildPath(memory, 3, 0n, 0x7000n)
    const context = contextOf({ ...registersFor(3), cpu: { amd } })
    return { memory, context, status: () => probe(context, memory, 0, 0, 0, new WalkResult()) }
  }

  test('nothing is mapped until they are loaded', () => {
    const { memory, context, status } = guest(false)
    expect(status()).toBe(WALK_FAULT)
    expect(context.loadPdptes(memory)).toBe(true)
    expect(status()).toBe(WALK_OK)
  })

  test('changing the table in memory has no effect on Intel, and an immediate one on AMD', () => {
    for (const amd of [false, true]) {
      const { memory, context, status } = guest(amd)
      context.loadPdptes(memory)
      memory.store(entryGpa(3, 3, 0n), 0n)
      expect(status()).toBe(amd ? WALK_FAULT : WALK_OK)
      context.loadPdptes(memory)
      expect(status()).toBe(WALK_FAULT)
    }
  })

  test.each([1, 2, 5, 6, 7, 8, 39, 51, 52, 62, 63])(
    'bit %s of any of the four keeps all of them from loading',
    (bit) => {
      for (let slot = 0; slot < 4; slot++) {
        const { memory, context } = guest(false)
        expect(context.loadPdptes(memory)).toBe(true)
        const before = [...context.pdptes]
        memory.store(0x3000, 0x9001n)
        memory.store(0x3000 + slot * 8, 0xa001n | (1n << BigInt(bit)))
        expect(context.loadPdptes(memory)).toBe(false)
        expect([...context.pdptes]).toEqual(before)
        memory.store(0x3000 + slot * 8, 0xa000n | (1n << BigInt(bit)))
        expect(context.loadPdptes(memory)).toBe(true)
      }
    },
  )

  test('PWT, PCD and ignored bits are no hindrance', () => {
    const { memory, context } = guest(false)
    memory.store(0x3000, 0x2e19n)
    expect(context.loadPdptes(memory)).toBe(true)
    expect(context.pdptes[0]).toBe(0x2e19)
  })

  test('the table may be at any multiple of 32 bytes', () => {
    const memory = new Memory()
    buildPath(memory, 3, 0xc000_0000n, 0x7000n)
    memory.store(0x3fe0 + 24, 0x2001n)
    const context = contextOf({ ...registersFor(3), cr3: 0xff_0000_3fffn })
    context.loadPdptes(memory)
    expect(probe(context, memory, 0xc000_0000, 0, 0, new WalkResult())).toBe(WALK_OK)
  })

  test.each([
    { what: 'CR0.PG', cr0: 0x8000_0000, cr4: 0, reloads: true },
    { what: 'CR0.CD', cr0: 0x4000_0000, cr4: 0, reloads: true },
    { what: 'CR0.NW', cr0: 0x2000_0000, cr4: 0, reloads: true },
    { what: 'CR0.WP', cr0: 0x1_0000, cr4: 0, reloads: false },
    { what: 'CR4.PGE', cr0: 0, cr4: CR4.PGE, reloads: true },
    { what: 'CR4.PSE', cr0: 0, cr4: CR4.PSE, reloads: true },
    { what: 'CR4.PAE', cr0: 0, cr4: CR4.PAE, reloads: true },
    { what: 'CR4.SMEP', cr0: 0, cr4: CR4.SMEP, reloads: true },
    { what: 'CR4.SMAP', cr0: 0, cr4: CR4.SMAP, reloads: false },
  ])('a change of $what reloads them: $reloads', ({ cr0, cr4, reloads }) => {
    expect(reloadsPdptes(0x11, 0x11 ^ cr0, 0, cr4)).toBe(reloads)
    expect(reloadsPdptes(0x11 ^ cr0, 0x11, cr4, 0)).toBe(reloads)
  })
})
