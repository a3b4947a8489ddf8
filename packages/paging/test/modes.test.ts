import { describe, expect, test as base } from 'vitest'
import {
  ACCESS_FETCH,
  ACCESS_READ,
  ACCESS_USER,
  ACCESS_WRITE,
  MAP_DIRTY,
  MAP_USER,
  MAP_WRITABLE,
  PagingContext,
  PagingError,
  probe,
  walk,
  WALK_FAULT,
  WALK_OK,
  WalkResult,
} from '../src/index.ts'
import { buildPath, contextOf, CR4, entryGpa, INTEL, LMA, Memory, registersFor } from './support/guest.ts'

const test = base.extend('memory', () => new Memory())

const LINEAR: Record<number, bigint> = {
  2: 0xc12f_4abcn,
  3: 0xc12f_4abcn,
  4: 0xffff_8f81_2345_6789n,
  5: 0xff85_8f81_2345_6789n,
}

function walked(context: PagingContext, memory: Memory, linear: bigint, access = ACCESS_READ): WalkResult {
  const result = new WalkResult()
  const status = walk(context, memory, Number(linear & 0xffff_ffffn), Number(linear >> 32n), access, result)
  expect(status).toBe(result.status)
  return result
}

describe('translation (SDM vol. 3A, "Paging")', () => {
  test('without paging, guest-physical is linear and everything is allowed', () => {
    const context = contextOf({ cr0: 1, efer: 0 })
    const result = walked(context, new Memory(), 0xffff_ffff_8000_1234n, ACCESS_WRITE | ACCESS_USER)
    expect(result).toMatchObject({
      status: WALK_OK,
      gpa: 0x8000_1234,
      pageBytes: 4096,
      reads: 0,
      level: 0,
      leafGpa: -1,
    })
    expect(result.flags).toBe(MAP_WRITABLE | MAP_USER | MAP_DIRTY)
  })

  test.for([
    { mode: 2, frame: 0x8765_4000n },
    { mode: 3, frame: 0x65_8765_4000n },
    { mode: 4, frame: 0x65_8765_4000n },
    { mode: 5, frame: 0x65_8765_4000n },
  ])('$mode-level tables lead to a 4 KiB page', ({ mode, frame }, { memory }) => {
    const linear = LINEAR[mode] as bigint
    buildPath(memory, mode, linear, frame)
    const context = contextOf(registersFor(mode))
    expect(context.mode).toBe(mode)
    if (mode === 3) expect(context.loadPdptes(memory)).toBe(true)
    const result = walked(context, memory, linear)
    expect(result).toMatchObject({ status: WALK_OK, gpa: Number(frame | (linear & 0xfffn)), pageBytes: 4096, level: 1 })
    expect(result.reads).toBe(mode === 3 ? 2 : mode)
    expect(result.leafGpa).toBe(entryGpa(mode, 1, linear))
    expect(result.flags).toBe(MAP_WRITABLE | MAP_USER)
  })

  test('a table in no memory reads as not present, at every level', () => {
    for (let level = 4; level >= 1; level--) {
      const memory = new Memory()
      buildPath(memory, 4, 0n, 0x7000n)
      memory.words.delete(entryGpa(4, level, 0n))
      const fault = { status: WALK_FAULT, pfec: ACCESS_WRITE | ACCESS_USER, level }
      expect(walked(contextOf(registersFor(4)), memory, 0n, ACCESS_WRITE | ACCESS_USER)).toMatchObject(fault)
    }
  })
})

describe('what a translation says for a TLB', () => {
  const linear = 0x1000n
  const set =
    (level: number, bits: bigint, clear = 0n) =>
    (memory: Memory): void =>
      memory.store(entryGpa(4, level, linear), (memory.at(entryGpa(4, level, linear)) | bits) & ~clear)

  test('the key and the words of the leaf come with it', ({ memory }) => {
    buildPath(memory, 4, linear, 0x7000n | (0xbn << 59n) | 0x98n)
    const result = walked(contextOf(registersFor(4)), memory, linear)
    expect([result.pkey, result.leafLo, result.leafHi]).toEqual([11, 0x70bf, 0xb << 27])
  })

  test('a fault of rights still says what the mapping allows', ({ memory }) => {
    buildPath(memory, 4, linear, 0x7000n)
    set(1, 0x40n, 4n)(memory)
    const result = walked(contextOf(registersFor(4)), memory, linear, ACCESS_USER | ACCESS_FETCH)
    expect(result).toMatchObject({ status: WALK_FAULT, level: 1, flags: MAP_WRITABLE | MAP_DIRTY, leafLo: 0x7063 })
  })
})

describe('a context', () => {
  test.each([
    { given: 'EFER.LMA without paging', cr0: 1, cr4: CR4.PAE },
    { given: 'EFER.LMA without PAE', cr0: 0x8000_0001, cr4: 0 },
  ])('refuses $given', ({ cr0, cr4 }) => {
    const context = new PagingContext(INTEL)
    expect(() => context.configure(cr0, 0, 0, cr4, LMA)).toThrow(PagingError)
    expect(context.mode).toBe(0)
  })

  test.each([
    { given: 'CR4.PCIDE', cr4: CR4.PAE | 0x2_0000, efer: LMA, pcid: 0x018 },
    { given: 'no CR4.PCIDE: bits 3 and 4 of CR3 are PWT and PCD', cr4: CR4.PAE, efer: LMA, pcid: 0 },
    { given: 'CR4.PCIDE outside IA-32e mode', cr4: CR4.PAE | 0x2_0000, efer: 0, pcid: 0 },
  ])('has the PCID of CR3 with $given: $pcid', ({ cr4, efer, pcid }) => {
    const context = new PagingContext(INTEL)
    context.configure(0x8000_0001, 0x5018, 0, cr4, efer)
    expect(context.pcid).toBe(pcid)
  })

  test.each([31, 53, 40.5])('refuses MAXPHYADDR %s', (maxPhysicalBits) => {
    expect(() => new PagingContext({ ...INTEL, maxPhysicalBits })).toThrow(/32 to 52/)
  })

  test('a reader that never lets an entry be changed is reported, not waited for', ({ memory }) => {
    buildPath(memory, 4, 0n, 0x7000n)
    memory.store(entryGpa(4, 1, 0n), 0x7007n)
    memory.compareExchange64 = () => false
    expect(() => walked(contextOf(registersFor(4)), memory, 0n)).toThrow(/failed to set A or D/)
    expect(probe(contextOf(registersFor(4)), memory, 0, 0, ACCESS_WRITE, new WalkResult())).toBe(WALK_OK)
  })
})
