import { describe, expect, test } from 'vitest'
import * as paging from '../src/index.ts'
import { buildPath, contextOf, CR4, entryGpa, Memory, registersFor } from './support/guest.ts'

const A = 0x20n
const D = 0x40n

function guest(mode: number): { memory: Memory; context: ReturnType<typeof contextOf>; bits: () => string } {
  const memory = new Memory()
  buildPath(memory, mode, 0n, 0x7000n)
  for (let level = 1; level <= mode; level++) {
    const gpa = entryGpa(mode, level, 0n)
    memory.store(gpa, memory.at(gpa) & ~A)
  }
  const registers = registersFor(mode)
  const context = contextOf({ ...registers, cr4: registers.cr4 | CR4.PSE })
  if (mode === 3) context.loadPdptes(memory)
  const show = (value: bigint): string => ((value & A) === 0n ? '-' : 'A') + ((value & D) === 0n ? '-' : 'D')
  const bits = (): string =>
    Array.from({ length: mode }, (_, i) => show(memory.at(entryGpa(mode, mode - i, 0n)))).join(' ')
  return { memory, context, bits }
}

describe('A and D bits (SDM vol. 3A, "Accessed and Dirty Flags")', () => {
  test.each([
    { mode: 2, read: 'A- A-', write: 'A- AD' },
    { mode: 3, read: '-- A- A-', write: '-- A- AD' },
    { mode: 4, read: 'A- A- A- A-', write: 'A- A- A- AD' },
    { mode: 5, read: 'A- A- A- A- A-', write: 'A- A- A- A- AD' },
  ])('$mode levels: a read sets $read, a write $write, each once', ({ mode, read, write }) => {
    const { memory, context, bits } = guest(mode)
    const result = new paging.WalkResult()
    expect(paging.walk(context, memory, 0, 0, paging.ACCESS_READ, result)).toBe(paging.WALK_OK)
    expect([bits(), result.flags & paging.MAP_DIRTY]).toEqual([read, 0])
    const { exchanges } = memory
    paging.walk(context, memory, 0, 0, paging.ACCESS_READ, result)
    expect(memory.exchanges).toBe(exchanges)
    paging.walk(context, memory, 0, 0, paging.ACCESS_WRITE, result)
    expect([bits(), result.flags & paging.MAP_DIRTY]).toEqual([write, paging.MAP_DIRTY])
    expect(memory.exchanges).toBe(exchanges + 1)
    paging.walk(context, memory, 0, 0, paging.ACCESS_WRITE, result)
    expect(memory.exchanges).toBe(exchanges + 1)
  })

  test('a walk that faults, and a probe, set nothing', () => {
    const { memory, context } = guest(4)
    const leaf = entryGpa(4, 1, 0n)
    const result = new paging.WalkResult()
    expect(paging.probe(context, memory, 0, 0, paging.ACCESS_WRITE, result)).toBe(paging.WALK_OK)
    memory.store(leaf, 0x7005n)
    expect(paging.walk(context, memory, 0, 0, paging.ACCESS_WRITE | paging.ACCESS_USER, result)).toBe(paging.WALK_FAULT)
    memory.store(leaf, 0n)
    expect(paging.walk(context, memory, 0, 0, paging.ACCESS_READ, result)).toBe(paging.WALK_FAULT)
    expect(memory.exchanges).toBe(0)
  })

  test('other bits of a large 64-bit entry survive', () => {
    const { memory, context } = guest(4)
    const leaf = 0x8ff0_0000_0000_7e07n & ~(1n << 63n)
    memory.store(entryGpa(4, 1, 0n), leaf)
    paging.walk(context, memory, 0, 0, paging.ACCESS_WRITE, new paging.WalkResult())
    expect(memory.at(entryGpa(4, 1, 0n))).toBe(leaf | A | D)
  })
})

describe('an entry that changes while it is walked', () => {
  /** Another vCPU stores a value just before the first exchange on an entry. */
  function raced(
    mode: number,
    level: number,
    value: bigint,
    access: number,
  ): { result: paging.WalkResult; memory: Memory } {
    const { memory, context } = guest(mode)
    const gpa = entryGpa(mode, level, 0n)
    let once = true
    memory.race = (at) => {
      if (at !== gpa || !once) return
      once = false
      memory.store(gpa, value)
    }
    const result = new paging.WalkResult()
    paging.walk(context, memory, 0, 0, access, result)
    return { result, memory }
  }

  test.each([2, 3, 4, 5])('%s levels: cleared, it faults, and its bits do not come back', (mode) => {
    const { result, memory } = raced(mode, 1, 0n, paging.ACCESS_WRITE)
    expect(result).toMatchObject({ status: paging.WALK_FAULT, pfec: 2, level: 1 })
    expect(memory.at(entryGpa(mode, 1, 0n))).toBe(0n)
  })

  test.each([2, 3, 4, 5])('%s levels: pointed elsewhere, the new page is what is accessed', (mode) => {
    const { result, memory } = raced(mode, 1, 0x9007n, paging.ACCESS_WRITE)
    expect(result).toMatchObject({ status: paging.WALK_OK, gpa: 0x9000 })
    expect(memory.at(entryGpa(mode, 1, 0n))).toBe(0x9067n)
  })

  test('made read-only, the write faults', () => {
    const { result, memory } = raced(4, 1, 0x7005n, paging.ACCESS_WRITE | paging.ACCESS_USER)
    expect(result).toMatchObject({ status: paging.WALK_FAULT, pfec: 7 })
    expect(memory.at(entryGpa(4, 1, 0n))).toBe(0x7005n)
  })

  test.each([2, 4])('%s levels: an upper entry cleared after the leaf was marked faults at its level', (mode) => {
    const { result } = raced(mode, 2, 0n, paging.ACCESS_READ)
    expect(result).toMatchObject({ status: paging.WALK_FAULT, pfec: 0, level: 2 })
  })

  test('another vCPU that sets the same bits first costs a second walk only', () => {
    const { result } = raced(4, 1, 0x7027n, paging.ACCESS_READ)
    expect(result).toMatchObject({ status: paging.WALK_OK, gpa: 0x7000, reads: 8 })
  })

  test('only the upper half of the entry differs: that counts too', () => {
    const { result } = raced(4, 1, 0x30_0000_7007n, paging.ACCESS_READ)
    expect(result).toMatchObject({ status: paging.WALK_OK, gpa: 0x30_0000_7000 })
  })
})
